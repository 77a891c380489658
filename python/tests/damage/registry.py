"""The kinds of damage that are made here."""

from __future__ import annotations

import shutil
import subprocess
import warnings
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from damage.good import Damaged

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class NotMadeError(Exception):
    """This damage cannot be made here; says why."""


@dataclass(frozen=True)
class Kind:
    """A kind of damage and what is right to do with it."""

    name: str
    group: str
    """The line of the table that it belongs to."""
    expect: str
    """`error`: a typed error, nothing else. `value`: legal, and `truth` comes out. `either`: no reader can know."""
    why: str
    make: Callable[[Damaged], Any]
    formats: tuple[str, ...] = ("v2", "v3", "v3s")
    at: str | None = None
    """The element that the error must name; None where it is the store."""
    truth: Callable[[Any], Any] | str | None = None
    """Of `value`: what it makes of the whole object in memory; `anndata` where anndata reads it right; None: nothing."""
    shown: bool = False
    """Whether Arrow and the shell may show what is stored: they have room for it, pandas has not."""
    local: bool = True
    """Whether a slice must be right too; False where what tells stands elsewhere, and a slice does not read it."""
    consolidate: bool | None = None
    """Whether metadata is consolidated afterwards; None as the format has it; False neither."""


KINDS: list[Kind] = []


def kind(name: str, group: str, expect: str, why: str, formats: str = "v2 v3 v3s", **more):
    """Registers the function below as a kind of damage."""

    def register(make):
        assert name not in {k.name for k in KINDS}, name
        KINDS.append(Kind(name, group, expect, why, make, tuple(formats.split()), **more))
        return make

    return register


def chosen(every: bool) -> list[tuple[Kind, str]]:
    """Each kind in every format that it has, or in one of them, each format in its turn."""
    out = []
    for number, damage in enumerate(KINDS):
        formats = damage.formats if every else [damage.formats[number % len(damage.formats)]]
        out += [(damage, fmt) for fmt in formats]
    return out


def make(damage: Kind, fmt: str, good: Path, out: Path) -> Path:
    """A damaged store; gives its path."""
    path = out / f"{fmt}__{damage.name}.zarr"
    shutil.copytree(good / f"{'v3' if fmt == 'zip' else fmt}.zarr", path, symlinks=True)
    store = Damaged(path, fmt)
    if fmt == "zip":
        archive = path.with_suffix(".zarr.zip")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            damage.make(store, archive)
        if not archive.exists():
            pack(path, archive)
        shutil.rmtree(path)
        return archive
    damage.make(store)
    if damage.consolidate is not False and fmt != "v3s":
        store.consolidate()
    return path


def remove(path: Path) -> None:
    """Removes a store, however deep: Python's own way recurses for each folder."""
    subprocess.run(["rm", "-rf", str(path)], check=True)  # noqa: S607


def pack(folder: Path, archive: Path, method: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(archive, "w", method) as z:
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            z.write(file, file.relative_to(folder).as_posix())

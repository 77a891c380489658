"""What the notebooks read: a store that is generated, and a web server for it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "python" / "tests"))

from file_server import Files  # noqa: E402  # the one that the tests have

_kept: list[tempfile.TemporaryDirectory[str]] = []


def atlas(cells: int = 4000, genes: int = 2000) -> str:
    """A store of counts as `make demo` makes it, small; it goes with the process."""
    _kept.append(tempfile.TemporaryDirectory())
    path = Path(_kept[-1].name) / "atlas.zarr"
    words = ["--cells", cells, "--genes", genes, "--density", 0.1, "--out", path]
    command = [sys.executable, HERE.parent / "tools" / "make_store.py", *words]
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
    return str(path)


def served(path: str | os.PathLike[str]) -> str:
    """The URL of a store on a server of this process, at a port that the system chooses."""
    where = Path(path)
    return f"{Files(where.parent).url}/{where.name}"

"""The Python of README and the pages runs as it stands, on a store that is generated; pages link what is there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
# Each call of this page runs alone, in test_scanpy.
ELSEWHERE = {"scanpy.md", "remote.md"}
PAGES = [
    ROOT / "README.md",
    *sorted(
        p
        for p in DOCS.rglob("*.md")
        if not {"_build", "notebooks"} & set(p.parts) and p.name not in ELSEWHERE
    ),
]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[str]:
    """What a person would type: of a session, its input."""
    found = []
    for code in BLOCK.findall(page.read_text(encoding="utf-8")):
        if code.startswith(">>>"):
            code = "".join(line[4:] + "\n" for line in code.splitlines() if line.startswith((">>> ", "... ")))
        found.append(code)
    return found


@pytest.fixture(scope="module")
def where(tmp_path_factory):
    """A directory with the stores that the pages open."""
    place = tmp_path_factory.mktemp("docs")
    make = [
        sys.executable,
        str(ROOT / "tools" / "make_store.py"),
        "--cells",
        "3000",
        "--genes",
        "1000",
        "--density",
        "0.1",
    ]
    subprocess.run([*make, "--out", str(place / "demo.zarr")], check=True, capture_output=True)
    (place / "atlas.zarr").symlink_to(place / "demo.zarr")
    return place


@pytest.mark.parametrize(
    "page", [p for p in PAGES if blocks(p)], ids=lambda p: p.relative_to(ROOT).as_posix()
)
def test_the_code_of_a_page_runs(page, where, monkeypatch):
    import numpy as np
    import scanpy as sc

    import lazarr as lz

    monkeypatch.chdir(where)
    adata = lz.open("demo.zarr")
    mask = np.arange(3000) % 3 == 0
    names = {"lz": lz, "sc": sc, "np": np, "adata": adata, "mask": mask, "genes": ["CD3D", "CD8A"]}
    for code in blocks(page):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(compile(code, str(page), "exec"), names)  # noqa: S102 - the project's own pages


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_of_a_page_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" in target or target.startswith("../rust/"):
            continue
        assert os.path.exists(page.parent / target), f"{page.name} links {target}"

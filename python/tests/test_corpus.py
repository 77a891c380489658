"""Real stores that nobody here wrote: every element as anndata reads it, by digest."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import pytest

import lazarr as lz

HERE = Path(__file__).resolve()
CORPUS = Path(os.environ.get("LAZARR_CORPUS") or HERE.parents[3] / "shared" / "corpus")
LEGACY = {"", "dataframe@0.1.0"}


def _current(entry: dict) -> bool:
    """A Zarr directory in encodings that are not legacy."""
    name, store = entry["name"], entry["store"]
    if not name.endswith(".zarr") or "zarr_format" not in store:
        return False
    return not (LEGACY & set(store["encodings"]) or any("legacy" in note for note in store.get("notes", {})))


def _cases() -> list:
    if not (CORPUS / "manifest.json").exists():
        skip = pytest.mark.skip(reason=f"no corpus at {CORPUS}: set LAZARR_CORPUS to its directory")
        return [pytest.param(None, None, id="corpus", marks=skip)]
    manifest = json.loads((CORPUS / "manifest.json").read_text())
    out = []
    for entry in manifest:
        if not _current(entry):
            continue
        for place, truth in entry["truth"].items():
            if "file" not in truth:
                continue
            path = CORPUS / "stores" / entry["name"]
            if place != ".":
                path /= place.removeprefix("#")
            out.append(pytest.param(path, truth["file"], id=f"{entry['name']}:{place}"))
    return out


@pytest.fixture(scope="module")
def digest():
    spec = importlib.util.spec_from_file_location("corpus_digest", CORPUS / "digest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("path", "truth"), _cases())
def test_store(path, truth, digest):
    ours = digest.digest(lz.open(str(path)).to_memory())
    expected = json.loads((CORPUS / "truth" / truth).read_text())
    assert digest.compare(expected, ours, strict_dtype=True) == []

"""The stores of the bench, made when they are absent, and what is known of each before it is measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from engines import CATEGORY

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
DATA = HERE / "data"


def make_store(cells: int, genes: int, density: float, layout: str) -> Path:
    """The cached store of these sizes; made when absent."""
    path = DATA / f"{cells}x{genes}-{density:g}-{layout}.zarr"
    if not path.exists():
        DATA.mkdir(parents=True, exist_ok=True)
        words = ["--cells", cells, "--genes", genes, "--density", density, "--layout", layout, "--out", path]
        subprocess.run([sys.executable, ROOT / "tools" / "make_store.py", *map(str, words)], check=True)
    return path


def warm(path: Path) -> int:
    """Read every file once, so that all engines meet the same page cache; the size on disk."""
    total = 0
    for file in path.rglob("*"):
        # A hollow file has a size and no bytes.
        if file.is_file() and 512 * file.stat().st_blocks >= file.stat().st_size // 2:
            with file.open("rb") as f:
                while block := f.read(1 << 22):
                    total += len(block)
    return total


def pick_genes(names: list[str], counts: np.ndarray, cells: int) -> dict[str, dict[str, Any]]:
    """A gene in about 60 cells, one in about 0.9 % of the cells, and one in nearly all."""
    picked = {}
    for name, wanted in {"rare": min(60, cells // 100), "some": 0.009 * cells, "most": 0.9 * cells}.items():
        best = int(np.argmin(np.abs(counts - wanted)))
        picked[name] = {"name": names[best], "cells": int(counts[best])}
    return picked


def count_genes(path: Path) -> dict[str, dict[str, Any]]:
    group = zarr.open_group(path, mode="r")
    indices = group["X/indices"]
    names = [str(name) for name in group["var/_index/values"][:]]
    counts = np.zeros(len(names), dtype=np.int64)
    step = 1 << 25
    for start in range(0, indices.shape[0], step):
        counts += np.bincount(indices[start : start + step], minlength=len(names))
    return pick_genes(names, counts, group["X"].attrs["shape"][0])


def facts_of(path: Path) -> dict[str, Any]:
    """Sizes, selections and genes of a store. The genes are counted once and kept beside the store."""
    group = zarr.open_group(path, mode="r", zarr_format=3)
    cells, n_genes = group["X"].attrs["shape"]
    # All layouts of one size hold the same counts.
    kept = DATA / f"{path.name.rsplit('-', 1)[0]}.genes.json"
    if not kept.exists():
        kept.write_text(json.dumps(count_genes(path)), encoding="utf-8")
    rng = np.random.default_rng(1)
    count = min(1000, cells // 2)
    start = cells // 3
    random = np.sort(rng.choice(cells, size=count, replace=False))
    repeats = rng.permutation(np.concatenate([random, random[:100]]))
    names = list(group["obs/cell_type/categories"][:])
    chosen = np.flatnonzero(group["obs/cell_type/codes"][:] == names.index(CATEGORY))
    arrays = []
    for name, node in group["obs"].members(max_depth=None):
        if isinstance(node, zarr.Array):
            arrays.append(f"obs/{name}")
    return {
        "cells": cells,
        "n_genes": n_genes,
        "genes": json.loads(kept.read_text(encoding="utf-8")),
        "obs_arrays": sorted(arrays),
        "rows": {
            "rows": {"start": start, "stop": start + count},
            "random": random.tolist(),
            "repeats": repeats.tolist(),
            "category": chosen.tolist(),
        },
    }

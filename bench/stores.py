"""The stores of the bench, made when they are absent, and what is known of each before it is measured."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import google_crc32c
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
        # The same counts in another layout are copied, not drawn again.
        other = DATA / f"{cells}x{genes}-{density:g}-lz4.zarr"
        if other.exists():
            words += ["--like", other]
        subprocess.run([sys.executable, ROOT / "tools" / "make_store.py", *map(str, words)], check=True)
    return path


def make_dense(cells: int) -> Path:
    """A store whose layer is dense: 200 genes."""
    path = DATA / f"dense-{cells}.zarr"
    if not path.exists():
        words = ["--cells", cells, "--genes", 200, "--density", 0.3, "--dense-layer", "--out", path]
        subprocess.run([sys.executable, ROOT / "tools" / "make_store.py", *map(str, words)], check=True)
    return path


def store_of(cells: int, genes: int, density: float, layout: str) -> Path:
    """The store of a layout, the ones of their own included."""
    if layout == "dense":
        return make_dense(cells)
    if layout.startswith("hollow"):
        return make_hollow(layout)
    return make_store(cells, genes, density, layout)


def hollow_matrix(group: zarr.Group, cells: int, genes: int, starts: np.ndarray | None, nnz: int) -> None:
    """A matrix whose chunks are not there; its row starts are."""
    x = group.create_group(
        "X",
        attributes={"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": [cells, genes]},
    )
    indptr = x.create_array("indptr", shape=(cells + 1,), dtype="int64", chunks=(1 << 16,), fill_value=0)
    if starts is not None:
        indptr[:] = starts
    inner, shard = 2048, 1 << 26
    for name, dtype in (("data", "float32"), ("indices", "uint16")):
        kwargs = {"shards": (shard,)} if nnz else {}
        x.create_array(
            name, shape=(nnz,), dtype=dtype, chunks=(inner,), compressors=None, fill_value=0, **kwargs
        )


def hollow_shards(folder: Path, nnz: int, itemsize: int) -> None:
    """Shards without codec, whose inner chunks are holes in a file: places without a stored byte."""
    inner, shard = 2048 * itemsize, (1 << 26) * itemsize
    count = shard // inner
    entries = np.empty((count, 2), dtype="<u8")
    entries[:, 0] = np.arange(count, dtype="<u8") * np.uint64(inner)
    entries[:, 1] = inner
    index = entries.tobytes()
    index += np.array([google_crc32c.value(index)], dtype="<u4").tobytes()
    (folder / "c").mkdir(exist_ok=True)
    for number in range(-(-nnz // (1 << 26))):
        with (folder / "c" / str(number)).open("wb") as file:
            file.truncate(shard)
            file.seek(shard)
            file.write(index)


def make_hollow(kind: str) -> Path:
    """`hollow-cells`: ten million cells without a value. `hollow-chunks`: a million inner chunks of holes."""
    path = DATA / f"{kind}.zarr"
    if path.exists():
        return path
    partial = path.with_name(path.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    many = kind == "hollow-cells"
    cells = 10_000_000 if many else 1 << 20
    nnz = 0 if many else 1 << 30
    group = zarr.open_group(partial, mode="w", zarr_format=3)
    group.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
    hollow_matrix(group, cells, 1_000, None if many else np.arange(cells + 1) * (nnz // cells), nnz)
    for axis, length in (("obs", cells), ("var", 1_000)):
        attributes = {
            "encoding-type": "dataframe",
            "encoding-version": "0.2.0",
            "_index": "_index",
            "column-order": [],
        }
        table = group.create_group(axis, attributes=attributes)
        index = table.create_array("_index", shape=(length,), dtype="string", chunks=(1 << 16,))
        index.attrs.update({"encoding-type": "string-array", "encoding-version": "0.2.0"})
    for name in ("layers", "obsm", "varm", "obsp", "varp", "uns"):
        group.create_group(name, attributes={"encoding-type": "dict", "encoding-version": "0.1.0"})
    if nnz:
        hollow_shards(partial / "X" / "data", nnz, 4)
        hollow_shards(partial / "X" / "indices", nnz, 2)
    zarr.consolidate_metadata(group.store)
    partial.rename(path)
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
    if path.name.startswith("hollow"):
        return {"cells": cells, "n_genes": n_genes}
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

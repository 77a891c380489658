#!/usr/bin/env python3
"""What writing takes in memory: half of the cells, two stores as one, csr → csc and back.

python bench/memory_writes.py                     # 200,000 cells, zstd and lz4
python bench/memory_writes.py --cells 20000 --layouts lz4

Each is a process of its own (forked from one that has anndata imported); the limit is a tenth of what the
source decodes to, and the growth is that of the process, as the system measures it. What is written is
compared with its source: stored values, and their sum in each row block.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from memory_cell import Growth, apart, imported
from stores import store_of, warm

HERE = Path(__file__).resolve().parent
MB = 1 << 20
SLACK = 16 * MB
"""What the interpreter and the allocator may keep beside, as in the other campaigns of memory."""
TASKS = {
    "subset": "half of the cells",
    "concat": "two stores as one",
    "transpose": "csr → csc",
    "back": "csc → csr",
}


def source(task: str, store: str, other: str) -> Any:
    """What is written."""
    import lazarr as lz

    if task == "back":
        return lz.open(other)
    a = lz.open(store)
    if task == "subset":
        return a[np.random.default_rng(1).random(a.n_obs) < 0.5]
    if task == "concat":
        return lz.concat([a, lz.open(store)], keys=["one", "two"], index_unique="-")
    return a


def facts(x: Any) -> tuple[float, int]:
    """What two matrices of the same values share, however they are stored: sum and number."""
    mean, _ = x.mean_var(axis=0)
    return float(mean.sum() * x.shape[0]), sum(block.nnz for _, _, block in x.iter_rows())


def cell(task: str, store: str, other: str, out: str, limit: int) -> dict[str, Any]:
    """Writes under the limit."""
    import lazarr as lz

    rules = {"transpose": "csc", "back": "csr"}
    layout = {"rules": [{"path": "X", "format": rules[task]}]} if task in rules else None
    lazy = source(task, store, other)
    with Growth() as growth, lz.options(memory_limit=limit, progress=False):
        lz.write(lazy, out, layout=layout, sync=False)
    written = lz.open(out)
    same = lazy.shape == written.shape and np.allclose(facts(lazy.X), facts(written.X), rtol=1e-9)
    return {"growth": growth.peak, "seconds": growth.seconds, "same": bool(same)}


def decoded(store: str) -> int:
    """Bytes of all that is in a store."""
    import lazarr as lz

    return int(lz.open(store).plan().decode_bytes.value)


def main() -> int:
    """Runs the tasks and prints their table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cells", type=int, default=200_000)
    parser.add_argument("--genes", type=int, default=30_000)
    parser.add_argument("--density", type=float, default=0.072)
    parser.add_argument("--layouts", nargs="+", default=["lz4", "default"])
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    imported()
    print(
        "| store | written | source, MB | limit, MB | growth, MB | time | the same |\n|" + 7 * "---|",
        flush=True,
    )
    failed = 0
    (HERE / "data").mkdir(exist_ok=True)
    for layout in args.layouts:
        store = store_of(args.cells, args.genes, args.density, layout)
        warm(store)
        size = apart(decoded, str(store))[0]
        with tempfile.TemporaryDirectory(dir=HERE / "data") as folder:
            turned = f"{folder}/transpose.zarr"
            for task, about in TASKS.items():
                out = f"{folder}/{task}.zarr"
                whole = 2 * size if task == "concat" else size
                found, _ = apart(cell, task, str(store), turned, out, whole // 10)
                found = found or {"growth": 0, "seconds": 0.0, "same": False}
                bad = found["growth"] > whole // 10 + SLACK or not found["same"]
                failed += bad
                sizes = f"{whole / MB:,.0f} | {whole / 10 / MB:.0f} | {found['growth'] / MB:.0f}"
                ends = f"{found['seconds']:.1f} s | {found['same']}"
                print(f"| {layout} | {about} | {sizes}{' ✗' if bad else ''} | {ends} |", flush=True)
                if task != "transpose":
                    shutil.rmtree(out, ignore_errors=True)
    print(f"memory-writes: {failed} out of bounds")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

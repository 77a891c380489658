#!/usr/bin/env python3
"""Writing X: into shards, half of its cells, transposed; lazarr beside anndata and its own floor, in one run.

python bench/writing.py                       # 200,000 cells
python bench/writing.py --cells 20000 --store path/to/store.zarr

Each measurement is a process of its own, on warm files; nobody waits for the disk, which anndata never does.
The floor of a writing is the time to read the same bytes once, in blocks that are dropped, and to write as
many from memory. Both engines write the same chunks, shards and codec.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
CHUNK, SHARD = 1 << 17, 1 << 26
RULE = {
    "path": "**",
    "chunk": {"items": CHUNK},
    "shard": {"items": SHARD},
    "codec": "blosc-lz4:5",
    "checksum": False,
}
TASKS = {"shards": "into shards", "subset": "half of the cells", "transpose": "csr → csc"}
FASTER, OF_FLOOR, TRANSPOSED = 3.0, 1.25, 3.0
"""At least so many times as fast as anndata, or at most so many times the floor; transposing by the floor."""


def mask_of(cells: int) -> np.ndarray:
    """About half of the cells."""
    return np.random.default_rng(1).random(cells) < 0.5


def peak() -> int:
    """The most memory that this process has had, in bytes."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(next(line for line in text.splitlines() if line.startswith("VmHWM")).split()[1])


def by_lazarr(store: str, task: str, out: str, limit: int) -> dict[str, Any]:
    """Reads and writes block by block."""
    import lazarr as lz

    rules = [RULE, {"path": "**", "format": "csc"}] if task == "transpose" else [RULE]
    start = time.perf_counter()
    with lz.options(memory_limit=limit, progress=False), lz.measure() as counted:
        x = lz.open(store).X
        if task == "subset":
            x = x[mask_of(x.shape[0])]
        lz.write(x, out, layout={"rules": rules}, sync=False)
    report = counted.report
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "peak": report.peak_growth, "decoded": report.bytes_decoded}


def by_anndata(store: str, task: str, out: str, _limit: int) -> dict[str, Any]:
    """All in memory, which is the fastest that it has; the codecs are those of the zarrs pipeline."""
    import anndata as ad
    import zarr
    import zarrs  # noqa: F401 - it registers itself

    zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"})
    codec = zarr.codecs.BloscCodec(cname="lz4", clevel=5, shuffle="shuffle", typesize=4)
    before = peak()
    start = time.perf_counter()
    x = ad.io.read_elem(zarr.open_group(store, mode="r")["X"])
    if task == "subset":
        x = x[mask_of(x.shape[0])]
    elif task == "transpose":
        x = x.tocsc()
    kwargs = {"chunks": (CHUNK,), "shards": (SHARD,), "compressors": (codec,)}
    ad.io.write_elem(zarr.open_group(out, mode="w", zarr_format=3), "X", x, dataset_kwargs=kwargs)
    return {"seconds": time.perf_counter() - start, "peak": peak() - before}


def by_floor(store: str, task: str, out: str, _limit: int) -> dict[str, Any]:
    """Reading alone, then writing alone."""
    import lazarr as lz

    x = lz.open(store).X
    decoded = x.plan().decode_bytes.value
    if task == "subset":
        x = x[mask_of(x.shape[0])]
    with lz.options(progress=False):
        start = time.perf_counter()
        for _ in x.iter_rows():
            pass
        read = time.perf_counter() - start
        values = x.to_memory()
        start = time.perf_counter()
        lz.write(values, out, layout={"rules": [RULE]}, sync=False)
        written = time.perf_counter() - start
    return {"seconds": read + written, "read": read, "written": written, "decoded": decoded}


ENGINES = {"lazarr": by_lazarr, "anndata": by_anndata, "floor": by_floor}


def measured(engine: str, store: Path, task: str, limit: int) -> dict[str, Any]:
    """What a process of its own says."""
    with tempfile.TemporaryDirectory(dir=HERE / "data") as folder:
        words = ["--engine", engine, "--task", task, "--store", str(store), "--limit", str(limit)]
        command = [sys.executable, __file__, *words, "--out", f"{folder}/out.zarr"]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        shutil.rmtree(f"{folder}/out.zarr")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"  {task}, {engine}: {found['seconds']:.1f} s", flush=True)
    return found


def row(task: str, found: dict[str, dict[str, Any]], limit: int) -> tuple[str, bool]:
    """The line of a task, and whether what is asked holds."""
    ours, theirs, floor = (found[name] for name in ENGINES)
    faster, of_floor = (
        theirs["seconds"] / ours["seconds"],
        ours["seconds"] / floor["seconds"],
    )
    passes = ours["decoded"] / floor["decoded"]
    if task == "transpose":
        holds = of_floor <= TRANSPOSED and passes <= 2
    else:
        holds = faster >= FASTER or of_floor <= OF_FLOOR
    holds &= ours["peak"] <= limit
    line = (
        f"| {TASKS[task]} | {ours['seconds']:.1f} s | {theirs['seconds']:.1f} s | {faster:.1f}× | "
        f"{floor['read']:.1f} + {floor['written']:.1f} s | {of_floor:.2f}× | {passes:.2f} | "
        f"{ours['peak'] / 2**20:,.0f} MiB | {theirs['peak'] / 2**20:,.0f} MiB | {'yes' if holds else 'NO'} |"
    )
    return line, holds


def main() -> int:
    """Runs the tasks and prints their table; with `--engine` one of them, in this process."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cells", type=int, default=200_000)
    parser.add_argument("--genes", type=int, default=30_000)
    parser.add_argument("--density", type=float, default=0.072)
    parser.add_argument(
        "--store", type=Path, help="by default the one of these sizes, made when it is absent"
    )
    parser.add_argument("--limit", type=int, default=1 << 30, help="bytes that lazarr may take")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--engine", choices=list(ENGINES), help=argparse.SUPPRESS)
    parser.add_argument("--task", choices=list(TASKS), help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    if args.engine:
        print(json.dumps(ENGINES[args.engine](str(args.store), args.task, args.out, args.limit)))
        return 0
    sys.path.insert(0, str(HERE))
    from stores import store_of, warm

    store = args.store or store_of(args.cells, args.genes, args.density, "lz4")
    (HERE / "data").mkdir(exist_ok=True)
    warm(store)
    lines = [
        "| X | lazarr | anndata, zarrs | faster | floor: read + write | of the floor | decoded | "
        "lazarr grows by | anndata grows by | holds |",
        "|" + 10 * "---|",
    ]
    well = True
    for task in args.tasks:
        line, holds = row(
            task, {name: measured(name, store, task, args.limit) for name in ENGINES}, args.limit
        )
        lines.append(line)
        well &= holds
    print("\n".join(lines))
    print(f"writing: limit {args.limit / 2**20:,.0f} MiB: {'holds' if well else 'does NOT hold'}")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())

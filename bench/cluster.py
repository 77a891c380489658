#!/usr/bin/env python3
"""From counts to components on a Dask cluster of processes: lazarr beside anndata's read_lazy, in one run.

python bench/cluster.py                       # 200,000 cells, both layouts
python bench/cluster.py --cells 20000 --genes 20000 --density 0.05 --layouts lz4 --rows 5000
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
WORKERS = 2
RUNS = 3
"""Each is run so often, and the best counts: as often as read_lazy, tried in blocks of three sizes."""
MEET = 0.02
"""So much of the bytes may chunks be in which two blocks meet."""


def from_counts(adata: Any) -> Any:
    """What a person types, up to the genes."""
    import scanpy as sc

    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=2000)
    return adata


def components(adata: Any) -> Any:
    """And on to components."""
    import scanpy as sc

    sc.pp.pca(adata, n_comps=50, svd_solver="covariance_eigh", mask_var="highly_variable")
    adata.obsm["X_pca"] = np.asarray(adata.obsm["X_pca"])
    return adata


def by_lazarr(store: Path, _rows: int | None) -> Any:
    """The object over lazarr."""
    import lazarr as lz

    return lz.open(str(store)).to_dask(obs=["cell_type"], var=[])


def by_read_lazy(store: Path, rows: int | None) -> Any:
    """The object over anndata's own lazy reader, with tables in memory as scanpy needs them."""
    import anndata as ad
    import zarr

    group = zarr.open_group(str(store), mode="r")
    chunks = None if rows is None else (rows, -1)
    x = ad.experimental.read_elem_lazy(group["X"], chunks=chunks)
    return ad.AnnData(
        x, obs=ad.io.read_elem(group["obs"])[["cell_type"]], var=ad.io.read_elem(group["var"])[[]]
    )


def use_zarrs() -> None:
    """The fastest way that zarr-python has to decode."""
    import zarr
    import zarrs  # noqa: F401 - it registers itself

    zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"})


def seen() -> tuple[int, int, int]:
    """What this process has opened, and the bytes and chunks that went through it."""
    from lazarr import _reader

    meters = [store.session.meter for store in _reader._open.values()]
    return len(meters), sum(m.bytes for m in meters), sum(m.chunks for m in meters)


def one_pass(client: Any, store: Path) -> dict[str, Any]:
    """A pass over X: what the plan says of it, and what the workers did."""
    import lazarr as lz

    lazy = lz.open(str(store))
    x = by_lazarr(store, None).X
    reader = x._own[3]
    client.run(type(reader).store, reader)
    before = client.run(seen)
    start = time.perf_counter()
    total = x.map_blocks(_nnz, dtype=np.int64, chunks=(tuple(1 for _ in x.chunks[0]), (1,))).sum().compute()
    seconds = time.perf_counter() - start
    after = client.run(seen)
    if int(total) != lazy.X.nnz:
        msg = f"a pass saw {total} values of {lazy.X.nnz}"
        raise AssertionError(msg)
    plan = lazy.X.plan(resolve=True)
    bytes_ = [after[w][1] - before[w][1] for w in after]
    chunks = sum(after[w][2] - before[w][2] for w in after)
    return {
        "blocks": x.numblocks[0],
        "seconds": seconds,
        "bytes": sum(bytes_),
        "least": min(bytes_) / max(sum(bytes_), 1),
        "planned": plan.fetch_bytes.value,
        "chunks": chunks,
        "planned_chunks": plan.chunks.value,
    }


def _nnz(block: Any) -> Any:
    return np.array([[block.nnz]])


def warm_up(_worker: int) -> None:
    """In a worker: imports and compiles what scanpy does to a block."""
    import anndata as ad
    import dask
    import dask.array as da
    import scipy.sparse as sp

    x = sp.random(400, 200, 0.2, format="csr", dtype=np.float32, random_state=0)
    array = da.from_array(x, chunks=(200, 200), asarray=False)
    with dask.config.set(scheduler="synchronous"):
        adata = from_counts(ad.AnnData(array))
        components(adata[:, :60].copy())


def in_memory(client: Any, store: Path) -> float:
    """The seconds of the same graph over blocks that lie in the workers' memory."""
    from distributed import wait

    adata = by_lazarr(store, None)
    adata.X = client.persist(adata.X)
    wait(adata.X)
    start = time.perf_counter()
    from_counts(adata)
    took = time.perf_counter() - start
    # Blocks that stay would be taken for those of the next round, which have the same names.
    client.cancel(adata.X)
    del adata
    gc.collect()
    while any(client.run(held).values()):
        time.sleep(0.05)
    return took


def held(dask_worker: Any) -> int:
    """In a worker: how much it keeps."""
    return len(dask_worker.data)


def decode_floor(store: Path, genes: int) -> float:
    """The seconds in which all cores decode every chunk of X once, by the codec's library."""
    from lockstep import Participant, alternate, build_floor
    from workloads import pass_over

    job = {"store": str(store), **pass_over({"n_vars": genes})}
    floor = Participant.floor("floor", build_floor("quick"), job)
    alternate([floor], least=5, seconds=5)
    if floor.best is None:
        raise RuntimeError(str(floor.facts.get("error", "the floor did not run")))
    return floor.best


def timed(make: Any, store: Path, rows: int | None) -> tuple[Any, float]:
    """The object after its genes are chosen, and the seconds from opening on."""
    start = time.perf_counter()
    adata = from_counts(make(store, rows))
    return adata, time.perf_counter() - start


def pca(adata: Any) -> float:
    """The seconds of the components."""
    start = time.perf_counter()
    components(adata)
    return time.perf_counter() - start


def layout(name: str, store: Path, rows: list[int], *, with_pca: bool) -> tuple[list[str], bool]:
    """The lines of a layout's table, and whether what is asked holds."""
    from distributed import Client, LocalCluster

    options = {"n_workers": WORKERS, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        counted = one_pass(client, store)
        warm_up(0)
        client.run(warm_up, 0)
        fetched, rounds = 0, []
        for _ in range(RUNS):
            # By turns: the machine drifts over minutes.
            before = sum(w[1] for w in client.run(seen).values())
            ours, took = timed(by_lazarr, store, None)
            fetched += sum(w[1] for w in client.run(seen).values()) - before
            rounds.append((took, in_memory(client, store), decode_floor(store, ours.n_vars)))
            print(
                "  lazarr, in memory, decode floor: {:.1f}, {:.1f}, {:.2f} s".format(*rounds[-1]), flush=True
            )
        seconds, resident, decode = (min(took) for took in zip(*rounds, strict=True))
        ours_pca = pca(ours) if with_pca else float("nan")
        client.run(use_zarrs)
        use_zarrs()
        tried = []
        for n in rows:
            found, took = timed(by_read_lazy, store, n)
            print(f"  read_lazy in blocks of {n:,} rows: {took:.1f} s", flush=True)
            tried.append((took, n, found))
        best, size, theirs = min(tried, key=lambda t: t[0])
        theirs_pca = pca(theirs) if with_pca else float("nan")
    same = bool((ours.var["highly_variable"].to_numpy() == theirs.var["highly_variable"].to_numpy()).all())
    if with_pca:
        a, b = (np.abs(x.obsm["X_pca"]) for x in (ours, theirs))
        same &= bool(np.allclose(a[:, :10], b[:, :10], rtol=1e-2, atol=1e-2))
    again = counted["bytes"] / counted["planned"] - 1
    twice = counted["chunks"] - counted["planned_chunks"]
    # In each of the three arrays two neighbours can share one chunk.
    meet = 3 * (counted["blocks"] - 1)
    ratio = best / seconds
    passes = round(fetched / counted["bytes"] / RUNS)
    floor = resident + passes * decode
    well = same and again <= MEET and twice <= meet and counted["least"] > 0.2
    well &= ratio >= 2 or seconds <= 1.25 * floor
    memory = f"{resident:.1f} s + {passes} × {decode:.2f} s ({seconds / floor:.2f})"
    read = (
        f"{counted['blocks']} blocks, {counted['bytes'] / 1e6:,.0f} MB in {counted['seconds']:.1f} s, "
        f"{100 * again:.2f} % and {twice} chunks twice"
    )
    lines = [
        f"| {name} | {seconds:.1f} s | {best:.1f} s ({size:,} rows) | {ratio:.1f}× | {memory} | "
        f"{ours_pca:.1f} s | {theirs_pca:.1f} s | {read} | {100 * counted['least']:.0f} % | "
        f"{'yes' if same else 'NO'} |"
    ]
    return lines, well


def main() -> int:
    """Runs the layouts, prints their table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cells", type=int, default=200_000)
    parser.add_argument("--genes", type=int, default=30_000)
    parser.add_argument("--density", type=float, default=0.072)
    parser.add_argument("--layouts", nargs="+", default=["lz4", "default"])
    parser.add_argument("--rows", nargs="+", type=int, default=[5_000, 10_000, 20_000])
    parser.add_argument("--no-pca", action="store_true")
    args = parser.parse_args()
    sys.path.insert(0, str(HERE))
    from stores import store_of, warm

    warnings.simplefilter("ignore")
    head = (
        "| layout | lazarr, counts → genes | read_lazy, zarrs, best blocks | faster | "
        "blocks in memory + decode floor of the passes (lazarr's ratio to it) | lazarr, PCA | "
        "read_lazy, PCA | a pass through lazarr | the idler worker's share | equal |"
    )
    lines, well = [head, "|" + 10 * "---|"], True
    for name in args.layouts:
        store = store_of(args.cells, args.genes, args.density, name)
        warm(store)
        more, holds = layout(name, store, args.rows, with_pca=not args.no_pca)
        lines += more
        well &= holds
    print("\n".join(lines))
    held = "holds" if well else "does NOT hold"
    print(f"cluster: {args.cells:,} cells, {WORKERS} workers of one thread: {held}")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Make a realistic AnnData store: sharded Zarr v3, consolidated, counts in CSR, typed obs.

The counts are negative binomial: per cell a Poisson number of bursts falls on genes by the profile of
the cell's type, and each burst brings a logarithmic number of molecules. Gene means are skewed (a few
genes in every cell, thousands in a handful of cells) and library sizes vary log-normally. Cells are made
in blocks, each with its own random stream, so that memory is bounded and the store depends on the seed
alone, not on the number of threads.

Examples:
    python tools/make_store.py --out demo.zarr
    python tools/make_store.py --cells 200000 --genes 30000 --density 0.072 --layout lz4 --out m.zarr
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import sys
import time
import warnings
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import numpy.typing as npt
import pandas as pd
import zarr
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

if TYPE_CHECKING:
    from collections.abc import Iterator

# Name and share of each cell type. Plasmacytoid dendritic cells are 2.5 % exactly in expectation: the
# benchmark's "rows by category".
CELL_TYPES: dict[str, float] = {
    "T cell": 0.28,
    "CD8 T cell": 0.14,
    "NK cell": 0.09,
    "B cell": 0.12,
    "Plasma cell": 0.03,
    "CD14 monocyte": 0.16,
    "CD16 monocyte": 0.05,
    "Dendritic cell": 0.03,
    "Plasmacytoid dendritic cell": 0.025,
    "Platelet": 0.02,
    "Erythrocyte": 0.025,
    "Neutrophil": 0.03,
}

MARKERS: dict[str, list[str]] = {
    "T cell": ["CD3D", "CD3E", "IL7R", "CD4", "LTB"],
    "CD8 T cell": ["CD3D", "CD3E", "CD8A", "CD8B", "GZMK"],
    "NK cell": ["NKG7", "GNLY", "KLRD1", "PRF1"],
    "B cell": ["MS4A1", "CD79A", "CD79B", "CD19"],
    "Plasma cell": ["MZB1", "SDC1", "JCHAIN", "XBP1"],
    "CD14 monocyte": ["CD14", "LYZ", "S100A8", "S100A9"],
    "CD16 monocyte": ["FCGR3A", "MS4A7", "LST1"],
    "Dendritic cell": ["FCER1A", "CST3", "CLEC10A"],
    "Plasmacytoid dendritic cell": ["IL3RA", "LILRA4", "GZMB"],
    "Platelet": ["PPBP", "PF4", "GP9"],
    "Erythrocyte": ["HBA1", "HBB", "ALAS2"],
    "Neutrophil": ["CSF3R", "FCGR3B", "CXCR2"],
}

EVERYWHERE = ["MALAT1", "B2M", "TMSB4X", "ACTB", "RPLP0", "RPS27", "EEF1A1", "FTL"]
MITO = ["MT-CO1", "MT-CO2", "MT-CO3", "MT-ND1", "MT-ND2", "MT-ND4", "MT-CYB", "MT-ATP6"]

# A burst brings k molecules with probability ∝ p^k / k: Poisson sums of it are negative binomial.
BURST_P = 0.5
# Bits of a sort key that hold the molecules of a burst; the rest is cell and gene.
BURST_BITS = 7

INDEX_DTYPES = ("uint8", "uint16", "uint32", "int32", "int64", "uint64")
CODECS = ("zstd", "blosc-lz4", "blosc-zstd", "gzip", "none")


@dataclass(frozen=True)
class Layout:
    """How `X/data` and `X/indices` are laid out. `None` elements: what anndata itself would choose."""

    codec: str
    index_dtype: str
    inner: int | None
    shard: int | None
    rows: bool = False
    """A chunk a row, each an object of its own: a rectilinear grid, which shards cannot have."""


LAYOUTS: dict[str, Layout] = {
    # What anndata 0.13 writes when it is not told otherwise.
    "default": Layout(codec="zstd", index_dtype="int32", inner=None, shard=None),
    # The layout of training loaders: about 64 rows a chunk, lz4, the narrowest index that fits.
    "lz4": Layout(codec="blosc-lz4", index_dtype="uint16", inner=139_264, shard=None),
    # Chunks so small that a scattered row costs a row or two of decoding.
    "small": Layout(codec="blosc-lz4", index_dtype="uint16", inner=2_048, shard=64 << 20),
    "inner4k": Layout(codec="blosc-lz4", index_dtype="uint16", inner=4_096, shard=64 << 20),
    "inner16k": Layout(codec="blosc-lz4", index_dtype="uint16", inner=16_384, shard=64 << 20),
    "inner64k": Layout(codec="blosc-lz4", index_dtype="uint16", inner=65_536, shard=64 << 20),
    "rows": Layout(codec="blosc-lz4", index_dtype="uint16", inner=None, shard=None, rows=True),
    # The other codecs, at the size of a training loader's chunks.
    "blosc-zstd": Layout(codec="blosc-zstd", index_dtype="uint16", inner=139_264, shard=None),
    "gzip": Layout(codec="gzip", index_dtype="uint16", inner=139_264, shard=None),
    "uncompressed": Layout(codec="none", index_dtype="uint16", inner=139_264, shard=None),
}

# Uncompressed size at which anndata ends a shard.
SHARD_BYTES = 1_000_000_000


@dataclass(frozen=True)
class Block:
    """Counts of one block of cells, CSR with sorted indices; `indptr` starts at 0."""

    indptr: npt.NDArray[np.int64]
    indices: npt.NDArray[np.int64]
    data: npt.NDArray[np.float32]
    total: npt.NDArray[np.float32]
    mito: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Model:
    """Everything that a block of cells is drawn from."""

    seed: int
    names: npt.NDArray[np.str_]
    is_mito: npt.NDArray[np.bool_]
    cell_type: npt.NDArray[np.int8]
    bursts: npt.NDArray[np.int32]
    threshold: npt.NDArray[np.uint32]
    alias: npt.NDArray[np.int64]
    burst_sizes: npt.NDArray[np.uint8]

    @property
    def genes(self) -> int:
        return len(self.names)

    @property
    def cells(self) -> int:
        return len(self.cell_type)

    @property
    def cells_per_block(self) -> int:
        return max(1, min(1024, (1 << (32 - BURST_BITS)) // self.genes))


def gene_names(genes: int) -> npt.NDArray[np.str_]:
    """Known names first in a fixed shuffle over the whole range, the rest made up."""
    known = list(dict.fromkeys(EVERYWHERE + MITO + [g for m in MARKERS.values() for g in m]))[:genes]
    names = np.array([f"LZ{i:05d}" for i in range(genes)], dtype="<U12")
    where = np.random.default_rng(7).choice(genes, size=len(known), replace=False)
    names[where] = known
    return names


def alias_table(p: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
    """Walker's alias table of one profile: draws cost one look-up whatever the number of genes."""
    n = len(p)
    scaled = (p * n).tolist()
    alias = list(range(n))
    small = [i for i, x in enumerate(scaled) if x < 1.0]
    large = [i for i, x in enumerate(scaled) if x >= 1.0]
    while small and large:
        low, high = small.pop(), large[-1]
        alias[low] = high
        scaled[high] -= 1.0 - scaled[low]
        if scaled[high] < 1.0:
            small.append(large.pop())
    threshold = np.minimum(np.array(scaled), 1.0) * (2**32 - 1)
    return threshold.astype(np.uint32), np.array(alias, dtype=np.int64)


def burst_rate(profiles: npt.NDArray[np.float64], shares: npt.NDArray[np.float64], density: float) -> float:
    """Mean bursts per cell at which the expected share of non-zeros is `density`."""
    quantiles = np.exp(0.45 * np.array([-1.65, -0.67, 0.0, 0.67, 1.65]))
    low, high = 1.0, 1e7
    for _ in range(50):
        rate = math.sqrt(low * high)
        hit = [1 - np.exp(-rate * q * profiles).mean(axis=1) for q in quantiles]
        got = float(np.mean(hit, axis=0) @ shares)
        low, high = (rate, high) if got < density else (low, rate)
    return math.sqrt(low * high)


def make_model(cells: int, genes: int, density: float, seed: int) -> Model:
    """Draw what is common to all blocks: names, profiles, types and library sizes."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
    names = gene_names(genes)
    at = {name: i for i, name in enumerate(names.tolist())}
    types = list(CELL_TYPES)
    shares = np.array(list(CELL_TYPES.values()))
    shares /= shares.sum()

    base = np.exp(rng.normal(0.0, 1.9, size=genes))
    # The profile of a marker is set below, not by luck; genes seen everywhere are among the strongest.
    strong = float(np.quantile(base, 0.995))
    for name in EVERYWHERE + MITO:
        if name in at:
            base[at[name]] = strong * rng.uniform(1.0, 3.0)
    weak = float(np.median(base)) * 0.3
    for name in dict.fromkeys(g for m in MARKERS.values() for g in m):
        if name in at:
            base[at[name]] = weak
    profiles = base * np.exp(rng.normal(0.0, 0.5, size=(len(types), genes)))
    for t, name in enumerate(types):
        for gene in MARKERS[name]:
            if gene in at:
                profiles[t, at[gene]] = strong * rng.uniform(0.3, 1.5)
    profiles /= profiles.sum(axis=1, keepdims=True)

    rate = burst_rate(profiles, shares, density)
    cell_type = rng.choice(len(types), size=cells, p=shares).astype(np.int8)
    library = np.exp(rng.normal(0.0, 0.45, size=cells))
    bursts = np.maximum(rng.poisson(rate * library), 1).astype(np.int32)

    tables = [alias_table(p) for p in profiles]
    k = np.arange(1, 1 << BURST_BITS)
    pmf = BURST_P**k / k
    cdf = np.cumsum(pmf / pmf.sum())
    sizes = np.searchsorted(cdf, (np.arange(65536) + 0.5) / 65536) + 1
    return Model(
        seed=seed,
        names=names,
        is_mito=np.char.startswith(names, "MT-"),
        cell_type=cell_type,
        bursts=bursts,
        threshold=np.concatenate([t for t, _ in tables]),
        alias=np.concatenate([a for _, a in tables]),
        burst_sizes=sizes.astype(np.uint8),
    )


def make_block(model: Model, number: int) -> Block:
    """Counts of the block's cells. Pure: the same model and number give the same counts."""
    genes = model.genes
    first = number * model.cells_per_block
    last = min(first + model.cells_per_block, model.cells)
    rng = np.random.default_rng(np.random.SeedSequence(model.seed, spawn_key=(1, number)))
    bursts = model.bursts[first:last]
    draws = int(bursts.sum())

    product = rng.integers(0, 1 << 32, size=draws, dtype=np.uint32).astype(np.uint64) * np.uint64(genes)
    slot = (product >> np.uint64(32)).astype(np.int64)
    entry = slot + np.repeat(model.cell_type[first:last].astype(np.int64) * genes, bursts)
    stay = product.astype(np.uint32) < model.threshold[entry]  # the low half of the product
    gene = np.where(stay, slot, model.alias[entry])
    cell = np.repeat(np.arange(last - first, dtype=np.int64) * genes, bursts)
    molecules = model.burst_sizes[rng.integers(0, 65536, size=draws, dtype=np.uint16)]
    # One sort of 32-bit keys orders by cell, then gene; the molecules ride in the low bits.
    keys = ((cell + gene) << BURST_BITS).astype(np.uint32) | molecules
    keys.sort()

    place = keys >> np.uint32(BURST_BITS)
    starts = np.flatnonzero(np.concatenate(([True], place[1:] != place[:-1])))
    counts = np.add.reduceat((keys & np.uint32((1 << BURST_BITS) - 1)).astype(np.int32), starts)
    place = place[starts].astype(np.int64)
    indptr = np.searchsorted(place, np.arange(last - first + 1, dtype=np.int64) * genes)
    rows = place // genes
    indices = place - rows * genes
    data = counts.astype(np.float32)
    mito = model.is_mito[indices]
    n = last - first
    return Block(
        indptr=indptr.astype(np.int64),
        indices=indices,
        data=data,
        total=np.bincount(rows, weights=data, minlength=n).astype(np.float32),
        mito=np.bincount(rows[mito], weights=data[mito], minlength=n).astype(np.float32),
    )


def make_blocks(model: Model, threads: int) -> Iterator[Block]:
    """All blocks in order; a few are made ahead, so that writing and drawing overlap."""
    count = -(-model.cells // model.cells_per_block)
    with ThreadPoolExecutor(threads) as pool:
        ahead: deque[Future[Block]] = deque()
        for number in range(count):
            ahead.append(pool.submit(make_block, model, number))
            if len(ahead) > threads + 1:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def compressor(codec: str, itemsize: int) -> Any:
    """The zarr codec of a name on the command line."""
    match codec:
        case "zstd":
            return ZstdCodec(level=0)
        case "blosc-lz4":
            return BloscCodec(cname="lz4", clevel=3, shuffle="shuffle", typesize=itemsize)
        case "blosc-zstd":
            return BloscCodec(cname="zstd", clevel=3, shuffle="shuffle", typesize=itemsize)
        case "gzip":
            return GzipCodec(level=5)
        case "none":
            return None
    raise ValueError(f"unknown codec {codec!r}; expected one of {', '.join(CODECS)}")


class Appender:
    """A 1-d sharded array that grows: whole shards are written as they fill, the shape is set last."""

    def __init__(self, group: zarr.Group, name: str, dtype: str, layout: Layout, expected: int) -> None:
        self.dtype = np.dtype(dtype)
        inner = layout.inner
        if inner is None:
            inner = auto_inner(expected, self.dtype.itemsize)
        inner = max(1, min(inner, expected))
        shard = layout.shard
        if shard is None:
            shard = SHARD_BYTES // self.dtype.itemsize
        # A shard is a whole number of inner chunks, and no longer than the array has use for.
        self.shard = max(1, min(shard // inner, -(-expected // inner))) * inner
        self.array = group.create_array(
            name,
            shape=(expected,),
            dtype=self.dtype,
            chunks=(inner,),
            shards=(self.shard,),
            compressors=compressor(layout.codec, self.dtype.itemsize),
            fill_value=0,
        )
        self.parts: list[npt.NDArray[Any]] = []
        self.held = 0
        self.written = 0

    def append(self, values: npt.NDArray[Any]) -> None:
        self.parts.append(values.astype(self.dtype))
        self.held += len(values)
        while self.held >= self.shard:
            self._write(self.shard)

    def _write(self, count: int) -> None:
        buffer = np.empty(count, dtype=self.dtype)
        filled = 0
        while filled < count:
            part = self.parts[0]
            take = min(len(part), count - filled)
            buffer[filled : filled + take] = part[:take]
            filled += take
            self.parts[0] = part[take:]
            if take == len(part):
                self.parts.pop(0)
        self.held -= count
        end = self.written + count
        if self.array.shape[0] < end:
            self.array.resize((end,))
        self.array[self.written : end] = buffer
        self.written = end

    def finish(self) -> int:
        self.array.resize((self.written + self.held,))
        if self.held:
            self._write(self.held)
        return self.written


def auto_inner(elements: int, itemsize: int) -> int:
    """The inner chunk that zarr-python chooses for a long sharded array of this many elements."""
    size = max(elements * itemsize, 1)
    target = 256 * 1024 * 2 ** math.log10(size / 2**20)
    target = min(max(target, 128 * 1024), 64 * 2**20, 2**20)
    chunk = elements
    while chunk * itemsize > target:
        chunk = -(-chunk // 2)
    return chunk


def write_x(group: zarr.Group, model: Model, layout: Layout, density: float, threads: int) -> dict[str, Any]:
    """Write X as blocks come; give the per-cell sums that obs needs."""
    expected = max(1, int(model.cells * model.genes * density))
    x = group.create_group(
        "X",
        attributes={
            "encoding-type": "csr_matrix",
            "encoding-version": "0.1.0",
            "shape": [model.cells, model.genes],
        },
    )
    data = Appender(x, "data", "float32", layout, expected)
    indices = Appender(x, "indices", layout.index_dtype, layout, expected)
    lengths: list[npt.NDArray[np.int64]] = []
    totals: list[npt.NDArray[np.float32]] = []
    mitos: list[npt.NDArray[np.float32]] = []
    for block in make_blocks(model, threads):
        data.append(block.data)
        indices.append(block.indices)
        lengths.append(np.diff(block.indptr))
        totals.append(block.total)
        mitos.append(block.mito)
    nnz = data.finish()
    indices.finish()
    n_genes = np.concatenate(lengths)
    indptr = np.concatenate(([0], np.cumsum(n_genes)))
    # anndata keeps scipy's rule: 32 bits while they suffice.
    wide = "int64" if nnz > np.iinfo(np.int32).max else "int32"
    pointer = Layout(codec=layout.codec, index_dtype=wide, inner=None, shard=None)
    writer = Appender(x, "indptr", wide, pointer, len(indptr))
    writer.append(indptr)
    writer.finish()
    return {
        "nnz": nnz,
        "n_genes": n_genes,
        "total": np.concatenate(totals),
        "mito": np.concatenate(mitos),
    }


def make_obs(model: Model, sums: dict[str, Any], rng: np.random.Generator) -> pd.DataFrame:
    """One column of each kind that obs meets: categories, numbers, nullable, text."""
    n = model.cells
    total = sums["total"]
    batch = rng.integers(0, 8, size=n)
    missing = rng.random(n) < 0.07
    age = pd.array(rng.integers(18, 90, size=n), dtype="Int64")
    age[missing] = pd.NA
    doublet = pd.array(rng.random(n) < 0.04, dtype="boolean")
    doublet[rng.random(n) < 0.02] = pd.NA
    notes = np.array(["", "re-sequenced", "low input", "frozen", "fresh"], dtype=object)
    # Distinct per cell: anndata turns text with repeats into categories, and this is to stay text.
    note = [
        f"{kind} {i}".strip()
        for i, kind in enumerate(notes[rng.choice(5, size=n, p=[0.6, 0.1, 0.1, 0.1, 0.1])])
    ]
    donors = [f"donor_{i:03d}" for i in range(300)]
    return pd.DataFrame(
        {
            "cell_type": pd.Categorical.from_codes(model.cell_type.astype(np.int64), list(CELL_TYPES)),
            "batch": pd.Categorical.from_codes(batch, [f"batch_{i}" for i in range(8)]),
            "donor": pd.Categorical.from_codes(rng.integers(0, 300, size=n), donors),
            "n_genes": sums["n_genes"].astype(np.int64),
            "total_counts": total,
            "pct_mito": (100 * sums["mito"] / np.maximum(total, 1)).astype(np.float32),
            "doublet": doublet,
            "age": age,
            "note": note,
        },
        index=pd.Index([f"CELL{i:08d}-{b}" for i, b in enumerate(batch)], name=None),
    )


def make_var(model: Model, rng: np.random.Generator) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "gene_id": [f"ENSG{i:011d}" for i in range(model.genes)],
            "highly_variable": rng.random(model.genes) < 0.1,
            "mito": model.is_mito,
        },
        index=pd.Index(model.names.astype(object), name=None),
    )


def write_store(
    out: Path,
    *,
    cells: int,
    genes: int,
    density: float,
    seed: int,
    layout: Layout,
    threads: int,
    dense_layer: bool = False,
) -> int:
    """Write the store; return its number of non-zeros."""
    if np.iinfo(layout.index_dtype).max < genes - 1:
        raise ValueError(f"{genes} genes do not fit indices of {layout.index_dtype}")
    model = make_model(cells, genes, density, seed)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2,)))
    group = zarr.open_group(out, mode="w", zarr_format=3)
    group.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
    sums = write_x(group, model, layout, density, threads)

    pca = rng.standard_normal((cells, 50), dtype=np.float32)
    pca += model.cell_type[:, None] * np.linspace(1, 0, 50, dtype=np.float32)
    uns = {
        "title": f"synthetic blood atlas, {cells} cells, seed {seed}",
        "cell_type_colors": np.array([f"#{(i * 1234567) % 0xFFFFFF:06x}" for i in range(len(CELL_TYPES))]),
        "pca": {"variance_ratio": np.linspace(0.1, 0.001, 50), "zero_center": True},
    }
    elements: dict[str, Any] = {
        "obs": make_obs(model, sums, rng),
        "var": make_var(model, rng),
        "obsm": {"X_pca": pca, "X_umap": pca[:, :2] + rng.standard_normal((cells, 2), dtype=np.float32)},
        "varm": {},
        "obsp": {},
        "varp": {},
        "layers": {"dense": rng.standard_normal((cells, genes), dtype=np.float32)} if dense_layer else {},
        "uns": uns,
        "raw": None,
    }
    for name, value in elements.items():
        ad.io.write_elem(group, name, value)
    zarr.consolidate_metadata(group.store)
    return int(sums["nnz"])


def write_rows(x: zarr.Group, name: str, dtype: str, layout: Layout, old: zarr.Group) -> None:
    """An array of X with a chunk a row. A row without values has no chunk: no length is zero."""
    lengths = np.diff(old["indptr"][:])
    array = x.create_array(
        name,
        shape=old[name].shape,
        dtype=dtype,
        chunks=[lengths[lengths > 0].tolist()],
        compressors=compressor(layout.codec, np.dtype(dtype).itemsize),
        fill_value=0,
    )
    array[:] = old[name][:].astype(dtype)


def relayout(source: Path, out: Path, layout: Layout) -> int:
    """A store like another one, but for the layout of X: minutes of drawing are saved. Its non-zeros."""
    shutil.copytree(source, out)
    # zarr-python has such grids behind a switch.
    zarr.config.set({"array.rectilinear_chunks": layout.rows})
    group = zarr.open_group(out, mode="r+", use_consolidated=False)
    old = zarr.open_group(source, mode="r")["X"]
    x = group["X"]
    nnz = int(old["data"].shape[0])
    for name, dtype in (("data", "float32"), ("indices", layout.index_dtype)):
        del x[name]
        if layout.rows:
            write_rows(x, name, dtype, layout, old)
            continue
        writer = Appender(x, name, dtype, layout, max(nnz, 1))
        for start in range(0, nnz, 1 << 25):
            writer.append(old[name][start : start + (1 << 25)])
        writer.finish()
    zarr.consolidate_metadata(group.store)
    return nnz


def use_fastest_pipeline() -> None:
    """Any of zarr's pipelines writes the same arrays; take the quickest that is installed."""
    try:
        import zarrs  # noqa: F401

        path = "zarrs.ZarrsCodecPipeline"
    except ImportError:
        if not hasattr(zarr.core.codec_pipeline, "FusedCodecPipeline"):
            return
        path = "zarr.core.codec_pipeline.FusedCodecPipeline"
    zarr.config.set({"codec_pipeline.path": path})


def parse(argv: list[str] | None) -> argparse.Namespace:
    about, _, examples = (__doc__ or "").partition("Examples:\n")
    parser = argparse.ArgumentParser(
        description=about,
        epilog="examples:\n" + examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cells", type=int, default=50_000)
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--density", type=float, default=0.05, help="expected share of non-zeros (0.05)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--layout", choices=list(LAYOUTS), default="default")
    parser.add_argument("--inner", type=int, help="elements of an inner chunk of X (overrides the layout)")
    parser.add_argument("--shard", type=int, help="elements of a shard of X (overrides the layout)")
    parser.add_argument("--codec", choices=CODECS, help="codec of X (overrides the layout)")
    parser.add_argument("--index-dtype", choices=INDEX_DTYPES, help="of X/indices (overrides the layout)")
    parser.add_argument("--like", type=Path, help="take everything but the layout of X from this store")
    parser.add_argument(
        "--dense-layer", action="store_true", help="write layers/dense as well: float32, all genes"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--force", action="store_true", help="replace what stands at --out")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    if args.out.exists() and not args.force:
        print(f"{args.out} is there already; --force replaces it", file=sys.stderr)
        return 1
    base = LAYOUTS[args.layout]
    layout = Layout(
        codec=args.codec or base.codec,
        index_dtype=args.index_dtype or base.index_dtype,
        inner=args.inner or base.inner,
        shard=args.shard or base.shard,
        rows=base.rows,
    )
    use_fastest_pipeline()
    started = time.perf_counter()
    # Written beside and renamed: an interrupted run leaves nothing that looks like a store.
    partial = args.out.with_name(args.out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=UserWarning)
        warnings.simplefilter("ignore", category=FutureWarning)
        try:
            if args.like is not None:
                nnz = relayout(args.like, partial, layout)
                args.cells, args.genes = zarr.open_group(partial, mode="r")["X"].attrs["shape"]
            else:
                nnz = write_store(
                    partial,
                    cells=args.cells,
                    genes=args.genes,
                    density=args.density,
                    seed=args.seed,
                    layout=layout,
                    threads=args.threads,
                    dense_layer=args.dense_layer,
                )
        except ValueError as error:
            shutil.rmtree(partial, ignore_errors=True)
            print(f"error: {error}", file=sys.stderr)
            return 1
    if args.out.exists():
        shutil.rmtree(args.out)
    partial.rename(args.out)
    size = sum(f.stat().st_size for f in args.out.rglob("*") if f.is_file())
    print(
        f"{args.out}: {args.cells:,} cells x {args.genes:,} genes, {nnz:,} non-zeros "
        f"({100 * nnz / (args.cells * args.genes):.1f} %), {size / 1e6:.0f} MB on disk, "
        f"{time.perf_counter() - started:.1f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

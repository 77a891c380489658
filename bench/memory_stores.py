"""The stores of the memory campaigns: every kind of element, and results that are more than noise."""

from __future__ import annotations

import shutil
import warnings
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
import zarr
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

if TYPE_CHECKING:
    from pathlib import Path

VERSION = "1"
"""Stores of another version are made anew."""

LAYOUTS: dict[str, dict[str, Any]] = {
    "zstd": {"codec": ZstdCodec(), "inner": 200_000, "shard": None, "index": "i4"},
    "lz4": {"codec": BloscCodec(cname="lz4"), "inner": 139_264, "shard": 64, "index": "u2"},
    "tiny": {"codec": BloscCodec(cname="lz4"), "inner": 4_096, "shard": 1024, "index": "u2"},
    "wide": {"codec": ZstdCodec(level=1), "inner": 4_000_000, "shard": None, "index": "i8"},
    "gzip": {"codec": GzipCodec(level=1), "inner": 500_000, "shard": None, "index": "i4"},
    "plain": {"codec": None, "inner": 250_000, "shard": None, "index": "i4"},
}


def array(group: zarr.Group, name: str, values: np.ndarray, layout: dict[str, Any]) -> zarr.Array:
    """Writes an array; `inner` items a chunk, `shard` chunks a shard."""
    per_row = int(np.prod(values.shape[1:], dtype=int)) or 1
    rows = max(1, min(layout["inner"] // per_row, len(values) or 1))
    chunks = (rows, *values.shape[1:])
    shards = None if layout["shard"] is None else (rows * layout["shard"], *values.shape[1:])
    codec = layout["codec"]
    out = group.create_array(
        name,
        shape=values.shape,
        dtype=values.dtype,
        chunks=chunks,
        shards=shards,
        compressors=None if codec is None else [codec],
        fill_value=0,
    )
    out[...] = values
    return out


def encoded(node: zarr.Group | zarr.Array, kind: str, version: str, **attributes: Any) -> None:
    """Marks a node as AnnData does."""
    node.attrs.update({"encoding-type": kind, "encoding-version": version, **attributes})


def matrix(rng: np.random.Generator, major: int, minor: int, per: int) -> sp.csr_matrix:
    """Rows of different lengths, sorted, with small counts."""
    lengths = np.minimum(rng.poisson(per, major) * rng.choice([0, 1, 1, 2], major), minor)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    # Ascending places: steps of at least one that stay inside.
    step = max(1, minor // max(1, int(lengths.max())))
    ranks = np.arange(indptr[-1]) - np.repeat(indptr[:-1], lengths)
    indices = (ranks * step + rng.integers(0, step, indptr[-1])).astype("i4")
    data = rng.integers(1, 12, indptr[-1]).astype("f4")
    return sp.csr_matrix((data, indices, indptr), shape=(major, minor))


def sparse(group: zarr.Group, name: str, x: Any, layout: dict[str, Any]) -> None:
    """Writes a csr or csc matrix in a layout."""
    out = group.create_group(name)
    encoded(out, f"{x.format}_matrix", "0.1.0", shape=list(x.shape))
    array(out, "data", x.data, layout)
    array(out, "indices", x.indices.astype(layout["index"]), layout)
    array(out, "indptr", x.indptr.astype("i8"), {**layout, "inner": 50_000, "shard": None})


def table(rng: np.random.Generator, n: int) -> pd.DataFrame:
    """Columns of every kind; names as sequencing gives them."""
    types = [f"type {k}" for k in range(40)]
    missing = rng.random(n) < 0.1
    whole = pd.array(rng.integers(0, 9, n), dtype="Int64")
    whole[missing] = pd.NA
    flags = pd.array(rng.random(n) < 0.5, dtype="boolean")
    flags[missing] = pd.NA
    return pd.DataFrame(
        {
            "cell_type": pd.Categorical.from_codes(rng.integers(-1, 40, n), types),
            "batch": pd.Categorical.from_codes(rng.integers(0, 3, n), ["a", "b", "c"], ordered=True),
            "n_counts": rng.random(n),
            "n_genes": rng.integers(0, 5000, n),
            "pct": rng.random(n).astype("f4"),
            "doublet": rng.random(n) < 0.1,
            "score": whole,
            "keep": flags,
            "barcode": [f"{k:x}-AACGTTGA" for k in rng.integers(0, 1 << 40, n)],
        },
        index=pd.Index([f"cell_{i:07d}-1" for i in range(n)]),
    )


def build(path: Path, seed: int, layout: dict[str, Any], n: int, m: int, per: int, form: str) -> None:
    """Writes a store: X, obsm, obs and var."""
    rng = np.random.default_rng(seed)
    adata = ad.AnnData(obs=table(rng, n), var=table(rng, m))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adata.write_zarr(path)
    root = zarr.open_group(path, mode="r+", use_consolidated=False)
    if form == "csr":
        sparse(root, "X", matrix(rng, n, m, per), layout)
    else:
        sparse(root, "X", sp.csc_matrix(matrix(rng, n, m, per)), layout)
    obsm = root["obsm"]
    encoded(array(obsm, "dense", rng.random((n, 400), dtype="f4"), layout), "array", "0.2.0")
    wide = rng.integers(0, 255, (n, 1200), dtype="u1")
    encoded(array(obsm, "bytes", wide, layout), "array", "0.2.0")
    pca = rng.standard_normal((n, 100))
    encoded(array(obsm, "X_pca", pca, layout), "array", "0.2.0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(path)


SHAPES: dict[str, tuple[int, int, int, str]] = {
    # rows, columns, stored values of a row, form
    "cells": (60_000, 3_000, 300, "csr"),
    "tall": (400_000, 500, 30, "csr"),
    "columns": (60_000, 3_000, 200, "csc"),
}

STORES = (
    ("cells", "zstd"),
    ("cells", "lz4"),
    ("cells", "tiny"),
    ("cells", "wide"),
    ("columns", "gzip"),
    ("columns", "lz4"),
    ("tall", "plain"),
    ("tall", "lz4"),
)


def stores(folder: Path, seed: int) -> dict[str, Path]:
    """The stores, made where they are not there yet."""
    out = {}
    for shape, layout in STORES:
        path = folder / f"memory-{seed}-{shape}-{layout}.zarr"
        done = path / ".made"
        if not done.exists() or done.read_text() != VERSION:
            shutil.rmtree(path, ignore_errors=True)
            n, m, per, form = SHAPES[shape]
            build(path, seed, LAYOUTS[layout], n, m, per, form)
            done.write_text(VERSION)
        out[f"{shape}-{layout}"] = path
    return out

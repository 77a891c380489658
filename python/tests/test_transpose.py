"""Matrices that are stored in another format are what scipy makes of them."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import zarr

import lazarr as lz

FORMATS = ("csr", "csc", "dense")
DTYPES = ("bool", "i1", "u2", "i4", "i8", "u8", "f4", "f8", "c8")
SMALL = {"path": "**", "chunk": {"items": 64}, "shard": {"items": 256}, "codec": "lz4"}


def layout(to):
    return {"rules": [SMALL, {"path": "**", "format": to}]}


def matrix(rng, rows, columns, dtype, index="i4"):
    """A matrix with empty rows and columns, indices in no order, and values at one place twice."""
    empty_rows, empty_columns = rng.random(rows) < 0.2, rng.random(columns) < 0.2
    lengths = np.where(empty_rows, 0, rng.integers(0, 9, rows))
    some = np.flatnonzero(~empty_columns)
    lengths = lengths if len(some) else lengths * 0
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    indices = rng.choice(some, indptr[-1]) if len(some) else np.zeros(0, int)
    data = rng.integers(1, 5, indptr[-1]).astype(dtype)
    parts = (data, indices.astype(index), indptr.astype(index))
    x = sp.csr_matrix(parts, shape=(rows, columns))
    if min(rows, columns) < 2:
        # All indices of one axis are 0: zarr stores no such chunk, and where values share a place that is damage.
        x.sum_duplicates()
    return x


def theirs(x, to):
    if to == "dense":
        return x.toarray() if sp.issparse(x) else x
    return x.asformat(to) if sp.issparse(x) else sp.csr_matrix(x).asformat(to)


def equal(a, b):
    assert type(a) is type(b)
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    if not sp.issparse(a):
        np.testing.assert_array_equal(a, b)
        return
    assert a.format == b.format
    for part in ("indptr", "indices", "data"):
        np.testing.assert_array_equal(getattr(a, part), getattr(b, part), part)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("index", ["i4", "i8"])
def test_all_formats_and_types(dtype, index, seed, tmp_path):
    rng = np.random.default_rng([seed, DTYPES.index(dtype)])
    for number, (rows, columns) in enumerate([(40, 30), (1, 7), (7, 1), (0, 5), (5, 0), (300, 90)]):
        x = matrix(rng, rows, columns, dtype, index)
        for source in (x, x.tocsc(), x.toarray()):
            path = tmp_path / f"{number}.zarr"
            # As it is: a matrix by itself, as anndata writes it.
            ad.io.write_elem(zarr.open_group(path, mode="w"), "x", source)
            lazy = lz.open(path)["x"]
            pick = rng.random(rows) < 0.5
            for to in FORMATS:
                expected = theirs(source, to)
                for value in (source, lazy):
                    lz.write(value, tmp_path / "out.zarr", layout=layout(to), overwrite=True, sync=False)
                    equal(lz.open(tmp_path / "out.zarr").to_memory(), expected)
                lz.write(lazy[pick], tmp_path / "out.zarr", layout=layout(to), overwrite=True, sync=False)
                equal(lz.open(tmp_path / "out.zarr").to_memory(), theirs(source[pick], to))


def test_little_memory(seed, tmp_path):
    rng = np.random.default_rng(seed)
    x = sp.random(4000, 500, 0.3, format="csr", dtype=np.float32, random_state=rng)
    lz.write(x, tmp_path / "x.zarr", layout={"rules": [SMALL | {"chunk": {"items": 4096}}]})
    lazy = lz.open(tmp_path / "x.zarr")
    rules = {"rules": [SMALL | {"chunk": {"items": 4096}}, {"path": "**", "format": "csc"}]}
    with lz.options(memory_limit=1 << 20):
        lz.write(lazy, tmp_path / "y.zarr", layout=rules)
        equal(lz.open(tmp_path / "y.zarr")[:, 7:9].to_memory(), x.tocsc()[:, 7:9])
        rules["rules"][1]["format"] = "dense"
        lz.write(lz.open(tmp_path / "y.zarr"), tmp_path / "z.zarr", layout=rules)
    equal(lz.open(tmp_path / "y.zarr").to_memory(), x.tocsc())
    equal(lz.open(tmp_path / "z.zarr").to_memory(), x.toarray())
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_not_a_number_is_stored(tmp_path):
    x = np.array([[0.0, np.nan, -0.0], [np.inf, 0.0, 1.0]])
    lz.write(x, tmp_path / "x.zarr", layout=layout("csr"))
    equal(lz.open(tmp_path / "x.zarr").to_memory(), sp.csr_matrix(x))


def cells(seed):
    x = sp.random(60, 20, 0.3, format="csr", dtype=np.float32, random_state=seed)
    near = sp.random(60, 60, 0.1, format="csr", random_state=seed)
    obs = pd.DataFrame(index=[f"{seed}-{i}" for i in range(60)])
    return ad.AnnData(x, obs=obs, layers={"counts": x.copy(), "dense": x.toarray()}, obsp={"near": near})


def test_presets_for_genes(tmp_path):
    adata = cells(1)
    adata.raw = adata
    for preset in ("genes", "viewer"):
        lz.write(adata, tmp_path / "a.zarr", layout=preset, overwrite=True)
        back = ad.read_zarr(tmp_path / "a.zarr")
        for x in (back.X, back.layers["counts"], back.raw.X):
            equal(x, adata.X.tocsc())
        equal(back.layers["dense"], adata.layers["dense"])
        equal(back.obsp["near"], adata.obsp["near"])


def test_parts_together_and_blocks(tmp_path):
    parts = [cells(1), cells(2)]
    for k, part in enumerate(parts):
        lz.write(part, tmp_path / f"{k}.zarr")
    both = lz.concat([lz.open(tmp_path / f"{k}.zarr") for k in range(2)])
    rules = lz.Layout.preset("rows").with_rule("X", format="csc").with_rule("layers/dense", format="csr")
    lz.write(both, tmp_path / "both.zarr", layout=rules)
    back = lz.open(tmp_path / "both.zarr").to_memory()
    whole = sp.vstack([p.X for p in parts], format="csr")
    equal(back.X, whole.tocsc())
    equal(back.layers["dense"], whole)
    x = lz.open(tmp_path / "0.zarr").X
    lz.write(iter(x.iter_rows(rows=7)), tmp_path / "x.zarr", layout=layout("csc"))
    equal(lz.open(tmp_path / "x.zarr").to_memory(), parts[0].X.tocsc())


def test_what_is_no_matrix_stays(tmp_path):
    adata = cells(3)
    adata.obs["n"] = np.arange(60)
    adata.uns["names"] = np.array([["a", "b"], ["c", "d"]], dtype=object)
    lz.write(adata, tmp_path / "a.zarr", layout=layout("dense"))
    back = lz.open(tmp_path / "a.zarr").to_memory()
    equal(back.X, adata.X.toarray())
    assert back.obs["n"].tolist() == list(range(60))
    assert back.uns["names"].tolist() == [["a", "b"], ["c", "d"]]
    for bad in ({"format": "coo"}, {"format": "csc", "role": "column"}):
        with pytest.raises(ValueError, match="LZ0805"):
            lz.write(adata, tmp_path / "b.zarr", layout={"rules": [{"path": "X", **bad}]})

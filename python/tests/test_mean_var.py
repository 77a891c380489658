"""Mean and variance against numpy in float64: every layout and type, selections, hard numbers, limits, threads."""

from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import zarr
from stores import write

import lazarr as lz

TYPES = ["f4", "f8", "f2", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?"]


def expected(x, axis, ddof=0):
    x = np.asarray(x.toarray() if sp.issparse(x) else x).astype(np.float64)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of nothing there is no mean
        return x.mean(axis=axis), x.var(axis=axis, ddof=ddof)


def check(found, wanted):
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == np.float64
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12 * max(1.0, np.nanmax(np.abs(b), initial=0.0)))


def matrix(rng, n, m, dtype):
    dtype = np.dtype(dtype)
    x = rng.poisson(0.7, (n, m)) * rng.integers(1, 100, (n, m))
    if dtype.kind in "iu":
        x = np.minimum(x, min(np.iinfo(dtype).max, 1 << 40))
    if dtype.kind == "f":
        x = np.log1p(x)
    return x.astype(dtype)


@pytest.fixture(scope="module")
def stores(tmp_path_factory, seed):
    """An object of each layout for each type, and what was written."""
    made = []
    for number, dtype in enumerate(TYPES):
        rng = np.random.default_rng([seed, 77, number])
        x = matrix(rng, 60, 23, dtype)
        half = dtype == "f2"  # scipy has no sparse float16
        sparse = x.astype("f4") if half else x
        adata = ad.AnnData(
            sp.csr_matrix(sparse),
            layers={"csc": sp.csc_matrix(sparse), "dense": x},
            obsm={"dense": x[:, :7]},
            obs=pd.DataFrame({"kind": rng.choice(["a", "b"], 60)}, index=[f"c{i}" for i in range(60)]),
        )
        path = str(tmp_path_factory.mktemp("mv") / "s.zarr")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            write(rng, adata, path)
        made.append((path, adata))
    return made


@pytest.mark.parametrize("number", range(len(TYPES)), ids=TYPES)
def test_every_layout_and_selection(stores, number, seed):
    path, adata = stores[number]
    rng = np.random.default_rng([seed, 78, number])
    lazy = lz.open(path)
    n, m = adata.shape
    selections = [
        (slice(None), slice(None)),
        (slice(10, 40), slice(None)),
        (slice(None), slice(3, 9)),
        (rng.permutation(n)[:20], slice(None)),
        (rng.integers(0, n, 30), rng.integers(0, m, 30)),  # in any order, with repeats
        (slice(None, None, -3), slice(None, None, -1)),
        (np.zeros(n, bool), slice(None)),
        (slice(None), np.zeros(m, bool)),
        (slice(7, 8), slice(None)),
        (slice(None), slice(7, 8)),
    ]
    for rows, columns in selections:
        view, part = lazy[rows, columns], adata.X[rows][:, columns]
        for axis in (0, 1):
            for ddof in (0, 1):
                check(view.X.mean_var(axis, ddof=ddof), expected(part, axis, ddof))
                for layer in ("csc", "dense"):
                    whole = np.asarray(
                        adata.layers[layer].toarray() if layer == "csc" else adata.layers[layer]
                    )
                    found = view.layers[layer].mean_var(axis, ddof=ddof)
                    check(found, expected(whole[rows][:, columns], axis, ddof))
    check(lazy.obsm["dense"].mean_var(), expected(adata.obsm["dense"], 0))
    check(lazy.X.T.mean_var(axis=0), expected(adata.X, 1))
    check(lazy.X.mean_var(axis=-1), expected(adata.X, 1))
    kind = lazy[lazy.obs["kind"] == "a"]
    check(kind.X.mean_var(), expected(adata.X[(adata.obs["kind"] == "a").to_numpy()], 0))


@pytest.mark.parametrize("kind", ["csr", "csc", "dense"])
def test_hard_numbers(tmp_path, kind, seed):
    rng = np.random.default_rng([seed, 79])
    n = 4000
    x = np.zeros((n, 8))
    x[:, 0] = 1e8 + rng.normal(size=n)  # the square of the mean hides the variance
    x[:, 1] = 5.5  # no variance at all
    x[:, 2] = rng.random(n) < 0.01
    x[:, 3] = 1e158 * (
        1 + 1e-8 * rng.normal(size=n)
    )  # squares that no float64 holds, but for their differences
    x[:, 4] = rng.normal(size=n)
    x[5, 4] = np.nan
    x[:, 5] = rng.normal(size=n)
    x[6, 5] = np.inf
    x[:, 6] = 1e8 + rng.normal(size=n)
    x[rng.integers(0, n, 10), 6] = 0
    form = {"csr": sp.csr_matrix, "csc": sp.csc_matrix, "dense": np.asarray}[kind]
    ad.AnnData(form(x)).write_zarr(str(tmp_path / "s.zarr"))
    mean, var = lz.open(str(tmp_path / "s.zarr")).X.mean_var()
    for column in range(8):
        with np.errstate(all="ignore"):
            np.testing.assert_allclose(mean[column], x[:, column].mean(), rtol=1e-10)
            np.testing.assert_allclose(var[column], x[:, column].var(), rtol=1e-10, atol=1e-30)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """So many values that they are added up in several lanes; data and indices in chunks of different lengths."""
    rng = np.random.default_rng(3)
    x = sp.random_array((30_000, 400), density=0.3, format="csr", dtype=np.float32, rng=rng)
    path = str(tmp_path_factory.mktemp("large") / "s.zarr")
    ad.AnnData(sp.csr_matrix(x)).write_zarr(path)
    return path, x


def test_threads_and_limits_change_nothing(large):
    path, x = large
    whole = lz.open(path).X.mean_var()
    check(whole, expected(x, 0))
    for options in (
        {"threads": 1},
        {"threads": 5},
        {"memory_limit": "24MiB"},
        {"memory_limit": "24MiB", "threads": 1},
    ):
        found = lz.open(path, audit=False, **options).X.mean_var()
        assert all(np.array_equal(a, b) for a, b in zip(found, whole, strict=True)), options


def test_a_limit_that_is_too_small_is_an_error(large):
    with pytest.raises(MemoryError):
        lz.open(large[0], audit=False, memory_limit="600KiB").X.mean_var()


def test_the_plan_is_what_happens(large):
    adata = lz.open(large[0], audit=False, threads=2)
    plan = adata.X.plan(verb="mean_var", axis=0, resolve=True)
    with lz.measure() as m:
        adata.X.mean_var()
    assert m.report.bytes_decoded == plan.decode_bytes.value
    assert "mean and variance" in str(plan)


def test_what_cannot_be_is_refused(large):
    x = lz.open(large[0]).X
    with pytest.raises(IndexError):
        x.mean_var(axis=2)
    with pytest.raises(TypeError):
        x.mean_var(ddof=-1)
    with pytest.raises(TypeError):
        x.plan(verb="sum")


def test_rows_that_lie_over_many_results(tmp_path, seed):
    """Rows of hundreds of values in any order, a few that have none."""
    rng = np.random.default_rng([seed, 79])
    x = sp.random(90, 9000, 0.12, format="csr", dtype=np.float64, random_state=rng)
    x.data -= 0.3
    x = sp.vstack([x[:40], sp.csr_matrix((3, 9000)), x[40:]], format="csr")
    for row in range(0, x.shape[0], 2):  # as anndata leaves them after some operations
        a, b = x.indptr[row : row + 2]
        order = rng.permutation(b - a)
        x.indices[a:b], x.data[a:b] = x.indices[a:b][order], x.data[a:b][order]
    path = str(tmp_path / "s.zarr")
    ad.AnnData(x).write_zarr(path)
    lazy = lz.open(path).X
    check(lazy.mean_var(axis=0), expected(x, 0))
    check(lazy[5:70].mean_var(axis=0), expected(x[5:70], 0))
    # An index outside of the matrix is found.
    group = zarr.open_group(path, mode="r+")
    for bad in (9000, -1, 2**30):
        at = int(rng.integers(x.nnz))
        before = group["X/indices"][at]
        group["X/indices"][at] = bad
        with pytest.raises(lz.LazarrError, match="outside of the matrix"):
            lz.open(path).X.mean_var(axis=0)
        group["X/indices"][at] = before


@pytest.mark.parametrize("kind", ["counts", "logs"])
def test_many_wide_rows_in_one_chunk(tmp_path, seed, kind):
    """More rows in a chunk than are added up side by side, over many times the results that a cache holds."""
    rng = np.random.default_rng([seed, 80])
    x = sp.random(700, 9000, 0.02, format="csr", dtype=np.float32, random_state=rng)
    x.data = rng.poisson(3, x.nnz).astype("f4") + 1
    if kind == "logs":
        x.data = np.log1p(x.data)
    path = str(tmp_path / "s.zarr")
    layout = lz.Layout.preset("rows").with_rule("X/*", chunk="whole", shard=None)
    lz.write(ad.AnnData(x), path, layout=layout)
    assert zarr.open_group(path, mode="r")["X/data"].chunks == (x.nnz,)
    lazy = lz.open(path).X
    check(lazy.mean_var(axis=0), expected(x, 0))
    check(lazy[3:650].mean_var(axis=0), expected(x[3:650], 0))

"""Concatenations against anndata.concat in memory: LAZARR_CONCATS says how many random sets of stores."""

from __future__ import annotations

import os
import pickle
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import stores  # noqa: F401 - rows and columns of sparse matrices one after the other
from concat_cases import alike, options, parts

import lazarr as lz

SETS = int(os.environ.get("LAZARR_CONCATS", "12"))


def write(objects, folder, rng=None):
    paths = []
    for k, a in enumerate(objects):
        path = str(folder / f"part{k}.zarr")
        a.write_zarr(path, chunks=[4, 3] if rng is not None and rng.random() < 0.5 else None)
        paths.append(path)
    return paths


def selection(rng, n):
    """Positions along an axis of length n, as a slice, a mask, or a list in any order."""
    kind = rng.integers(4)
    if kind == 0 or n == 0:
        a, b = sorted(rng.integers(0, n + 1, 2))
        return slice(int(a), int(b))
    if kind == 1:
        return rng.random(n) < 0.4
    if kind == 2:
        return rng.permutation(n)[: rng.integers(0, n + 1)]
    return slice(None, None, -1)


@pytest.mark.parametrize("number", range(SETS))
def test_random_sets(number, seed, tmp_path):
    rng = np.random.default_rng([seed, number, 7])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        paths = write(parts(rng), tmp_path, rng)
        theirs = [ad.read_zarr(path) for path in paths]
        ours = [lz.open(path, audit=True) for path in paths]
        how = options(rng, len(paths))
        if rng.random() < 0.3:
            views = [(selection(rng, a.n_obs), selection(rng, a.n_vars)) for a in theirs]
            # What a view does not show, a concatenation of it keeps.
            theirs = [_taken(a, index) for a, index in zip(theirs, views, strict=True)]
            ours = [a[index] for a, index in zip(ours, views, strict=True)]
        expected = ad.concat(theirs, **how)
        found = lz.concat(ours, **how)
        assert found.shape == expected.shape
        said = f"set {number}, {how}"
        unfit = {name for name in found.obs.columns if found.obs._native.column(name).kind == "broken"}
        assert not unfit or all(expected.obs[name].dtype == object for name in unfit), (said, unfit)
        if unfit:
            return
        try:
            alike(found.to_memory(), expected)
            for _ in range(4):
                index = (selection(rng, expected.n_obs), selection(rng, expected.n_vars))
                said = f"set {number}, {how}, {index}"
                view = found[index]
                view.plan()
                view.plan(resolve=True)
                alike(view.to_memory(remove_unused_categories=False), _taken(expected, index))
        except Exception as e:
            raise AssertionError(said) from e


def _taken(a, index):
    with ad.settings.override(remove_unused_categories=False):
        return a[index].copy()


def small(folder, **how):
    a = ad.AnnData(
        X=sp.csr_matrix(np.arange(12, dtype="f4").reshape(4, 3)),
        obs=pd.DataFrame(
            {"kind": pd.Categorical(["x", "y", "x", "z"]), "n": [1, 2, 3, 4]}, index=list("abcd")
        ),
        var=pd.DataFrame(index=["g1", "g2", "g3"]),
    )
    b = ad.AnnData(
        X=sp.csr_matrix(np.arange(8, dtype="f4").reshape(4, 2)),
        obs=pd.DataFrame(
            {"kind": pd.Categorical(["y", "w", "w", "y"]), "n": [5, 6, 7, 8]}, index=list("efgh")
        ),
        var=pd.DataFrame(index=["g3", "g2"]),
    )
    paths = write([a, b], folder)
    return [a, b], [lz.open(path, **how) for path in paths], paths


@pytest.mark.parametrize("kind", [sp.csr_matrix, np.asarray])
def test_parts_without_genes_have_nothing_to_fill(tmp_path, kind):
    objects = [ad.AnnData(np.ones((n, 0), "f4"), obs=pd.DataFrame(index=list("abc"[:n]))) for n in (3, 2)]
    objects[1].layers["counts"] = kind(np.ones((2, 0), "i4"))
    expected = ad.concat(objects, join="outer", index_unique="-")
    assert expected.layers["counts"].dtype == np.int32
    found = lz.concat([lz.open(p) for p in write(objects, tmp_path)], join="outer", index_unique="-")
    alike(found.to_memory(), expected)


def test_raw_without_cells(tmp_path):
    full = ad.AnnData(np.ones((2, 3), "f4"), obs=pd.DataFrame(index=list("ab")))
    full.raw = full.copy()
    path = write([full], tmp_path)[0]
    for rows in (slice(0, 0), slice(0, 1)):
        expected = ad.concat([full[rows], full[:0]])
        found = lz.concat([lz.open(path)[rows], lz.open(path)[:0]])
        assert (expected.raw is None) == (rows == slice(0, 0))
        alike(found.to_memory(), expected)


def test_nothing_is_read_but_the_names_of_genes(tmp_path):
    _, ours, _ = small(tmp_path)
    with lz.measure() as m:
        both = lz.concat(ours, join="outer", label="batch", index_unique="-")
    assert m.report.chunks == 2  # var/_index of each
    with lz.measure() as m:
        view = both[2:6, ["g2"]]
        assert view.shape == (4, None)
        assert "batch" in repr(both)
        view.plan()
    assert m.report.requests == 0


def test_predicates_labels_and_categories(tmp_path):
    theirs, ours, _ = small(tmp_path)
    expected, both = ad.concat(theirs, label="batch"), lz.concat(ours, label="batch")
    assert both.obs["kind"].cat.categories.tolist() == ["w", "x", "y", "z"]
    for ask, mask in (
        (lambda o: o["kind"] == "y", expected.obs["kind"] == "y"),
        (lambda o: o["kind"].isin(["w", "z"]), expected.obs["kind"].isin(["w", "z"])),
        (
            lambda o: (o["n"] > 2) & (o["batch"] == "1"),
            (expected.obs["n"] > 2) & (expected.obs["batch"] == "1"),
        ),
        (lambda o: o["n"].between(3, 6), expected.obs["n"].between(3, 6)),
    ):
        view = both[ask(both.obs)]
        assert list(view.to_memory().obs_names) == list(expected[mask].obs_names)
    assert list(both.obs.query("n > 2 and batch == '1'").to_memory().index) == list("efgh")
    alike(both[["g", "a", "h"]].to_memory().X, expected[["g", "a", "h"]].X)
    assert both.obs["kind"].value_counts().to_dict() == expected.obs["kind"].value_counts().to_dict()
    assert both.obs["n"].to_memory().tolist() == expected.obs["n"].tolist()


@pytest.mark.parametrize("join", ["inner", "outer"])
def test_streams_reductions_and_dask(tmp_path, join):
    theirs, ours, _ = small(tmp_path)
    expected, both = ad.concat(theirs, join=join), lz.concat(ours, join=join)
    for rows in (slice(None), slice(1, 7), [6, 0, 3, 3]):
        view, want = both[rows], expected[rows]
        dense = want.X.toarray().astype("f8")
        blocks = [block.toarray() for _, _, block in view.X.iter_rows(2)]
        np.testing.assert_array_equal(np.concatenate(blocks), dense)
        for axis in (0, 1):
            mean, var = view.X.mean_var(axis)
            np.testing.assert_allclose(mean, dense.mean(axis), rtol=1e-9)
            np.testing.assert_allclose(var, dense.var(axis), rtol=1e-9, atol=1e-9)
            view.X.plan(verb="mean_var", axis=axis)
        np.testing.assert_array_equal(view.to_dask().X.compute().toarray(), dense)
    lazy = both.to_dask().X
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(lazy)).compute().toarray(), expected.X.toarray())


def test_pickle(tmp_path):
    theirs, ours, _ = small(tmp_path)
    both = lz.concat([ours[0][:3], ours[1]], label="batch", keys=["one", "two"])
    view = both[both.obs["batch"] == "two"]
    again = pickle.loads(pickle.dumps(view))
    assert list(again.to_memory().obs_names) == list("efgh")
    x = pickle.loads(pickle.dumps(both.X[1:5]))
    np.testing.assert_array_equal(x.to_memory().toarray(), both.X[1:5].to_memory().toarray())
    assert theirs[0].n_obs == 4


@pytest.mark.parametrize("join", ["inner", "outer"])
def test_it_is_written(tmp_path, join):
    theirs, ours, _ = small(tmp_path)
    expected = ad.concat(theirs, join=join, label="batch", index_unique="-")
    both = lz.concat(ours, join=join, label="batch", index_unique="-")
    lz.write(both, str(tmp_path / "both.zarr"))
    written = ad.read_zarr(tmp_path / "both.zarr")
    alike(written, expected)
    assert written.X.indices.dtype == written.X.indptr.dtype == np.int32
    lz.write(both[2:7, ["g2"]], str(tmp_path / "view.zarr"), layout="random")
    alike(ad.read_zarr(tmp_path / "view.zarr"), _taken(expected, (slice(2, 7), ["g2"])))


def test_plan_names_each_store(tmp_path):
    _, ours, paths = small(tmp_path)
    both = lz.concat(ours)
    plan = both[3:5].plan(["X"])
    text = str(plan)
    assert "@0/X/data" in text
    assert "@1/X/data" in text
    assert all(path in plan.to_dict()["store"] for path in paths)
    assert "@1/X" not in str(both[:2].plan(["X"]))


def test_one_memory_limit(tmp_path):
    rng = np.random.default_rng(3)
    objects = [ad.AnnData(X=rng.random((2000, 100)).astype("f4")) for _ in range(3)]
    paths = write(objects, tmp_path)
    both = lz.concat([lz.open(path) for path in paths], index_unique="-")
    with lz.options(memory_limit="1MB"), pytest.raises(lz.MemoryLimitError):
        both.X.to_memory()
    total = 0
    with lz.options(memory_limit="1MB"):
        for _, _, block in both.X.iter_rows():
            total += block.sum(dtype="f8")
    np.testing.assert_allclose(total, sum(a.X.sum(dtype="f8") for a in objects), rtol=1e-6)


def test_a_concatenation_of_concatenations(tmp_path):
    theirs, ours, _ = small(tmp_path)
    inner = lz.concat(ours, join="outer", label="batch")
    expected = ad.concat(
        [ad.concat(theirs, join="outer", label="batch"), theirs[0]], join="outer", index_unique="-"
    )
    found = lz.concat([inner, ours[0]], join="outer", index_unique="-")
    alike(found.to_memory(), expected)
    alike(found[[9, 0, 5]].to_memory(remove_unused_categories=False), _taken(expected, [9, 0, 5]))


def test_what_cannot_be_concatenated_says_so(tmp_path):
    a = ad.AnnData(np.ones((3, 2), "f4"), obs=pd.DataFrame({"c": [1, 2, 3]}, index=list("abc")))
    b = ad.AnnData(np.ones((2, 2), "f4"), obs=pd.DataFrame({"c": ["x", "y"]}, index=list("de")))
    a.obsm["t"] = pd.DataFrame({"u": [1, 2, 3]}, index=a.obs_names)
    paths = write([a, b], tmp_path)
    both = lz.concat([lz.open(path) for path in paths], join="outer")
    with pytest.raises(lz.LazarrError, match="objects of Python"):
        both.obs["c"].to_memory()
    with pytest.raises(lz.LazarrError, match="a part lacks"):
        both.obsm["t"].to_memory()
    assert both.X.to_memory().sum() == 10
    rest = both.to_memory(skip_broken=True)
    assert (rest.n_obs, list(rest.obsm)) == (5, [])


def test_refusals(tmp_path):
    theirs, ours, _ = small(tmp_path)
    with pytest.raises(TypeError, match=r"anndata\.concat"):
        lz.concat([ours[0], theirs[1]])
    with pytest.raises(ValueError, match="nothing to concatenate"):
        lz.concat([])
    with pytest.raises(TypeError, match="axis"):
        lz.concat(ours, axis="var")
    with pytest.raises(TypeError, match="transposed"):
        lz.concat([ours[0].T, ours[1]])
    with pytest.raises(lz.LazarrError, match="as many keys"):
        lz.concat(ours, keys=["a"])
    with pytest.raises(lz.LazarrError, match="is 0"):
        lz.concat(ours, join="outer", fill_value=1).X.to_memory()

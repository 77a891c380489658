"""Every kind of index on every kind of object, and the traps that are closed."""

from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from same import same

import lazarr as lz

N, M = 30, 12


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    rng = np.random.default_rng(3)
    a = ad.AnnData(
        sp.random(N, M, 0.4, format="csr", dtype="f4", random_state=4),
        obs=pd.DataFrame(
            {"b": pd.Categorical(rng.choice(["x", "y", "z"], N)), "k": np.arange(N)},
            index=[f"c{i}" for i in range(N)],
        ),
        var=pd.DataFrame(index=[f"g{i}" for i in range(M)]),
        obsm={"d": rng.random((N, 4)), "t3": rng.random((N, 3, 2))},
        obsp={"p": sp.random(N, N, 0.2, format="csr", random_state=5)},
        uns={"b_colors": np.array(["#0", "#1", "#2"], dtype=object)},
    )
    path = tmp_path_factory.mktemp("index") / "i.zarr"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        a.write_zarr(path)
        return lz.open(path), ad.read_zarr(path)


MASK = np.arange(N) % 3 == 1


@pytest.mark.parametrize(
    "index",
    [
        slice(None), ..., slice(3, 9), slice(-5, None), slice(None, None, -2), slice(100, 200), 3, -1, np.int16(4), [3, 1, 1, -2],
        np.array([5, 5, 0], dtype="u1"), MASK, MASK.tolist(), [], "c4", ["c9", "c1", "c9"], np.array(["c2", "c0"]),
        pd.Index(["c7", "c3"]), slice("c3", "c9"), slice(None, "c4"), range(2, 20, 3), (slice(2, 5), [3, 1]), (MASK, [2, 2]),
        ([1, 0], ["g3", "g1"]), (..., 3), (3, ...), (5, 7), (slice(None), slice("g2", "g5")), np.ix_([1, 5, 2], [3, 0]), (MASK,),
        MASK.reshape(-1, 1), [1.0, 4.0], (..., slice(1, 3), [4]), pd.array([1, 2], dtype="Int64"),
        pd.array(MASK, dtype="boolean"), np.array([2, 1], dtype=object), sp.csr_matrix(MASK),
    ],
    ids=lambda x: repr(x)[:40].replace("\n", ""),
)  # fmt: skip
def test_object(pair, index):
    ours, theirs = pair
    theirs_index = index
    if isinstance(index, tuple) and len(index) == 2 and all(getattr(x, "ndim", 0) == 2 for x in index):
        theirs_index = tuple(x.ravel() for x in index)
    if isinstance(index, np.ndarray) and index.dtype == object:
        theirs_index = index.astype(int)
    if sp.issparse(index):
        theirs_index = MASK
    view = ours[index]
    assert view.is_view
    expected = theirs[theirs_index].copy()
    same(view.to_memory(), expected)
    assert view.resolve().shape == expected.shape


def test_unused_categories(pair):
    ours, theirs = pair
    rows = np.flatnonzero(theirs.obs["b"] == "y")
    t = ours[rows].to_memory()
    assert t.obs["b"].cat.categories.tolist() == ["y"]
    assert t.uns["b_colors"].tolist() == ["#1"]
    t = ours[rows].to_memory(remove_unused_categories=False)
    assert t.obs["b"].cat.categories.tolist() == ["x", "y", "z"]
    assert len(t.uns["b_colors"]) == 3
    with ad.settings.override(remove_unused_categories=False):
        assert len(ours[rows].to_memory().obs["b"].cat.categories) == 3
    assert ours[rows].obs["b"].to_memory().cat.categories.tolist() == ["y"]
    assert ours.obs["b"][rows].to_memory().cat.categories.tolist() == ["x", "y", "z"]
    assert ours.to_memory().obs["b"].cat.categories.tolist() == ["x", "y", "z"]


def test_series_is_aligned(pair):
    ours, theirs = pair
    mask = pd.Series(MASK, index=theirs.obs_names)
    shuffled = mask.sample(frac=1, random_state=1)
    same(ours[shuffled].to_memory(), theirs[MASK].copy())
    with pytest.raises(IndexError, match="to_numpy"):
        ours[pd.Series(MASK)]
    with pytest.raises(IndexError):
        ours[pd.Series(MASK, index=[f"other{i}" for i in range(N)])].to_memory()
    view = ours[::-1]
    same(view[mask].to_memory(), theirs[::-1][MASK[::-1]].copy())


@pytest.mark.parametrize(
    "index",
    [
        N, -N - 1, [0, N], MASK[:-1], np.ones(N + 1, bool), [0.5, 1.0], np.nan, None, True, 1.5, {"a": 1}, slice(None, None, 0),
        (0, 0, 0), (..., ...), slice("c1", 4), slice(0.5, 3), np.zeros((2, 2), int), [[1, 2], [3, 4]], ["c1", 2], [None, True],
        np.array([2**63], dtype="u8"), pd.array([True, None] * (N // 2), dtype="boolean"), slice("c4", "c2", -1),
        pd.Series([True, None] * (N // 2), index=[f"c{i}" for i in range(N)]), np.array(["2020"], dtype="M8[D]"),
    ],
    ids=lambda x: repr(x)[:40].replace("\n", ""),
)  # fmt: skip
def test_refused(pair, index):
    with pytest.raises(IndexError):
        pair[0][index].to_memory()


def test_unknown_names(pair):
    with pytest.raises(KeyError, match="c1"):
        pair[0][["c1x"]].to_memory()
    with pytest.raises(KeyError):
        pair[0]["nobody":].to_memory()


def test_sparse_element(pair):
    ours, theirs = pair[0].X, pair[1].X
    same(ours[3].to_memory(), theirs[[3]])
    same(ours[3, 4].to_memory(), theirs[[3]][:, [4]])
    same(ours[:, [4, 1, 4]].to_memory(), theirs[:, [4, 1, 4]])
    same(ours[MASK, 2:5].to_memory(), theirs[MASK, 2:5])
    same(ours[5:20][::2][[3, 0]].to_memory(), theirs[5:20][::2][[3, 0]])
    assert isinstance(ours[:2].to_memory(array=True), sp.csr_array)
    x = ours.to_memory()
    assert x.has_sorted_indices == theirs.has_sorted_indices
    assert x.data.base is not None
    with pytest.raises(IndexError, match=r"adata\[rows, cols\]"):
        ours[[1, 2], [3, 4]]


def test_no_copies_are_made(pair):
    value = pair[0].X._collect()
    from lazarr import _convert

    matrix = _convert.sparse(value)
    for k, array in ((5, matrix.data), (6, matrix.indices), (7, matrix.indptr)):
        address = value[k].__array_interface__["data"][0]
        assert array.__array_interface__["data"][0] == address
        assert array.flags.writeable


def test_dense_element(pair):
    ours, theirs = pair[0].obsm["t3"], pair[1].obsm["t3"]
    for index in (
        3,
        -2,
        (slice(2, 5), 1),
        (..., 0),
        (1, 2, 0),
        (slice(None), [2, 0, 2]),
        (MASK, ..., 1),
        ([3, 1], slice(None), 0),
    ):
        got = ours[index].to_memory()
        expected = theirs[index]
        if isinstance(index, tuple) and isinstance(index[0], list):
            expected = theirs[[3, 1]][:, :, 0]
        assert np.shape(got) == np.shape(expected), index
        np.testing.assert_array_equal(got, expected)
        assert ours[index].shape == np.shape(expected)
    assert isinstance(ours[1, 2, 0].to_memory(), np.float64)
    with pytest.raises(IndexError, match=r"adata\[rows, cols\]"):
        ours[[1, 2], [0, 1]]
    with pytest.raises(IndexError):
        ours[0, 0, 0, 0]
    with pytest.raises(IndexError):
        ours[1, 2, 0][0]


def test_both_axes_of_obsp(pair):
    ours, theirs = pair
    same(ours[[3, 1, 3]].obsp["p"].to_memory(), theirs.obsp["p"][[3, 1, 3]][:, [3, 1, 3]])


def test_empty_selection_after_empty_selection(pair):
    ours, theirs = pair
    v = ours[ours.obs["k"] < 0]
    same(v.to_memory(), theirs[np.zeros(N, bool)].copy())
    same(v[:3, []].to_memory(), theirs[np.zeros(N, bool), []].copy())


def test_lengths_that_are_not_known(pair):
    ours, theirs = pair
    v = ours[ours.obs["k"] > 20]
    assert v.shape == (None, M)
    with pytest.raises(TypeError, match="resolve"):
        len(v)
    same(v[2:4].to_memory(), theirs[23:25].copy())
    same(v[::-1][[0, -1]].to_memory(), theirs[[29, 21]].copy())
    with pytest.raises(IndexError):
        v[[0, 99]].to_memory()
    assert len(v.resolve()) == 9

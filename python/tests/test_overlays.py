"""Values that are laid over an object, against the same assignments in memory."""

from __future__ import annotations

import pickle

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from concat_cases import alike

import lazarr as lz

N, M = 30, 7


@pytest.fixture
def pair(tmp_path):
    rng = np.random.default_rng(5)
    a = ad.AnnData(
        X=sp.random(N, M, 0.4, format="csr", dtype="f4", random_state=1),
        obs=pd.DataFrame({"n": np.arange(N), "kind": pd.Categorical(rng.choice(list("xyz"), N))}, index=[f"c{i}" for i in range(N)]),
        var=pd.DataFrame({"length": np.arange(M)}, index=[f"g{i}" for i in range(M)]),
        obsm={"pca": rng.random((N, 3))},
        uns={"old": 1},
    )  # fmt: skip
    path = str(tmp_path / "a.zarr")
    a.write_zarr(path)
    return ad.read_zarr(path), lz.open(path)


COLUMNS = {
    "floats": np.linspace(0, 1, N),
    "small": np.arange(N, dtype="i1"),
    "flag": np.arange(N) % 3 == 0,
    "text": np.array([f"t{i % 4}" for i in range(N)], dtype=object),
    "group": pd.Categorical([f"k{i % 3}" for i in range(N)], categories=["k2", "k1", "k0"]),
    "level": pd.Categorical(["low", "high"] * (N // 2), categories=["low", "high"], ordered=True),
    "maybe": pd.array([None if i % 5 == 0 else i for i in range(N)], dtype="Int64"),
    "either": pd.array([None if i % 4 == 0 else i % 2 == 0 for i in range(N)], dtype="boolean"),
    "words": pd.array([None if i % 6 == 0 else str(i) for i in range(N)], dtype="string"),
    "when": np.arange(N).astype("M8[ns]"),
}


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("index", [slice(None), slice(4, 20), [9, 2, 2, 17], slice(None, None, -2)])
def test_columns(pair, name, index):
    theirs, ours = pair
    laid = ours.with_obs({name: COLUMNS[name]})
    theirs.obs[name] = COLUMNS[name]
    alike(laid[index].to_memory(remove_unused_categories=False).obs, _taken(theirs, index).obs)
    assert name not in ours.obs.columns
    assert name in laid.obs.columns
    values = laid.obs[name][index].to_memory()
    assert values.isna().tolist() == theirs.obs[name].iloc[index].isna().tolist()


def _taken(a, index):
    with ad.settings.override(remove_unused_categories=False):
        return a[index].copy()


def test_everywhere(pair):
    theirs, ours = pair
    rng = np.random.default_rng(1)
    layer, square = sp.random(N, M, 0.3, format="csc", random_state=2), rng.random((N, N))
    table = pd.DataFrame({"u": np.arange(N), "v": list("ab") * (N // 2)}, index=theirs.obs_names)
    laid = (
        ours.with_obs(score=np.arange(N) / 2, n=np.arange(N)[::-1])
        .with_var(tag=pd.Categorical(list("abcabca")))
        .with_layers(scaled=layer)
        .with_obsm(umap=rng.random((N, 2)), table=table)
        .with_varm(load=np.ones((M, 2)))
        .with_obsp(near=square)
        .with_varp(links=sp.eye(M, format="csr"))
        .with_uns(title="t", deep={"a": 1, "b": {"c": np.arange(3)}}, none=None)
        .with_X(np.ones((N, M), "f4"))
    )
    memory = laid.to_memory()
    assert memory.obs["score"].tolist() == (np.arange(N) / 2).tolist()
    assert memory.obs["n"].tolist() == list(range(N))[::-1]
    assert memory.var["tag"].tolist() == list("abcabca")
    np.testing.assert_array_equal(memory.layers["scaled"].toarray(), layer.toarray())
    np.testing.assert_array_equal(memory.obsp["near"], square)
    assert memory.obsm["table"]["u"].tolist() == list(range(N))
    assert memory.uns["title"] == "t"
    assert memory.uns["old"] == 1
    assert memory.uns["deep"]["b"]["c"].tolist() == [0, 1, 2]
    assert memory.X.sum() == N * M
    view = laid[[5, 1, 20], ["g3", "g0"]].to_memory()
    np.testing.assert_array_equal(view.layers["scaled"].toarray(), layer.toarray()[[5, 1, 20]][:, [3, 0]])
    np.testing.assert_array_equal(view.obsp["near"], square[np.ix_([5, 1, 20], [5, 1, 20])])
    np.testing.assert_array_equal(laid.to_dask().X.compute(), np.ones((N, M)))


def test_conditions(pair):
    theirs, ours = pair
    laid = ours.with_obs(COLUMNS)
    for name, values in COLUMNS.items():
        theirs.obs[name] = values
    obs = theirs.obs
    for ask, mask in (
        (lambda o: o["floats"] > 0.5, obs["floats"] > 0.5),
        (lambda o: o["group"] == "k1", obs["group"] == "k1"),
        (lambda o: o["text"].isin(["t1", "t3"]) & ~o["flag"], obs["text"].isin(["t1", "t3"]) & ~obs["flag"]),
        (lambda o: o["maybe"].isna(), obs["maybe"].isna()),
        (lambda o: (o["n"] > 3) & (o["level"] == "low"), (obs["n"] > 3) & (obs["level"] == "low")),
        (
            lambda o: o["words"].str.startswith("1"),
            obs["words"].str.startswith("1").fillna(False).astype(bool),
        ),
    ):
        assert list(laid[ask(laid.obs)].obs_names.to_memory()) == list(theirs[mask].obs_names)
    assert len(laid.obs.query("floats > 0.5 and group == 'k1'").to_memory()) == int(
        ((obs["floats"] > 0.5) & (obs["group"] == "k1")).sum()
    )
    assert laid.obs["group"].cat.categories.tolist() == ["k2", "k1", "k0"]
    assert laid.obs["group"].value_counts().to_dict() == obs["group"].value_counts().to_dict()
    table = laid.obs[["floats", "group", "maybe"]].to_arrow()
    assert table.num_rows == N
    with pytest.raises(lz.LazarrError, match="another object"):
        laid[ours.obs["n"] > 3].to_memory()


def test_on_a_view(pair):
    theirs, ours = pair
    index = [3, 11, 4, 25]
    view = ours[index, 1:5]
    laid = (
        view.with_obs(z=[1.0, 2.0, 3.0, 4.0])
        .with_layers(l=np.arange(16.0).reshape(4, 4))
        .with_var(w=list("abcd"))
    )
    memory = laid.to_memory()
    assert memory.obs["z"].tolist() == [1, 2, 3, 4]
    np.testing.assert_array_equal(memory.layers["l"], np.arange(16.0).reshape(4, 4))
    assert memory.var["w"].tolist() == list("abcd")
    assert laid[1:3].obs["z"].to_memory().tolist() == [2, 3]
    sparse = view.with_layers(s=sp.csr_matrix(np.eye(4))).layers["s"].to_memory()
    np.testing.assert_array_equal(sparse.toarray(), np.eye(4))
    picked = ours[ours.obs["n"] > 24].with_obs(q=np.arange(5))
    assert picked.to_memory().obs["q"].tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(lz.LazarrError, match="several times"):
        ours[[1, 1, 2]].with_obs(z=[1, 2, 3])
    assert theirs.n_obs == N


def test_alignment(pair):
    theirs, ours = pair
    names = theirs.obs_names
    shuffled = pd.Series(np.arange(N), index=names).sample(frac=1, random_state=3)
    assert ours.with_obs(s=shuffled).obs["s"].to_memory().tolist() == list(range(N))
    with pytest.raises(lz.LazarrError, match="to_numpy"):
        ours.with_obs(s=pd.Series(np.arange(N)))
    with pytest.raises(lz.LazarrError, match="rows"):
        ours.with_obs(s=np.arange(N + 1))
    with pytest.raises(lz.LazarrError, match="rows"):
        ours.with_obsm(s=np.ones((N - 1, 2)))
    with pytest.raises(lz.LazarrError, match="columns"):
        ours.with_layers(s=np.ones((N, M + 1)))
    assert ours.with_obs(batch="b1").obs["batch"].to_memory().tolist() == ["b1"] * N
    with pytest.raises(TypeError, match="in memory"):
        ours.with_obs(s=ours.obs["n"])


def test_transposed(pair):
    _, ours = pair
    laid = ours.T.with_obs(tag=np.arange(M)).with_layers(l=np.arange(M * N).reshape(M, N))
    assert laid.obs["tag"].to_memory().tolist() == list(range(M))
    np.testing.assert_array_equal(laid.layers["l"].to_memory(), np.arange(M * N).reshape(M, N))
    assert laid.T.var["tag"].to_memory().tolist() == list(range(M))


def test_it_is_not_read(pair):
    _, ours = pair
    laid = ours.with_obs(score=np.arange(N)).with_obsm(umap=np.ones((N, 2)))
    with lz.measure() as m:
        laid.obs["score"].to_memory()
        laid.obsm["umap"][3:9].to_memory()
    assert (m.report.requests, m.report.chunks, m.report.bytes_fetched) == (0, 0, 0)
    plan = laid.plan(["obs/score"])
    assert "in memory" in str(plan)
    assert ours.plan(["X"]).requests == laid.plan(["X"]).requests


def test_pickle_and_dask(pair):
    _, ours = pair
    laid = ours.with_obs(score=np.arange(N)).with_obsm(umap=np.arange(2.0 * N).reshape(N, 2))
    again = pickle.loads(pickle.dumps(laid[laid.obs["score"] > 20]))
    assert again.to_memory().obs["score"].tolist() == list(range(21, N))
    lazy = pickle.loads(pickle.dumps(laid.to_dask()))
    np.testing.assert_array_equal(lazy.obsm["umap"].compute(), np.arange(2.0 * N).reshape(N, 2))
    assert lazy.obs["score"].tolist() == list(range(N))


def test_it_is_written(pair, tmp_path):
    theirs, ours = pair
    layer = sp.random(N, M, 0.3, format="csr", random_state=2)
    laid = ours.with_obs(COLUMNS).with_layers(scaled=layer).with_uns(title="t")
    lz.write(laid[5:25], str(tmp_path / "out.zarr"))
    for name, values in COLUMNS.items():
        theirs.obs[name] = values
    theirs.layers["scaled"] = layer
    theirs.uns["title"] = "t"
    alike(ad.read_zarr(tmp_path / "out.zarr"), _taken(theirs, slice(5, 25)))


def test_anndata_reads_them_lazily(pair):
    theirs, ours = pair
    laid = ours.with_obs(COLUMNS)
    lazy = laid.to_dask()
    assert lazy.obs["group"].tolist() == list(COLUMNS["group"])
    both = lz.concat([laid, ours], label="batch", index_unique="-").to_dask()
    assert list(both.obs["batch"]) == ["0"] * N + ["1"] * N
    assert theirs.n_obs == N


def test_assignment_names_them(pair):
    _, ours = pair
    with pytest.raises(TypeError, match=r"adata = adata\.with_obs\(x=…\)"):
        ours.obs["x"] = 1
    with pytest.raises(TypeError, match=r"adata = adata\.with_var\(x=…\)"):
        ours.var["x"] = 1
    with pytest.raises(TypeError, match=r"adata = adata\.with_obsm\(X_new=…\)"):
        ours.obsm["X_new"] = 1
    with pytest.raises(TypeError, match=r"adata = adata\.with_uns\(\{'a b': …\}\)"):
        ours.uns["a b"] = 1
    with pytest.raises(TypeError, match=r"with_X"):
        ours.X = 1


def test_over_a_concatenation(pair, tmp_path):
    theirs, ours = pair
    both = lz.concat([ours.with_obs(extra=np.arange(N)), ours], join="outer", index_unique="-")
    laid = both.with_obs(whole=np.arange(2 * N))
    memory = laid.to_memory()
    assert memory.obs["whole"].tolist() == list(range(2 * N))
    assert memory.obs["extra"].isna().sum() == N
    view = laid[laid.obs["whole"] >= 2 * N - 2].to_memory()
    assert list(view.obs_names) == [f"c{N - 2}-1", f"c{N - 1}-1"]
    assert theirs.n_obs == N

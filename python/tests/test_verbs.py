"""The verbs that people type, against pandas, anndata and scanpy, and what each reads."""

from __future__ import annotations

from types import SimpleNamespace

import anndata as ad
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from counts import adata_of, write

import lazarr as lz


@pytest.fixture(scope="module")
def store(tmp_path_factory, seed):
    a = adata_of(np.random.default_rng([seed, 8]), 600, 80)
    a.obs["few"] = pd.array([1, None, 3] * 200, dtype="Int64")
    a.obs.index.name = "cell"
    return write(a, tmp_path_factory.mktemp("verbs") / "s.zarr"), a


@pytest.fixture
def lazy(store):
    return lz.open(store[0])


@pytest.fixture
def memory(lazy):
    return lazy.to_memory()


def bytes_of(code):
    """The bytes that were fetched while `code` ran."""
    with lz.measure() as seen:
        code()
    return seen.report.bytes_fetched


def test_head_and_query(lazy, memory):
    pd.testing.assert_frame_equal(lazy.obs.head(3), memory.obs.head(3))
    pd.testing.assert_series_equal(
        lazy.obs["score"].head(), memory.obs["score"].head().reset_index(drop=True)
    )
    for text in ("score > 0.5 and cell_type == 'T cell'", "batch in ['a', 'b'] or score < 0.1", "few.isna()"):
        found = lazy.obs.query(text)
        assert "DataFrame" in repr(found)
        pd.testing.assert_frame_equal(
            found.to_memory(remove_unused_categories=False), memory.obs.query(text), check_dtype=True
        )
    assert lazy.obs.query("score > 0.5").query("batch == 'a'")["score"].to_memory().min() > 0.5
    with pytest.raises(lz.LazarrError, match="scroe"):
        lazy.obs.query("scroe > 1")


def test_counts(lazy, memory):
    for name in ("cell_type", "batch", "donor", "few"):
        for kwargs in ({}, {"normalize": True}, {"dropna": False}, {"sort": False}, {"ascending": True}):
            pd.testing.assert_series_equal(
                lazy.obs[name].value_counts(**kwargs), memory.obs[name].value_counts(**kwargs)
            )
        assert lazy.obs[name].nunique() == memory.obs[name].nunique()
        assert list(lazy.obs[name].unique()) == list(memory.obs[name].unique())
    pd.testing.assert_series_equal(
        lazy.obs.value_counts(["batch", "donor"]), memory.obs.value_counts(["batch", "donor"])
    )
    part = lazy[lazy.obs["score"] > 0.5].obs["batch"]
    pd.testing.assert_series_equal(
        part.value_counts(sort=False), memory[memory.obs["score"] > 0.5].obs["batch"].value_counts(sort=False)
    )


def test_groups(lazy, memory):
    obs = memory.obs.reset_index(drop=True)
    for by in ("batch", ["batch", "cell_type"], "donor"):
        for observed in (True, False):
            ours, theirs = lazy.obs.groupby(by, observed=observed), obs.groupby(by, observed=observed)
            pd.testing.assert_series_equal(ours.size(), theirs.size())
            pd.testing.assert_series_equal(ours["score"].mean(), theirs["score"].mean())
            pd.testing.assert_frame_equal(
                ours[["score"]].agg(["min", "max"]), theirs[["score"]].agg(["min", "max"])
            )
    assert "nothing is read" in repr(lazy.obs.groupby("batch"))
    with pytest.raises(KeyError, match="btach"):
        lazy.obs.groupby("btach")
    with pytest.raises(TypeError, match="one by one"):
        iter(lazy.obs.groupby("batch"))
    with pytest.raises(AttributeError, match="no verb"):
        _ = lazy.obs.groupby("batch").nonsense


def test_each_reads_what_it_needs(store):
    lazy = lz.open(store[0])
    whole = lazy.obs.plan().fetch_bytes.value
    assert lazy.obs["batch"].plan().fetch_bytes.value < whole / 4
    counts = bytes_of(lazy.obs["batch"].value_counts)
    assert 0 < counts <= lazy.obs["batch"].plan().fetch_bytes.value * 1.5
    sizes = bytes_of(lambda: lazy.obs.groupby("batch").size())
    assert sizes == counts
    vector = bytes_of(lambda: lazy.obs_vector("score"))
    assert vector < whole


def test_genes_and_columns_side_by_side(lazy, memory):
    import scanpy as sc

    keys = ["batch", "gene0007", "score", "gene0003", "few"]
    pd.testing.assert_frame_equal(lazy.obs_df(keys), sc.get.obs_df(memory, keys))
    pd.testing.assert_frame_equal(lazy.obs_df(keys=["donor"]), sc.get.obs_df(memory, ["donor"]))
    for kwargs in ({"layer": "dense"}, {"layer": "csc"}, {"use_raw": True}):
        ours, theirs = (
            lazy.obs_df(["gene0007", "batch"], **kwargs),
            sc.get.obs_df(memory, ["gene0007", "batch"], **kwargs),
        )
        pd.testing.assert_frame_equal(ours, theirs)
    pd.testing.assert_frame_equal(
        lazy.var_df(["mito", "cell00003"]), sc.get.var_df(memory, ["mito", "cell00003"])
    )
    view = lazy[lazy.obs["batch"] == "a"]
    wanted = sc.get.obs_df(memory[memory.obs["batch"] == "a"], keys)
    pd.testing.assert_frame_equal(view.obs_df(keys), wanted, check_categorical=False)
    for key in ("score", "gene0005", "batch"):
        np.testing.assert_array_equal(lazy.obs_vector(key), memory.obs_vector(key))
    np.testing.assert_array_equal(lazy.var_vector("cell00011"), memory.var_vector("cell00011"))
    np.testing.assert_array_equal(
        lazy.obs_vector("gene0005", layer="dense"), memory.obs_vector("gene0005", layer="dense")
    )
    with pytest.raises(KeyError) as e:
        lazy.obs_df(["score", "gene_0005"])
    assert "gene_0005" in str(e.value)
    with pytest.raises(TypeError, match="both"):
        lazy.obs_df(["gene0005"], layer="dense", use_raw=True)


def test_to_df_and_chunks(lazy, memory):
    pd.testing.assert_frame_equal(lazy[:20].to_df(), memory[:20].to_df())
    pd.testing.assert_frame_equal(
        lazy[:, ["gene0003"]].to_df("dense"), memory[:, ["gene0003"]].to_df("dense")
    )
    for (chunk, start, end), (theirs, a, b) in zip(lazy.chunked_X(250), memory.chunked_X(250), strict=True):
        assert (start, end) == (a, b)
        np.testing.assert_array_equal(chunk.toarray(), theirs.toarray())
    total = sum(block.sum() for _, _, block in lazy.layers["dense"].iter_rows(100))
    assert total == memory.layers["dense"].sum()
    with lz.options(memory_limit="100KB"), pytest.raises(lz.MemoryLimitError, match="choose cells and genes"):
        lazy.to_df()


def test_tables_and_columns_are_arrows(lazy, memory):
    duckdb = pytest.importorskip("duckdb")
    narwhals = pytest.importorskip("narwhals")
    obs = lazy.obs[["batch", "score", "few"]]
    table = pa.table(obs)
    assert table["score"].to_pylist() == memory.obs["score"].tolist()
    assert pl.DataFrame(obs)["batch"].cast(pl.String).to_list() == memory.obs["batch"].tolist()
    assert pl.Series(lazy.obs["few"]).to_list() == [None if x is pd.NA else x for x in memory.obs["few"]]
    assert pa.array(lazy.obs["score"]).to_pylist() == memory.obs["score"].tolist()
    counts = duckdb.sql("select batch, count(*) as n from obs group by batch order by batch").fetchall()
    assert counts == sorted(memory.obs["batch"].value_counts().items())
    frame = narwhals.from_arrow(obs, backend="polars")
    assert frame["score"].to_list() == memory.obs["score"].tolist()


def test_dense_blocks_are_buffers(lazy, memory):
    x, wanted = lazy.obsm["X_umap"], memory.obsm["X_umap"]
    np.testing.assert_array_equal(np.from_dlpack(x), wanted)
    view = memoryview(x)
    assert (view.shape, view.format) == (wanted.shape, "f")
    np.testing.assert_array_equal(np.asarray(view), wanted)
    np.testing.assert_array_equal(np.from_dlpack(x[5:10]), wanted[5:10])


LEAST = 0.75


def test_variables_of_a_query(lazy, memory):
    kinds = ["T cell", 'B "cell"', "NK cell"]  # noqa: F841 - the query names it
    box = SimpleNamespace(half=np.float64(0.5))  # noqa: F841
    for text in (
        "score > @LEAST",
        "cell_type in @kinds and score <= @box.half",
        "batch == '@kinds' or `score` > @box.half",
    ):  # fmt: skip
        found = lazy.obs.query(text).to_memory(remove_unused_categories=False)
        pd.testing.assert_frame_equal(found, memory.obs.query(text))
    first = "a"
    assert (
        lazy.obs.query("batch == @first").resolve().shape
        == lazy.obs.query(f"batch == '{first}'").resolve().shape
    )
    other = lazy.obs.query("batch == @x", local_dict={"x": "b"}).to_memory()
    assert set(other["batch"]) == {"b"}
    with pytest.raises(KeyError, match="@nowhere"):
        lazy.obs.query("score > @nowhere")
    column = lazy.obs["score"]  # noqa: F841
    with pytest.raises(TypeError, match="read it first"):
        lazy.obs.query("score > @column")
    with pytest.raises(TypeError, match="dict"):
        lazy.obs.query("score > @names", local_dict={"names": {}})


def test_counts_are_pandas_to_the_order_of_ties(tmp_path, seed):
    """Of every kind of column, whole and in a view; equal counts stand as pandas has them."""
    rng = np.random.default_rng([seed, 12])
    n = 60
    obs = pd.DataFrame(
        {
            "cat": pd.Categorical(rng.choice(["z", "a", "m"], n), categories=["m", "unused", "z", "a"]),
            "holes": pd.Categorical(rng.choice(["x", "y", None], n)),
            "ordered": pd.Categorical(rng.choice(["lo", "hi"], n), categories=["lo", "hi"], ordered=True),
            "int": rng.integers(0, 9, n),
            "float": rng.choice([0.5, -0.0, 0.0, np.nan, 3], n),
            "bool": rng.random(n) < 0.5,
            "text": pd.array(rng.choice(["é", "b", ""], n), dtype="str"),
            "Int": pd.array(rng.choice([1, 2, 3], n), dtype="Int64").astype("Int64"),
            "yes": pd.array(rng.random(n) < 0.5, dtype="boolean"),
        },
        index=[f"c{i}" for i in range(n)],
    )  # fmt: skip
    obs.loc["c3", ["Int", "yes"]] = pd.NA
    path = str(tmp_path / "s.zarr")
    ad.AnnData(obs=obs).write_zarr(path)
    lazy, whole = lz.open(path), ad.io.read_zarr(path)
    views = [
        (lazy, whole),
        (lazy[5:30], whole[5:30]),
        (lazy[lazy.obs["int"] > 20], whole[whole.obs["int"] > 20]),
    ]
    for ours, theirs in views:
        theirs = theirs.copy() if theirs.is_view else theirs
        for name in obs.columns:
            for kwargs in ({}, {"normalize": True}, {"dropna": False}, {"ascending": True}, {"sort": False}):
                got = ours.obs[name].value_counts(**kwargs)
                pd.testing.assert_series_equal(got, theirs.obs[name].value_counts(**kwargs))
            pd.testing.assert_series_equal(ours.obs.groupby(name).size(), theirs.obs.groupby(name).size())
        for observed in (True, False):
            pd.testing.assert_series_equal(
                ours.obs.groupby("cat", observed=observed).size(),
                theirs.obs.groupby("cat", observed=observed).size(),
            )

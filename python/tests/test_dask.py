"""Arrays of Dask over a store: equal to what is in memory, blocks at the edges of chunks, selections pushed down."""

from __future__ import annotations

import pickle
import subprocess
import sys

import anndata as ad
import dask
import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
from counts import adata_of, write
from same import same

import lazarr as lz


@pytest.fixture(scope="module")
def store(tmp_path_factory, seed):
    a = adata_of(np.random.default_rng([seed, 5]))
    return write(a, tmp_path_factory.mktemp("dask") / "s.zarr"), a


@pytest.fixture
def lazy(store):
    return lz.open(store[0])


def dense(x):
    return x.toarray() if sp.issparse(x) else np.asarray(x)


def test_an_object_is_what_it_is_in_memory(store, lazy):
    a = lazy.to_dask()
    assert type(a) is ad.AnnData
    assert type(a.X) is type(a.raw.X) is type(a.obsp["near"]) is type(lazy.X.to_dask())
    m = a.to_memory()
    # Blocks are rows: what is stored the other way round is turned.
    m.layers["csc"] = sp.csc_matrix(m.layers["csc"])
    same(m, lazy.to_memory())


def test_blocks_are_rows_as_wide_as_the_matrix(store, lazy):
    a = lazy.to_dask(chunk_bytes="100KB")
    assert a.X.numblocks[0] > 5
    assert a.X.numblocks[1] == 1
    assert isinstance(a.X, da.Array)
    assert isinstance(a.X._meta, sp.csr_matrix)
    assert a.X._meta.dtype == np.float32
    for block in dask.compute(*a.X.to_delayed().ravel()):
        assert type(block) is sp.csr_matrix
        assert block.shape[1] == 300
        assert block.data.nbytes + block.indices.nbytes <= 100_000
    # csc is stored the other way round, and comes as csr all the same.
    csc = a.layers["csc"]
    assert type(csc.blocks[0].compute()) is sp.csr_matrix
    assert (csc.numblocks[0] > 1) == ("each of" in str(csc.plan()))
    same(sp.csc_matrix(csc.compute()), store[1].layers["csc"])
    assert type(a.layers["dense"]._meta) is np.ndarray


def test_blocks_are_cut_near_the_edges_of_chunks(store, lazy):
    x = store[1].X
    ends = np.cumsum(lazy.X.to_dask(chunk_bytes="200KB").chunks[0])[:-1]
    long = np.diff(x.indptr).max()
    apart = x.indptr[ends] % 2048
    assert (np.minimum(apart, 2048 - apart) <= long).all()
    # Dense rows are cut at the edges themselves, and never within a chunk.
    edge = lazy.layers["dense"].arrays[0]["inner"][0]
    ends = np.cumsum(lazy.layers["dense"].to_dask(chunk_bytes=1).chunks[0])[:-1]
    assert (ends % edge == 0).all()


def test_fetches_what_the_plan_says(store):
    # Without audit, shard indices are kept from block to block, as they are in use.
    lazy, m = lz.open(store[0], audit=False), store[1]
    a = lazy.to_dask()
    rng = np.random.default_rng(3)
    mask, some = rng.random(2000) < 0.3, rng.random(2000) < 0.01
    genes = rng.choice(300, 20, replace=False)
    cases = {
        "mask": (a[mask].X, m[mask].X, lazy[mask]),
        "few": (a[some].X, m[some].X, lazy[some]),
        "three": (a[[3, 505, 907]].X, m[[3, 505, 907]].X, lazy[[3, 505, 907]]),
        "genes": (a[:, genes].X, m[:, genes].X, lazy[:, genes]),
        "both": (a[mask, :][:, genes].X, m[mask][:, genes].X, lazy[mask, genes]),
        "turned": (a[::-3].X, m[::-3].X, lazy[::-3]),
        "twice": (a[[5, 5, 3]].X, m[[5, 5, 3]].X, lazy[[5, 5, 3]]),
    }
    for name, (x, wanted, view) in cases.items():
        lazy._store.session.clear_caches()
        plan = view.X.plan(resolve=True)
        lazy._store.session.clear_caches()
        with lz.measure() as seen:
            got = x.compute()
        np.testing.assert_array_equal(dense(got), dense(wanted), err_msg=name)
        assert seen.report.bytes_fetched > 0, name
        assert seen.report.bytes_fetched <= 1.1 * plan.fetch_bytes.value, (name, seen.report, plan)


def test_a_selection_made_before_is_pushed_down(store, lazy):
    m = store[1]
    t = lazy[lazy.obs["cell_type"] == "T cell", :50]
    a = t.to_dask()
    wanted = m[m.obs["cell_type"] == "T cell", :50]
    assert a.shape == wanted.shape
    m = a.to_memory()
    m.layers["csc"] = sp.csc_matrix(m.layers["csc"])
    same(m, t.to_memory())
    assert list(a.obs["cell_type"].cat.categories) == ["T cell"]
    # No task reads names or columns again.
    with lz.measure() as seen:
        a.X.compute(scheduler="sync")
    assert seen.report.bytes_fetched <= 1.1 * t.X.plan(resolve=True).fetch_bytes.value


def test_only_slicing_stays_a_selection(lazy):
    x = lazy.X.to_dask()
    kind = type(x)
    assert type(x[10:500]) is kind
    assert type(x[10:500][::2][:, 5:]) is kind
    assert type(x[np.arange(2000) % 3 == 0]) is kind
    assert type(x[[1, 2, 3]]) is kind
    assert x[10:500].element.shape == (490, 300)
    assert type(x + x) is da.Array
    assert type(x.map_blocks(lambda b: b)) is da.Array
    assert type(x.persist()) is da.Array
    assert type(x[da.from_array(np.arange(2000) % 3 == 0)]) is da.Array
    # In place: what stood there is the store's no more.
    y = lazy.layers["dense"].to_dask()
    y[:5] = 0
    assert y.element is None
    np.testing.assert_array_equal(y[3:7].compute()[:2], 0)


def test_indices_are_those_of_dask(store, lazy):
    m = store[1].layers["dense"]
    x, plain = lazy.layers["dense"].to_dask(), da.from_array(m, chunks=(500, -1))
    rng = np.random.default_rng(0)
    for index in (
        5, -1, np.int64(3), slice(None), slice(5, 2), slice(-3, None), (slice(None), 4), (3, 4), (3, slice(2, 9, 2)), ...,
        (..., 2), [], [7, 7, -1], rng.random(2000) < 0.2, (rng.integers(0, 2000, 40), slice(3, 5)), None,
        (slice(None), [4, 2]), np.zeros(2000, bool),
    ):  # fmt: skip
        ours, theirs = x[index], plain[index]
        assert ours.shape == theirs.shape, index
        np.testing.assert_array_equal(ours.compute(), theirs.compute(), err_msg=str(index))
    np.testing.assert_array_equal(x[range(4, 9)].compute(), m[4:9])
    for index in (5000, [5000], np.zeros(3, bool), (1, 2, 3)):
        with pytest.raises(IndexError):
            x[index]


def test_tasks_are_small_deterministic_and_say_everything(store, lazy):
    a, again = lz.open(store[0]).to_dask(chunk_bytes="100KB"), lz.open(store[0]).to_dask(chunk_bytes="100KB")
    assert a.X.name == again.X.name
    assert a[5:900].X.name == again[5:900].X.name
    assert a[5:900].X.name != a[6:900].X.name
    layer = a.X.dask.layers[a.X.name]
    assert all(len(pickle.dumps(task)) < 2000 for task in layer.mapping.values())
    x = pickle.loads(pickle.dumps(a.X))
    assert type(x) is type(a.X)
    assert (x.name, x.chunks) == (a.X.name, a.X.chunks)
    # Another process opens the store once, and keeps it.
    code = """
import sys, pickle, lazarr as lz
blocks = [task() for task in pickle.load(sys.stdin.buffer)]
from lazarr import _reader
assert len(_reader._open) == 1, _reader._open
assert "dask.array" not in sys.modules and "scanpy" not in sys.modules
print(sum(b.nnz for b in blocks))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=pickle.dumps(list(layer.mapping.values())),
        capture_output=True,
        check=True,
    )
    assert int(done.stdout) == store[1].X.nnz


def test_columns_are_chosen_and_the_plan_says_the_cost(lazy):
    with lz.measure() as seen:
        plan = lazy.plan(verb="to_dask", obs=["batch"], var=[])
    assert seen.report.requests == 0
    with lz.measure() as seen:
        a = lazy.to_dask(obs=["batch"], var=[])
    assert list(a.obs.columns) == ["batch"]
    assert list(a.var.columns) == []
    assert seen.report.bytes_fetched <= plan.fetch_bytes.value * 1.2
    assert plan.fetch_bytes.value < lazy.plan(verb="to_dask").fetch_bytes.value
    with pytest.raises(lz.KeyNotFoundError, match="btach"):
        lazy.to_dask(obs=["btach"])
    with pytest.raises(TypeError, match="list"):
        lazy.to_dask(obs="batch")
    assert lazy.to_dask(load_annotation_index=False).obs_names[:2].tolist() == ["0", "1"]


def test_elements_and_what_cannot_be(lazy):
    np.testing.assert_array_equal(lazy.obsm["X_umap"].to_dask().compute(), lazy.obsm["X_umap"].to_memory())
    assert lazy.X[:0].to_dask().compute().shape == (0, 300)
    with pytest.raises(TypeError, match="transposed"):
        lazy.T.to_dask()
    with pytest.raises(TypeError, match="transposed"):
        lazy.X.T.to_dask()
    assert not hasattr(lazy.obs["batch"], "to_dask")


def test_a_copy_and_a_write_are_anndatas(lazy, tmp_path):
    a = lazy[100:600].to_dask()
    np.testing.assert_array_equal(dense(a.copy().X.compute()), dense(lazy[100:600].X.to_memory()))
    a.write_zarr(tmp_path / "out.zarr")
    np.testing.assert_array_equal(
        dense(ad.read_zarr(tmp_path / "out.zarr").X), dense(lazy[100:600].X.to_memory())
    )


def test_limits_hold_in_tasks(store):
    lazy = lz.open(store[0], memory_limit="200MB", threads=1)
    with lz.options(memory_limit="1KB"):
        pass  # of another block
    x = lazy.X.to_dask(chunk_bytes="100KB")
    task = next(iter(x.dask.layers[x.name].mapping.values()))
    (block,) = [a for a in task.args if hasattr(a, "reader")]
    assert block.reader.args[:2] == (200_000_000, 1)
    with lz.options(memory_limit="20MB"):
        x = lazy.X.to_dask(chunk_bytes="100KB")
    (block,) = [a for a in next(iter(x.dask.layers[x.name].mapping.values())).args if hasattr(a, "reader")]
    assert block.reader.args[0] == 20_000_000


def test_without_dask_the_error_says_what_to_install(store):
    code = f"""
import sys
sys.modules["dask"] = None
import lazarr as lz
try:
    lz.open({store[0]!r}).to_dask()
except ImportError as e:
    assert "lazarr[dask]" in str(e), e
else:
    raise SystemExit("it was made without Dask")
"""
    subprocess.run([sys.executable, "-c", code], check=True)

"""Readers with anndata's names: the same results, from paths, groups and stores of zarr-python."""

from __future__ import annotations

import pickle
import warnings

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
import zarr
from anndata.acc import A
from counts import adata_of, write
from same import same

import lazarr as lz
import lazarr.anndata as readers


class Counting(zarr.storage.WrapperStore):
    """Counts the requests for each key."""

    def __init__(self, store):
        super().__init__(store)
        self.seen = []

    async def get(self, key, *args, **kwargs):
        self.seen.append(key)
        return await self._store.get(key, *args, **kwargs)

    def count(self, prefix):
        return sum(key.startswith(f"{prefix}/c/") for key in self.seen)


@pytest.fixture(scope="module")
def store(tmp_path_factory, seed):
    a = adata_of(np.random.default_rng([seed, 6]), 500, 60)
    return write(a, tmp_path_factory.mktemp("readers") / "s.zarr"), a


def test_stores_of_zarr_are_opened(store, tmp_path):
    path, _ = store
    wanted = lz.open(path).to_memory()
    group = zarr.open_group(path, mode="r")
    # A local directory is read by its path, whoever has opened it.
    assert lz.open(group)._store.session.url == path
    memory = zarr.storage.MemoryStore()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ad.io.write_elem(zarr.open_group(memory, mode="w"), "/", wanted)
        lazy = lz.open(memory)
        same(lazy.to_memory(), wanted)
        same(lz.open(zarr.open_group(memory, mode="r")["obs"]).to_memory(), wanted.obs)
    same(lz.open(group["obsm/X_umap"]).to_memory(), wanted.obsm["X_umap"])
    with pytest.raises(TypeError, match="cannot be opened"):
        lz.open(object())


def test_a_store_that_counts_sees_what_a_plan_says(store):
    counting = Counting(zarr.storage.LocalStore(store[0]))
    lazy = lz.open(counting, audit=False)
    assert counting.seen == ["zarr.json"]
    plan = lazy.X[:20].plan(resolve=True)
    counting.seen.clear()
    lazy.X[:20].to_memory()
    assert len(counting.seen) <= plan.requests.value
    assert counting.count("X/data") == counting.count("X/indices") == 1
    assert counting.count("layers/dense") == 0
    dask = lazy.to_dask().X[:20]
    assert dask.compute().shape == (20, 60)


def test_a_store_that_fails_says_so(store):
    class Failing(zarr.storage.WrapperStore):
        async def get(self, key, *args, **kwargs):
            if key.startswith("X/data/c"):
                msg = "the line is cut"
                raise OSError(msg)
            return await self._store.get(key, *args, **kwargs)

    lazy = lz.open(Failing(zarr.storage.LocalStore(store[0])))
    with pytest.raises(lz.StoreError, match="X/data/c") as e:
        lazy.X.to_memory()
    assert "the line is cut" in str(e.value)


def test_read_lazy(store):
    path, m = store
    a = readers.read_lazy(path)
    assert type(a) is ad.AnnData
    same(a.obs, lz.open(path).obs.to_memory())
    np.testing.assert_array_equal(a.X.compute().toarray(), m.X.toarray())
    x = readers.read_lazy(zarr.open_group(path, mode="r"), obs="xarray")
    assert type(x.obs).__name__ == "Dataset2D"
    assert x[:5].obs.to_memory()["batch"].tolist() == m.obs["batch"][:5].tolist()
    counting = Counting(zarr.storage.LocalStore(path))
    unnamed = readers.read_lazy(counting, load_annotation_index=False)
    assert not any(counting.count(f"{axis}/_index") for axis in ("obs", "var"))
    assert unnamed.obs_names[:2].tolist() == ["0", "1"]
    assert unnamed.obs["batch"].tolist() == m.obs["batch"].tolist()
    with pytest.raises(ValueError, match="xarray"):
        readers.read_lazy(path, obs="polars")
    with pytest.raises(TypeError, match="read_elem_lazy"):
        readers.read_lazy(f"{path}/X")


def test_lazy_tables_read_what_is_used(store):
    """obs and var of anndata's own kind: a column waits, is cut before it is read, and says its type for its categories."""
    path, m = store
    counting = Counting(zarr.storage.LocalStore(path))
    x = readers.read_lazy(counting, obs="xarray", load_annotation_index=False)
    assert not counting.count("obs/batch/codes")
    assert not counting.count("obs/_index")
    assert x.obs["batch"].dtype.categories.tolist() == ["a", "b", "c"]
    assert not counting.count("obs/batch/codes")
    part = x[x.obs["batch"] == "a"].to_memory()
    wanted = m[m.obs["batch"] == "a"]
    assert part.obs["score"].tolist() == wanted.obs["score"].tolist()
    assert part.obs_names.tolist() == wanted.obs_names.tolist()
    np.testing.assert_array_equal(part.X.toarray(), wanted.X.toarray())
    assert isinstance(x.uns["cell_type_colors"], type(x.obsm["X_umap"]).__mro__[1])
    both = ad.concat([readers.read_lazy(path, obs="xarray") for _ in range(2)], join="inner")
    assert both.obs["batch"].to_numpy().tolist() == [*m.obs["batch"], *m.obs["batch"]]


def test_errors_are_of_both_packages(store, tmp_path):
    from anndata._io.specs.registry import IORegistryError

    with pytest.raises(zarr.errors.GroupNotFoundError):
        readers.read_zarr(zarr.storage.MemoryStore())
    memory = zarr.storage.MemoryStore()
    group = zarr.open_group(memory, mode="w")
    group.create_group("x").attrs.update({"encoding-type": "floob", "encoding-version": "1.0"})
    with pytest.raises(
        IORegistryError, match=r"IOSpec\(encoding_type='floob', encoding_version='1.0'\)"
    ) as e:
        readers.read_elem(group["x"])
    assert isinstance(e.value, lz.UnsupportedError)
    assert e.value.code == "LZ0401"


def test_read_elem(store):
    path, _ = store
    group = zarr.open_group(path, mode="r")
    with ad.settings.override(use_sparse_array_on_read=False):
        for name in ("X", "obs", "obsm/X_umap", "obs/batch", "uns", "layers/csc", "uns/title"):
            wanted = ad.io.read_elem(group[name])
            same(readers.read_elem(group[name]), wanted, name)
            same(readers.read_elem(f"{path}/{name}"), wanted, name)


def test_read_elem_lazy(store):
    path, m = store
    x = readers.read_elem_lazy(f"{path}/X", chunks=(100, -1))
    assert x.chunks == ((100,) * 5, (60,))
    assert isinstance(x._meta, sp.csr_matrix)
    assert readers.read_elem_lazy(f"{path}/X", chunks=(None, 60)).numblocks == (1, 1)
    np.testing.assert_array_equal(x.compute().toarray(), m.X.toarray())
    assert type(readers.read_elem_lazy(zarr.open_group(path, mode="r")["obs"])).__name__ == "Dataset2D"
    grid = readers.read_elem_lazy(f"{path}/layers/dense", chunks=(200, 25))
    assert grid.chunks == ((200, 200, 100), (25, 25, 10))
    np.testing.assert_array_equal(grid.compute(), m.layers["dense"])
    csc = readers.read_elem_lazy(f"{path}/layers/csc", chunks=(-1, 20))
    assert isinstance(csc._meta, sp.csc_matrix)
    np.testing.assert_array_equal(csc.blocks[0, 1].compute().toarray(), m.layers["dense"][:, 20:40])
    names = readers.read_elem_lazy(f"{path}/uns/cell_type_colors", chunks=(3,))
    assert names.chunks == ((3, 1),)
    assert names.compute().tolist() == m.uns["cell_type_colors"].tolist()
    with pytest.raises(ValueError, match="as wide as"):
        readers.read_elem_lazy(f"{path}/X", chunks=(100, 10))
    with pytest.raises(ValueError, match="axes"):
        readers.read_elem_lazy(f"{path}/X", chunks=(100,))


def test_sparse_dataset(store):
    path, m = store
    data, theirs = (
        readers.sparse_dataset(f"{path}/X"),
        ad.io.sparse_dataset(zarr.open_group(path, mode="r")["X"]),
    )
    assert (data.shape, data.format, data.dtype) == (theirs.shape, theirs.format, theirs.dtype)
    for index in (
        slice(3, 9),
        4,
        [5, 2],
        np.arange(500) % 7 == 0,
        (slice(None), [3, 1]),
        ([4, 9, 2], [8, 8]),
    ):
        got = data[index]
        assert sp.issparse(got)
        wanted = (
            m.X[np.ix_(*index)] if isinstance(index, tuple) and isinstance(index[0], list) else m.X[index]
        )
        np.testing.assert_array_equal(got.toarray(), wanted.toarray())
    assert data.plan(slice(3)).requests.value > 0
    with pytest.raises(TypeError, match="sparse"):
        readers.sparse_dataset(f"{path}/obs")


def test_read_dispatched(store):
    path, m = store
    seen = {}

    def callback(read, name, elem, *, iospec):
        seen[name] = iospec.encoding_type
        if name.startswith(("/layers", "/obsp", "/raw")):
            return None
        if iospec.encoding_type == "csr_matrix":
            return read(elem).astype("f8")
        return read(elem)

    a = readers.read_dispatched(path, callback)
    assert a.X.dtype == np.float64
    assert not a.layers
    assert a.raw is None
    same(a.obs, lz.open(path).obs.to_memory())
    same(a.obsm["table"], m.obsm["table"])
    assert seen["/"] == "anndata"
    assert seen["/X"] == "csr_matrix"
    assert seen["/obs/batch"] == "categorical"
    assert "/obs/_index" in seen
    # What anndata names, we name.
    theirs = set()

    def note(read, name, elem, *, iospec):
        theirs.add(name)
        return read(elem)

    ad.experimental.read_dispatched(zarr.open_group(path, mode="r"), note)
    ours = set()

    def note_ours(read, name, elem, *, iospec):
        ours.add(name)
        return read(elem)

    readers.read_dispatched(path, note_ours)
    # It also visits the arrays that an element is made of; ours are elements.
    assert ours <= theirs
    assert {
        "/obs",
        "/obs/batch",
        "/obs/_index",
        "/layers/csc",
        "/obsm/table/p",
        "/raw",
        "/raw/X",
        "/uns/title",
    } <= ours


def test_the_namespace_has_the_plan(store):
    lazy = lz.open(store[0])
    a = lazy.to_dask()
    assert a.lazarr.plan().fetch_bytes == lazy.X.plan().fetch_bytes
    assert a[:40].lazarr.plan().fetch_bytes.value < a.lazarr.plan().fetch_bytes.value
    assert a[:, :5].lazarr.element().shape == (500, 5)
    assert a.lazarr.plan("obsm/X_umap").chunks.value > 0
    assert a.lazarr.plan("raw/X").chunks.value > 0
    with pytest.raises(KeyError, match="obsm/nothing"):
        a.lazarr.plan("obsm/nothing")
    a.X = a.X * 2
    with pytest.raises(TypeError, match="only sliced"):
        a.lazarr.plan()
    with pytest.raises(TypeError, match="only sliced"):
        lazy.to_memory().lazarr.plan()


def test_references_are_indices(store):
    path, m = store
    lazy = lz.open(path)
    np.testing.assert_array_equal(
        lazy[A.X[:, "gene0004"]].to_memory().toarray().ravel(), m[A.X[:, "gene0004"]]
    )
    np.testing.assert_array_equal(
        lazy[A.layers["dense"]["cell00003", :]].to_memory().ravel(), m.layers["dense"][3]
    )
    same(lazy[A.obs["batch"]].to_memory().array, m.obs["batch"].array)
    assert lazy[A.obs.index].to_memory().tolist() == m.obs_names.tolist()
    np.testing.assert_array_equal(lazy[A.obsm["X_umap"][1]].to_memory(), m.obsm["X_umap"][:, 1])
    got = lazy[A.obsp["near"][:, "cell00007"]].to_memory()
    np.testing.assert_array_equal(got.toarray().ravel(), m.obsp["near"][:, [7]].toarray().ravel())
    assert lazy[A.X].shape == m.shape
    with pytest.raises(IndexError, match="names no element"):
        lazy[A.layers]


def test_tasks_of_a_python_store_do_not_travel(store):
    x = lz.open(Counting(zarr.storage.LocalStore(store[0]))).X.to_dask()
    assert x.compute().shape == (500, 60)
    # It may hold a secret.
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(x)


def test_an_object_in_uns_is_one(store, tmp_path):
    m = store[1]
    small = m[:5, :4].copy()
    outer = ad.AnnData(np.ones((2, 2), "f4"), uns={"deep": {"inner": small}})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outer.write_zarr(tmp_path / "o.zarr")
    wanted = ad.read_zarr(tmp_path / "o.zarr")
    same(lz.open(tmp_path / "o.zarr").to_memory().uns["deep"]["inner"], wanted.uns["deep"]["inner"])
    same(lz.open(tmp_path / "o.zarr").uns.to_memory()["deep"]["inner"], wanted.uns["deep"]["inner"])


def test_sparse_arrays_where_anndata_is_set_so(store):
    lazy = lz.open(store[0])
    with ad.settings.override(use_sparse_array_on_read=True):
        assert isinstance(lazy.X[:5].to_memory(), sp.csr_array)
        assert isinstance(readers.read_elem(f"{store[0]}/X"), sp.csr_array)
        # Blocks of Dask are the matrices that scanpy takes.
        assert isinstance(lazy.X[:5].to_dask().compute(), sp.csr_matrix)
    assert isinstance(lazy.X[:5].to_memory(), sp.csr_matrix)

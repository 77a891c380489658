"""Callbacks of anndata's write_dispatched: the same callback with lazarr, the same store."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import zarr
from anndata.experimental import write_dispatched as theirs
from same import same_anndata

import lazarr as lz
from lazarr.anndata import write_dispatched


@pytest.fixture
def adata():
    rng = np.random.default_rng(5)
    x = sp.random(60, 30, 0.3, format="csr", dtype=np.float32, random_state=rng)
    obs = pd.DataFrame(
        {
            "n": rng.integers(0, 9, 60),
            "kind": pd.Categorical(rng.choice(["a", "b"], 60)),
            "left": pd.array(rng.integers(0, 3, 60), dtype="Int64"),
        },
        index=[f"c{i}" for i in range(60)],
    )
    made = ad.AnnData(x, obs=obs, layers={"dense": x.toarray(), "counts": x.copy()})
    made.obsm["X_pca"] = rng.random((60, 5))
    made.uns["nested"] = {"a": 1, "b": {"c": np.arange(4), "d": "text"}}
    made.raw = made.copy()
    return made


def plain(write, store, key, elem, *, dataset_kwargs, iospec):
    write(store, key, elem, dataset_kwargs=dataset_kwargs)


def skips(write, store, key, elem, *, dataset_kwargs, iospec):
    if key.rpartition("/")[2] not in {"dense", "raw"}:
        write(store, key, elem, dataset_kwargs=dataset_kwargs)


def renames_and_casts(write, store, key, elem, *, dataset_kwargs, iospec):
    if key.rpartition("/")[2] == "X_pca":
        key, elem = "X_half", elem.astype(np.float32)
    if iospec.encoding_type == "csr_matrix":
        elem = elem.astype(np.float64)
    write(store, key, elem, dataset_kwargs=dataset_kwargs)


@pytest.mark.parametrize("callback", [plain, skips, renames_and_casts])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_callback_writes_what_it_writes_with_anndata(tmp_path, adata, callback, zarr_format):
    one, two = tmp_path / "one.zarr", tmp_path / "two.zarr"
    theirs(zarr.open_group(one, mode="w", zarr_format=zarr_format), "/", adata, callback)
    write_dispatched(zarr.open_group(two, mode="w", zarr_format=zarr_format), "/", adata, callback)
    assert zarr.open_group(two).metadata.zarr_format == zarr_format
    same_anndata(ad.read_zarr(two), ad.read_zarr(one))


def test_chunks_and_codecs_of_a_callback(tmp_path, adata):
    def chunked(write, store, key, elem, *, dataset_kwargs, iospec):
        if iospec.encoding_type == "csr_matrix":
            dataset_kwargs = {"chunks": (64,), "compressors": zarr.codecs.ZstdCodec(level=7)}
        elif iospec.encoding_type == "array" and elem.ndim == 2:
            dataset_kwargs = {"chunks": (7, elem.shape[1]), "shards": (21, elem.shape[1])}
        write(store, key, elem, dataset_kwargs=dataset_kwargs)

    path = tmp_path / "s.zarr"
    write_dispatched(path, "/", adata, chunked)
    group = zarr.open_group(path, mode="r")
    assert group["X/data"].chunks == (64,)
    assert "ZstdCodec(level=7" in str(group["X/data"].metadata)
    assert group["obsm/X_pca"].chunks == (7, 5)
    assert group["obsm/X_pca"].shards == (21, 5)
    same_anndata(ad.read_zarr(path), adata)


def test_a_column_that_is_left_out_is_not_named_either(tmp_path, adata):
    """anndata's own leaves its name in column-order, and cannot read the store."""

    def without(write, store, key, elem, *, dataset_kwargs, iospec):
        if key != "left":
            write(store, key, elem, dataset_kwargs=dataset_kwargs)

    write_dispatched(tmp_path / "s.zarr", "/", adata, without)
    assert list(ad.read_zarr(tmp_path / "s.zarr").obs) == ["n", "kind"]


def test_lazy_elements_are_read_as_they_are_written(tmp_path, adata):
    lz.write(adata, tmp_path / "one.zarr")
    lazy = lz.open(tmp_path / "one.zarr")

    def rows(write, store, key, elem, *, dataset_kwargs, iospec):
        write(store, key, lazy.X[:10] if key == "X" else elem, dataset_kwargs=dataset_kwargs)

    write_dispatched(tmp_path / "two.zarr", "/", {"X": 0, "more": lazy.obsm["X_pca"]}, rows)
    found = lz.open(tmp_path / "two.zarr").to_memory()
    assert (found["X"] != adata.X[:10]).nnz == 0
    np.testing.assert_array_equal(found["more"], adata.obsm["X_pca"])


def test_what_cannot_be_is_refused_before_anything_is_written(tmp_path, adata):
    path = tmp_path / "s.zarr"
    with pytest.raises(TypeError, match="key='/'"):
        write_dispatched(path, "layers", {}, plain)
    with pytest.raises(TypeError, match="fill_value"):
        write_dispatched(path, "/", adata, plain, dataset_kwargs={"fill_value": 3})
    with pytest.raises(TypeError, match="did not write the whole"):
        write_dispatched(path, "/", adata, lambda *_, **__: None)

    def by_itself(write, store, key, elem, *, dataset_kwargs, iospec):
        if key == "X":
            store.create_array("X", data=np.zeros(3))
        write(store, key, elem, dataset_kwargs=dataset_kwargs)

    with pytest.raises(TypeError, match="create_array"):
        write_dispatched(path, "/", adata, by_itself)
    with pytest.raises(TypeError, match="on the disk"):
        write_dispatched(zarr.storage.MemoryStore(), "/", adata, plain)
    assert not path.exists()

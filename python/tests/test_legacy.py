"""Stores as anndata before 0.7 wrote them, of which no archive is known: they are what anndata makes of them."""

from __future__ import annotations

import pickle

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
import zarr
from same import same

import lazarr as lz

pytestmark = pytest.mark.filterwarnings("ignore")

N, M = 11, 7


def put(group, name, items):
    items = np.asarray(items)
    chunks = tuple(max(1, (n + 1) // 2) for n in items.shape)
    group.create_array(name, shape=items.shape, dtype=items.dtype, chunks=chunks)[...] = items


def sparse(group, name, matrix):
    node = group.create_group(
        name, attributes={"h5sparse_format": matrix.format, "h5sparse_shape": list(matrix.shape)}
    )
    for part in ("data", "indices", "indptr"):
        put(node, part, getattr(matrix, part))


def records(rows, **columns):
    out = np.zeros(rows, [(name, dtype) for name, (dtype, _) in columns.items()])
    for name, (_, values) in columns.items():
        out[name] = values
    return out


@pytest.fixture
def store(tmp_path):
    rng = np.random.default_rng(1)
    root = zarr.open_group(tmp_path / "old.zarr", mode="w", zarr_format=2)
    sparse(root, "X", sp.random(N, M, 0.4, "csr", np.float32, rng=rng))
    obs = records(
        N,
        index=("S6", [f"c{i}" for i in range(N)]),
        n=("<f8", rng.random(N)),
        louvain=("i1", rng.integers(-1, 3, N)),
        both=("i1", rng.integers(0, 2, N)),
        text=("<U3", rng.choice(["a", "bb", "é"], N)),
        flag=("?", rng.random(N) > 0.5),
    )
    put(root, "obs", obs)
    names = [f"g{i}" for i in range(M + 2)]
    put(root, "var", records(M, index=("<U6", names[:M]), both=("<i4", rng.integers(100, 1000, M))))
    put(root, "obsm", records(N, d1=("<f4", rng.random(N)), d2=("<i8", 3)))
    uns = root.create_group("uns")
    put(uns, "louvain_categories", np.array([b"x", b"y", b"z"]))
    put(uns, "both_categories", ["p", "q"])
    put(uns, "other_categories", ["p", "q"])
    put(uns, "rec", np.array([(b"a", "z", 1), (b"b", "y", 2)], [("a", "S2"), ("b", "U2"), ("c", "i4")]))
    neighbors = uns.create_group("neighbors")
    put(neighbors.create_group("params"), "metrics", ["euclidean", "cosine"])
    sparse(neighbors, "distances", sp.random(N, N, 0.3, "csr", rng=rng))
    put(neighbors, "connectivities", rng.random((N, N)))
    sparse(root, "raw.X", sp.random(N, M + 2, 0.4, "csc", np.float32, rng=rng))
    put(root, "raw.var", records(M + 2, index=("<U6", names), k=("<f4", 1)))
    put(root, "raw.varm", records(M + 2, d=("<f4", 2)))
    return tmp_path / "old.zarr"


def test_is_what_anndata_reads(store):
    same(lz.open(store).to_memory(), ad.read_zarr(store))


def test_views(store):
    lazy, whole = lz.open(store), ad.read_zarr(store)
    for view, expected in [
        (lazy[2:9:3], whole[2:9:3]),
        (lazy[["c4", "c1"], ["g3", "g0"]], whole[["c4", "c1"], ["g3", "g0"]]),
        (lazy[lazy.obs["louvain"] == "x"], whole[whole.obs["louvain"] == "x"]),
        (
            lazy[(lazy.obs.n > 0.3) & (lazy.obs.text == "é"), lazy.var.both > 400],
            whole[(whole.obs.n > 0.3) & (whole.obs.text == "é"), whole.var.both > 400],
        ),
    ]:
        same(view.to_memory(), expected.copy())
        same(pickle.loads(pickle.dumps(view)).to_memory(), expected.copy())


def test_elements(store):
    lazy, whole = lz.open(store), ad.read_zarr(store)
    same(lazy.obs[["n", "louvain"]].to_memory(), whole.obs[["n", "louvain"]])
    same(lazy.obs["text"].to_memory(index=True), whole.obs["text"])
    same(lazy.raw.X[3:, [1, 8]].to_memory(), whole.raw.X[3:, [1, 8]])
    same(lazy.raw.var.to_memory(), whole.raw.var)
    for element in (lazy.raw.var, lazy.raw.X, lazy.obsp["distances"], lazy.obs["text"], lazy.obsm["d1"]):
        same(pickle.loads(pickle.dumps(element)).to_memory(), element.to_memory())


def test_scalars_are_python_values(store):
    uns = zarr.open_group(store)["uns"]
    put(uns, "text", np.array("é"))
    put(uns, "bytes", np.array(b"abc"))
    put(uns, "number", np.array(2.5))
    found = lz.open(store).uns.to_memory()
    assert (found["text"], found["bytes"], found["number"]) == ("é", "abc", 2.5)


def test_all_fields_come_with_one_read(store):
    plan = lz.open(store).obs[["n", "text", "flag"]].plan()
    assert plan.requests.value == 2, "the chunks of obs, each once"


def test_two_forms_of_raw(store):
    raw = zarr.open_group(store).create_group("raw")
    put(raw, "X", np.zeros((N, M), np.float32))
    with pytest.raises(ValueError, match="both legacy and current raw"):
        ad.read_zarr(store)
    lazy = lz.open(store)
    assert "two forms of raw" in repr(lazy)
    assert lazy.X.to_memory().shape == (N, M)
    with pytest.raises(lz.InvalidStoreError, match="two forms of raw"):
        lazy.to_memory()


def test_a_code_without_a_category(store):
    uns = zarr.open_group(store)["uns"]
    del uns["louvain_categories"]
    put(uns, "louvain_categories", ["x"])
    lazy = lz.open(store)
    assert lazy.obs["n"].to_memory().shape == (N,)
    with pytest.raises(lz.InvalidStoreError, match="a code points at no category") as e:
        lazy.obs["louvain"].to_memory()
    assert e.value.element == "obs"


def test_a_missing_chunk_of_names(store):
    (store / "obs" / "1").unlink()
    with pytest.raises(lz.InvalidStoreError, match="is missing"):
        lz.open(store).obs.to_memory()


def test_a_column_that_is_the_index(tmp_path):
    import pandas as pd

    names = pd.Index(["a", "b", "c"], name="k")
    a = ad.AnnData(
        np.zeros((3, 2), np.float32), obs=pd.DataFrame({"k": ["a", "b", "c"], "n": 1}, index=names)
    )
    a.write_zarr(tmp_path / "k.zarr", convert_strings_to_categoricals=False)
    same(lz.open(tmp_path / "k.zarr").to_memory(), ad.read_zarr(tmp_path / "k.zarr"))
    same(lz.open(tmp_path / "k.zarr")[1:].to_memory().obs, ad.read_zarr(tmp_path / "k.zarr")[1:].obs)


def test_a_root_that_lost_its_attributes(tmp_path):
    a = ad.AnnData(np.ones((3, 2), np.float32))
    a.write_zarr(tmp_path / "a.zarr")
    (tmp_path / "a.zarr" / "zarr.json").write_text(
        '{"zarr_format": 3, "node_type": "group", "attributes": {}}'
    )
    same(lz.open(tmp_path / "a.zarr").to_memory(), ad.read_zarr(tmp_path / "a.zarr"))


def test_the_modalities_of_a_mudata(tmp_path):
    a = ad.AnnData(np.arange(6, dtype=np.float32).reshape(3, 2))
    root = zarr.open_group(tmp_path / "m.zarr", mode="w", attributes={"encoding-type": "MuData"})
    ad.io.write_elem(root.create_group("mod"), "rna", a)
    zarr.consolidate_metadata(root.store)
    same(lz.open(tmp_path / "m.zarr" / "mod" / "rna").to_memory(), a)

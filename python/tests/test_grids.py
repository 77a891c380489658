"""Rectilinear chunk grids: what zarr-python reads with its switch on."""

from __future__ import annotations

import json
import shutil
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import zarr
from grids import RECTILINEAR, one_row_chunks, random_codecs, random_grid
from same import same
from stores import WORDS, in_memory, numbers, read, selection
from test_random import StableNumpy
from zarr.codecs import TransposeCodec

import lazarr as lz


@pytest.fixture(autouse=True)
def _switch(monkeypatch):
    monkeypatch.setattr(
        "scipy.sparse._compressed.np", StableNumpy()
    )  # columns that are picked twice, in order
    with warnings.catch_warnings(), zarr.config.set(RECTILINEAR):
        warnings.simplefilter("ignore")
        yield


def indices(rng, n):
    """An index along an axis of n items, for both."""
    kind = rng.integers(5)
    if kind == 0:
        return slice(None)
    if kind == 1:
        a, b = sorted(rng.integers(0, n + 1, 2).tolist())
        return slice(a, b, int(rng.integers(1, 4)))
    if kind == 2:
        return rng.random(n) < 0.3
    return rng.integers(0, n, int(rng.integers(0, 2 * n)))


def parts(rng, element, value):
    """A random part: one axis after the other, for two lists are refused."""
    for axis in rng.permutation(value.ndim):
        index = indices(rng, value.shape[axis]) if value.shape[axis] else slice(None)
        key = (*[slice(None)] * axis, index)
        element, value = element[key], value[key]
    return element, value


@pytest.mark.parametrize("number", range(60))
def test_arrays(number, seed, tmp_path):
    rng = np.random.default_rng([seed, number])
    shape = tuple(rng.integers(1, 60, rng.integers(1, 4)).tolist())
    text = rng.random() < 0.15
    value = rng.choice(np.array(WORDS, dtype=object), shape) if text else numbers(rng, shape)
    whole = rng.random() < 0.5
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=shape, dtype=str if text else value.dtype, chunks=random_grid(rng, shape),
        compressors=random_codecs(rng), fill_value="" if text else value.dtype.type(rng.integers(2)),
        config={"write_empty_chunks": whole},
    )  # fmt: skip
    array[...] = value
    if rng.random() < 0.3:
        # Edges stay where they were, behind the array too.
        array.resize(tuple(rng.integers(0, np.array(shape) + 1).tolist()))
    theirs = zarr.open_array(tmp_path / "a.zarr", mode="r")[...]
    ours = lz.open(str(tmp_path / "a.zarr"))
    np.testing.assert_array_equal(np.asarray(ours.to_memory()), theirs)
    for _ in range(10):
        part, expected = parts(rng, ours, theirs)
        plan = part.plan(resolve=True)
        with lz.measure() as m:
            got = np.asarray(part.to_memory())
        assert got.shape == expected.shape
        np.testing.assert_array_equal(got, expected)
        assert plan.requests.value == m.report.requests
        assert plan.fetch_bytes.value == m.report.bytes_fetched
        if not text:
            assert plan.decode_bytes.value == m.report.bytes_decoded
        assert part.plan().decode_bytes.value >= m.report.bytes_decoded or text


def test_forms_of_edges(tmp_path):
    """What zarr-python takes, and what it refuses."""
    array = zarr.create_array(tmp_path / "a.zarr", shape=(12,), dtype="i4", chunks=[[3, 4, 5]], fill_value=7)
    array[:] = np.arange(12)
    file = tmp_path / "a.zarr" / "zarr.json"
    document = json.loads(file.read_text())
    taken = 0
    for edges in [
        [3, 4, 5], [[3, 1], 4, [5, 1]], [3, 4, 5, 9], [3, 4, [5, 2]], [3, 4, 6], 4, [[4, 3]], [4, 4, 4], [12], [3, 4], [],
        [0, 12], [3, 4, -5, 10], [[3, 0], 12], [[12]], [[3, 4, 5]], "12", None, 0, -3, [3, 4, 5.5], [[2**40, 2]],
    ]:  # fmt: skip
        document["chunk_grid"]["configuration"]["chunk_shapes"] = [edges]
        file.write_text(json.dumps(document))
        try:
            theirs = zarr.open_array(tmp_path / "a.zarr", mode="r")[:]
        except Exception:  # noqa: BLE001 - the grid, or chunks of another length than it says
            with pytest.raises(lz.LazarrError):
                lz.open(str(tmp_path / "a.zarr")).to_memory()
            continue
        taken += 1
        np.testing.assert_array_equal(np.asarray(lz.open(str(tmp_path / "a.zarr")).to_memory()), theirs)
    assert taken >= 4


def test_what_is_not_read(tmp_path):
    zarr.create_array(
        tmp_path / "t.zarr",
        shape=(6, 6),
        dtype="i4",
        chunks=[[1, 5], 3],
        filters=[TransposeCodec(order=(1, 0))],
    )[...] = 1
    with pytest.raises(lz.LazarrError, match="transpose"):
        lz.open(str(tmp_path / "t.zarr")).to_memory()
    zarr.create_array(tmp_path / "s.zarr", shape=(6,), dtype="i4", chunks=(1,), shards=[[2, 4]])[...] = 1
    with pytest.raises(lz.LazarrError, match="shards"):
        lz.open(str(tmp_path / "s.zarr")).to_memory()


def cells(rng, n=60, m=25):
    x = sp.random(n, m, 0.2, "csr", dtype="f4", random_state=rng)
    x = sp.diags((rng.random(n) < 0.8).astype("f4")) @ x  # some rows have no values
    x = sp.csr_matrix(x)
    x.eliminate_zeros()
    obs = pd.DataFrame(
        {"batch": pd.Categorical(rng.choice(["a", "b", "c"], n))}, index=[f"c{i}" for i in range(n)]
    )
    return ad.AnnData(x, obs=obs, var=pd.DataFrame(index=[f"g{i}" for i in range(m)]))


@pytest.mark.parametrize("name", ["s.zarr", "s.zarr.zip"])
@pytest.mark.parametrize("number", range(6))
def test_one_row_chunks(name, number, seed, tmp_path):
    rng = np.random.default_rng([seed, number])
    adata = cells(rng)
    if number == 5:
        adata.X.data[:] = 0
        adata.X.eliminate_zeros()
    one_row_chunks(adata, tmp_path / name, compressors=random_codecs(rng))
    if name.endswith("zip"):
        one_row_chunks(adata, tmp_path / "theirs.zarr")
    theirs = read(str(tmp_path / ("theirs.zarr" if name.endswith("zip") else name)))
    ours = lz.open(str(tmp_path / name))
    same(ours.to_memory(), theirs, "all")
    stored = np.diff(adata.X.indptr)
    if number < 5:
        arrays = {a["path"]: a for a in ours.X.arrays}
        assert arrays["X/data"]["rectilinear"]
        assert arrays["X/data"]["chunks"] == (stored.max(),)
        assert f"chunks up to {stored.max()}" in repr(ours.X)
    for k in range(6):
        a, b = selection(rng, theirs.obs_names), selection(rng, theirs.var_names)
        view = ours[a, b]
        expected = theirs[in_memory(a, theirs.obs_names), in_memory(b, theirs.var_names)]
        try:
            same(view.to_memory(), expected.copy())
        except Exception as e:
            raise AssertionError(f"selection {k}: {a}, {b}") from e
    picked = ours[ours.obs["batch"] == "b"]
    same(picked.to_memory(), theirs[theirs.obs["batch"] == "b"].copy())
    blocks = [block for _, _, block in ours.X.iter_rows(7)]
    same(sp.vstack(blocks, format="csr"), sp.csr_matrix(theirs.X))


def test_a_row_is_its_chunk(tmp_path):
    adata = cells(np.random.default_rng(3))
    one_row_chunks(adata, tmp_path / "s.zarr")
    ours = lz.open(str(tmp_path / "s.zarr"), audit=False)  # an audit reads the index of a shard again
    stored = np.diff(adata.X.indptr)
    for row in (np.flatnonzero(stored)[2], np.flatnonzero(stored == 0)[0]):
        plan = ours.X[int(row)].plan(resolve=True)
        with lz.measure() as m:
            ours.X[int(row)].to_memory()
        assert plan.decode_bytes.value == m.report.bytes_decoded
        assert plan.fetch_bytes.value == m.report.bytes_fetched
        # The row starts are one chunk; of the row each array has one, or none.
        assert m.report.chunks == 1 + 2 * (stored[row] > 0)


def test_missing_and_damaged_chunks(tmp_path):
    adata = cells(np.random.default_rng(4))
    one_row_chunks(adata, tmp_path / "s.zarr")
    chunks = tmp_path / "s.zarr" / "X" / "data" / "c"
    row = int(np.flatnonzero(np.diff(adata.X.indptr))[5])
    stored = (chunks / "5").read_bytes()
    (chunks / "5").unlink()
    with pytest.raises(lz.LazarrError, match="X/data/c/5"):
        lz.open(str(tmp_path / "s.zarr")).X[row].to_memory()
    # A chunk of another row has another length.
    other = next(
        i for i in range(20) if len(adata.X.getrow(i).data) not in {0, len(adata.X.getrow(row).data)}
    )
    place = int((np.diff(adata.X.indptr)[:other] > 0).sum())
    shutil.copy(chunks / str(place), chunks / "5")
    with pytest.raises(lz.LazarrError):
        lz.open(str(tmp_path / "s.zarr")).X[row].to_memory()
    (chunks / "5").write_bytes(stored)
    same(lz.open(str(tmp_path / "s.zarr")).X.to_memory(), sp.csr_matrix(adata.X))

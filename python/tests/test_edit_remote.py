"""Stores in buckets that are changed: who has the root's metadata sees all of a change or nothing."""

from __future__ import annotations

import json

import anndata as ad
import numpy as np
import obstore
import pandas as pd
import pytest
import zarr
from same import same
from test_write_remote import keys, sample

import lazarr as lz


@pytest.fixture
def options(bucket):
    return bucket.options


@pytest.fixture
def url(bucket, request):
    return f"{bucket.url}/changed/{abs(hash(request.node.nodeid))}.zarr"


def cells(n, seed, batch):
    a = sample(n, seed)
    a.obs_names = [f"{batch}{i}" for i in range(n)]
    a.obs["batch"] = pd.Categorical([batch] * n)
    return a


def as_zarr_reads(bucket, url, *, consolidated):
    store = zarr.storage.ObjectStore(bucket.store, read_only=True)
    path = url.removeprefix(f"{bucket.url}/")
    return zarr.open_group(store, path=path, mode="r", use_consolidated=consolidated)


@pytest.mark.parametrize(
    "layout",
    ["rows", "random", {"rules": [{"path": "**", "chunk": {"items": 64}, "shard": {"items": 1024}}]}],
)
def test_append(url, options, bucket, tmp_path, layout):
    parts = [cells(300, 1, "a"), cells(200, 2, "b"), cells(1, 3, "c"), cells(150, 4, "b2")]
    for i, part in enumerate(parts):
        lz.write(part, tmp_path / f"{i}.zarr")
    lz.write(parts[0], url, layout=layout, storage_options=options)
    for i in range(1, len(parts)):
        before = lz.open(url, storage_options=options)
        lz.append(url, lz.open(tmp_path / f"{i}.zarr"), storage_options=options)
        want = ad.concat(parts[: i + 1], merge="same")
        got = lz.open(url, storage_options=options).to_memory()
        np.testing.assert_array_equal(got.X.toarray(), want.X.toarray())
        np.testing.assert_array_equal(got.layers["counts"], want.layers["counts"])
        np.testing.assert_array_equal(got.obsm["X_pca"], want.obsm["X_pca"])
        assert got.obs["batch"].tolist() == want.obs["batch"].tolist()
        assert list(got.obs_names) == list(want.obs_names)
        assert got.uns == {"title": "far away"}
        # What was open is as it was, or says that it is gone: values never change under it.
        try:
            names = before.obs["batch"].to_memory().tolist()
        except lz.LazarrError as e:
            assert e.code in {"LZ0105", "LZ0304"}  # noqa: PT017
        else:
            assert names == want.obs["batch"].tolist()[: before.n_obs]
        for consolidated in (True, False):
            same(ad.io.read_elem(as_zarr_reads(bucket, url, consolidated=consolidated)), got)
    assert ".lazarr-lock" not in keys(bucket, url)
    # Nothing stays that is not used any more.
    lz.write(lz.open(url, storage_options=options), tmp_path / "whole.zarr", layout=layout)
    used = {key for key in keys(bucket, url) if not key.endswith("zarr.json")}
    metadata = json.loads(
        bytes(obstore.get(bucket.store, url.removeprefix(f"{bucket.url}/") + "/zarr.json").bytes())
    )
    nodes = metadata["consolidated_metadata"]["metadata"]
    for key in used:
        array = max((p for p in nodes if key.startswith(p + "/")), key=len)
        spelled = nodes[array]["chunk_key_encoding"]["name"]
        assert key.removeprefix(array + "/").startswith("c") == (spelled == "default"), key


def test_elements(url, options):
    whole = sample()
    lz.write(whole, url, storage_options=options)
    score = np.arange(whole.n_obs) / 7
    for k in range(3):
        values = score + k
        put = {"obs/score": values, "obsm/X_new": whole.obsm["X_pca"] * k}
        lz.write_into(
            url, put, drop=["layers/counts"] if k == 0 else [], overwrite=True, storage_options=options
        )
        got = lz.open(url, storage_options=options).to_memory()
        np.testing.assert_array_equal(got.obs["score"], values)
        np.testing.assert_array_equal(got.obsm["X_new"], whole.obsm["X_pca"] * k)
        np.testing.assert_array_equal(got.X.toarray(), whole.X.toarray())
        assert "counts" not in got.layers


def test_a_change_that_fails_is_none(url, options, bucket, tmp_path):
    whole = cells(300, 1, "a")
    lz.write(whole, url, layout="random", storage_options=options)
    before = keys(bucket, url)

    def stop(path, _rows):
        if path == "obs/n":
            raise RuntimeError("no more")

    lz.write(cells(5000, 2, "b"), tmp_path / "b.zarr")
    with pytest.raises(RuntimeError, match="no more"):
        lz.append(url, lz.open(tmp_path / "b.zarr"), storage_options=options, progress=stop)
    assert keys(bucket, url) == before
    same(lz.open(url, storage_options=options).to_memory(), whole)
    lz.append(url, lz.open(tmp_path / "b.zarr"), storage_options=options)
    assert lz.open(url, storage_options=options).n_obs == 5300


def test_another_program(url, options, bucket, tmp_path):
    """Who changes the root meanwhile is not overwritten."""
    lz.write(cells(300, 1, "a"), url, storage_options=options)
    lz.write(cells(10, 2, "b"), tmp_path / "b.zarr")
    root = url.removeprefix(f"{bucket.url}/") + "/zarr.json"
    text = bytes(obstore.get(bucket.store, root).bytes())

    def other(path, _rows):
        if path == "obs/n":
            obstore.put(bucket.store, root, text + b"\n")

    with pytest.raises(lz.LazarrError, match="LZ0105"):
        lz.append(url, lz.open(tmp_path / "b.zarr"), storage_options=options, progress=other)
    assert bytes(obstore.get(bucket.store, root).bytes()) == text + b"\n"
    assert lz.open(url, storage_options=options).n_obs == 300


def test_what_cannot_be_changed(url, options, bucket, tmp_path):
    new = lz.open(lz.write(sample(5), tmp_path / "new.zarr") and tmp_path / "new.zarr")
    with pytest.raises(lz.LazarrError, match="LZ0101"):
        lz.append(url, new, storage_options=options)
    assert keys(bucket, url) == []
    lz.write(sample(), url, zarr_format=2, storage_options=options)
    with pytest.raises(lz.LazarrError, match="Zarr v2"):
        lz.append(url, new, storage_options=options)
    there = url.replace(".zarr", "-3.zarr")
    lz.write({"inside": sample()}, there, storage_options=options)
    with pytest.raises(lz.LazarrError, match="part of another store"):
        lz.append(f"{there}/inside", new, storage_options=options)
    with pytest.raises(lz.LazarrError, match="web server"):
        lz.append("http://127.0.0.1:1/a.zarr", new)

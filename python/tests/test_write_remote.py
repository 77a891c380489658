"""Writing to object stores: what is written is what a local store would be, and nothing else is ever seen."""

from __future__ import annotations

import threading

import anndata as ad
import numpy as np
import obstore
import pandas as pd
import pytest
import scipy.sparse as sp
import zarr
from same import same

import lazarr as lz


def sample(n=300, seed=1):
    rng = np.random.default_rng(seed)
    m = 40
    return ad.AnnData(
        sp.random(n, m, 0.2, format="csr", dtype="f4", random_state=seed),
        obs=pd.DataFrame(
            {"cell type": pd.Categorical(rng.choice(["T", "B", "NK"], n)), "n": rng.integers(0, 99, n)},
            index=[f"c{i}" for i in range(n)],
        ),
        var=pd.DataFrame(index=[f"g{i}" for i in range(m)]),
        obsm={"X_pca": rng.random((n, 5)).astype("f4")},
        layers={"counts": rng.integers(0, 5, (n, m))},
        uns={"title": "far away"},
    )


@pytest.fixture
def options(bucket):
    return bucket.options


@pytest.fixture
def url(bucket, request):
    return f"{bucket.url}/written/{abs(hash(request.node.nodeid))}.zarr"


def keys(bucket, url):
    prefix = url.removeprefix(f"{bucket.url}/")
    found = [one["path"] for batch in obstore.list(bucket.store, prefix) for one in batch]
    return sorted(path.removeprefix(prefix + "/") for path in found)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_whole(url, options, bucket, zarr_format):
    whole = sample()
    written = lz.write(whole, url, zarr_format=zarr_format, storage_options=options)
    assert written.files > 0
    same(lz.open(url, storage_options=options).to_memory(), whole)
    store = zarr.storage.ObjectStore(bucket.store, read_only=True)
    group = zarr.open_group(store, path=url.removeprefix(f"{bucket.url}/"), mode="r")
    same(ad.io.read_elem(group), whole)
    assert not [key for key in keys(bucket, url) if "lazarr" in key]


def test_selection(url, options, tmp_path):
    whole = sample()
    lz.write(whole, tmp_path / "whole.zarr")
    lazy = lz.open(tmp_path / "whole.zarr")
    chosen = lazy[lazy.obs["cell type"] == "T"]
    lz.write(chosen, url, layout="random", drop=["layers/counts"], storage_options=options)
    got = lz.open(url, storage_options=options)
    want = whole[whole.obs["cell type"] == "T"].copy()
    del want.layers["counts"]
    assert "counts" not in got.layers
    np.testing.assert_array_equal(got.X.to_memory().toarray(), want.X.toarray())
    assert list(got.obs_names.to_memory()) == list(want.obs_names)
    # From afar to afar.
    there = url.replace(".zarr", "-again.zarr")
    lz.write(got, there, storage_options=options)
    same(lz.open(there, storage_options=options).to_memory(), got.to_memory())


def test_large_values(url, options):
    big = np.random.default_rng(0).integers(0, 1 << 60, (400, 8000))
    layout = lz.Layout.preset("rows").with_rule("**", shard={"bytes": 64 << 20})
    lz.write({"big": big}, url, layout=layout, storage_options=options)
    np.testing.assert_array_equal(lz.open(url, storage_options=options)["big"].to_memory(), big)


def test_existing(url, options, bucket):
    lz.write(sample(), url, storage_options=options)
    before = keys(bucket, url)
    with pytest.raises(lz.LazarrError, match="LZ0801"):
        lz.write(sample(50), url, storage_options=options)
    assert keys(bucket, url) == before
    other = sample(50, seed=2)
    lz.write(other, url, overwrite=True, drop=["layers"], storage_options=options)
    got = lz.open(url, storage_options=options)
    assert not [key for key in keys(bucket, url) if key.startswith("layers/counts")]
    np.testing.assert_array_equal(got.X.to_memory().toarray(), other.X.toarray())
    with pytest.raises(lz.LazarrError, match="is what is read"):
        lz.write(got[:5], url, overwrite=True, storage_options=options)
    assert lz.open(url, storage_options=options).shape == (50, 40)


def test_other_things_are_not_replaced(url, options, bucket):
    obstore.put(bucket.store, url.removeprefix(f"{bucket.url}/") + "/thesis/final.pdf", b"years")
    with pytest.raises(lz.LazarrError, match="LZ0801"):
        lz.write(sample(), url, overwrite=True, storage_options=options)
    assert keys(bucket, url) == ["thesis/final.pdf"]


def test_two_writers(url, options, bucket):
    """One at a time: the other is told at once, and takes nothing away."""
    begun, go = threading.Event(), threading.Event()
    one = sample()

    def blocks():
        yield one.X[:100]
        begun.set()
        assert go.wait(60)
        yield one.X[100:]

    failed = []

    def first():
        try:
            lz.write(blocks(), url, storage_options=options)
        except Exception as e:  # noqa: BLE001
            failed.append(e)

    thread = threading.Thread(target=first)
    thread.start()
    assert begun.wait(60)
    for overwrite in (False, True):
        with pytest.raises(lz.LazarrError, match="LZ0802"):
            lz.write(sample(20), url, overwrite=overwrite, storage_options=options)
    assert "zarr.json" not in keys(bucket, url)
    go.set()
    thread.join()
    assert not failed
    np.testing.assert_array_equal(
        lz.open(url, storage_options=options).to_memory().toarray(), one.X.toarray()
    )


def test_nothing_after_a_failure(url, options, bucket):
    def blocks():
        yield np.random.default_rng(0).random((10_000, 20))
        assert [key for key in keys(bucket, url) if key != ".lazarr-lock"]
        raise RuntimeError("no more")

    layout = lz.Layout.preset("rows").with_rule("**", shard=None, chunk={"rows": 100})
    with pytest.raises(RuntimeError, match="no more"):
        lz.write(blocks(), url, layout=layout, zarr_format=2, storage_options=options)
    assert keys(bucket, url) == []


def test_addresses(tmp_path):
    for place in ("https://me:hush@localhost/x.zarr", "s3://bucket/x.zip", "ftp://localhost/x"):
        with pytest.raises(lz.LazarrError, match="LZ0103") as e:
            lz.write(sample(5), place)
        assert "hush" not in str(e.value)


def test_refused(bucket):
    scheme, _, _ = bucket.url.partition("://")
    with pytest.raises(lz.LazarrError) as e:
        lz.write(
            sample(5),
            f"{scheme}://no-such-bucket/x.zarr",
            storage_options={**bucket.options, "max_retries": 0},
        )
    assert "hush" not in str(e.value)

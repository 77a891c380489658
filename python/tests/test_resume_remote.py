"""A write to a bucket that ended before its end is gone on with."""

from __future__ import annotations

import obstore
import pytest
from test_resume import LAYOUT, StopError, source, stops_at  # noqa: F401 - a fixture
from test_write_ended import keys

import lazarr as lz


@pytest.fixture
def url(bucket, request):
    return f"{bucket.url}/resumed/{abs(hash(request.node.nodeid))}.zarr"


def values(bucket, url):
    prefix = url.removeprefix(f"{bucket.url}/")
    return {
        key: bytes(obstore.get(bucket.store, f"{prefix}/{key}").bytes())
        for key in keys(bucket, url)
        if not key.startswith(".lazarr")
    }


@pytest.mark.parametrize("over", [False, True], ids=["new", "over"])
def test_a_bucket(bucket, url, source, tmp_path, over):  # noqa: F811 - the fixture
    adata = lz.open(source)
    how = {"layout": LAYOUT, "storage_options": bucket.options, "overwrite": over}
    if over:
        lz.write({"old": [1, 2]}, url, storage_options=bucket.options)
    with lz.measure() as first, pytest.raises(StopError):
        lz.write(adata, url, resume=True, progress=stops_at("obsm/X_pca"), **how)
    assert {".lazarr-log", ".lazarr-lock"} < set(keys(bucket, url))
    with pytest.raises(FileNotFoundError):
        lz.open(url, storage_options=bucket.options)
    done = values(bucket, url)
    with pytest.raises(lz.LazarrError, match="LZ0807"):
        lz.write(adata[:100], url, resume=True, **how)
    assert values(bucket, url) == done
    told = []
    with lz.measure() as second:
        again = lz.write(adata, url, resume=True, progress=lambda *now: told.append(now), **how)
    with lz.measure() as whole:
        local = lz.write(adata, tmp_path / "whole.zarr", layout=LAYOUT)
    assert again == local
    # What was done is not read again, and told once; the element that was under way is.
    assert first.report.chunks + second.report.chunks <= whole.report.chunks + 20
    assert [path for path, _ in told].count("X") == 1
    files = {
        str(p.relative_to(tmp_path / "whole.zarr")): p.read_bytes()
        for p in (tmp_path / "whole.zarr").rglob("*")
        if p.is_file()
    }
    assert values(bucket, url) == files
    assert not [key for key in keys(bucket, url) if key.startswith(".lazarr")]
    assert not lz.diff(lz.open(url, storage_options=bucket.options), source)


def test_who_does_not_ask_begins_anew(bucket, url, source):  # noqa: F811 - the fixture
    adata = lz.open(source)
    how = {"layout": LAYOUT, "storage_options": bucket.options}
    with pytest.raises(StopError):
        lz.write(adata, url, resume=True, progress=stops_at("var"), **how)
    with pytest.raises(StopError):
        lz.write(adata, url, progress=stops_at("obsm/X_pca"), **how)
    assert ".lazarr-log" not in keys(bucket, url)
    lz.write(adata, url, resume=True, **how)
    assert not lz.diff(lz.open(url, storage_options=bucket.options), source)

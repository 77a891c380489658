"""What was read over a network, kept on the local disk: in this process and in others."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import textwrap
import warnings

import anndata as ad
import pandas as pd
import pytest
import scipy.sparse as sp
import servers
from same import same

import lazarr as lz


def sample(seed=2):
    x = sp.random(200, 40, 0.2, format="csr", dtype="f4", random_state=seed)
    obs = pd.DataFrame({"n": range(200)}, index=[f"c{i}" for i in range(200)])
    return ad.AnnData(x, obs=obs)


def write(path, seed=2):
    with ad.settings.override(zarr_write_format=3), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sample(seed).write_zarr(path, chunks=(64, 40))


@pytest.fixture
def files(tmp_path):
    root = tmp_path / "served"
    root.mkdir()
    write(root / "a.zarr")
    server = servers.Files(root)
    yield server
    server.close()


def open_cached(files, tmp_path, **more):
    options = {"cache_dir": str(tmp_path / "cache"), **more}
    return lz.open(f"{files.url}/a.zarr?sig=hush", storage_options=options)


def test_a_second_session_reads_from_the_disk(files, tmp_path):
    same(open_cached(files, tmp_path).to_memory(), sample())
    files.taken()
    again = open_cached(files, tmp_path)
    with lz.measure() as m:
        same(again.to_memory(), sample())
    # A chunk that is not there is the fill value, and nothing to be kept.
    assert m.report.cached_requests == m.report.requests - m.report.absent > 0
    assert m.report.cached_bytes == m.report.bytes_fetched
    # Each value was asked for once, whether it is still the same.
    there = [a for a in files.taken() if (files.server.root / a[1].lstrip("/")).is_file()]
    asked = [a for a in there if a[0] == "GET"]
    assert all("if-none-match" in headers for *_, headers in asked)
    assert len({path for _, path, *_ in asked}) == len(asked)
    with lz.measure() as m:
        again.X[:50].to_memory()
    assert m.report.requests == m.report.cached_requests
    assert not files.taken()


def test_a_plan_tells_hits_from_misses(files, tmp_path):
    open_cached(files, tmp_path).X[:20].to_memory()
    adata = open_cached(files, tmp_path)
    plan = adata.X[:20].plan(resolve=True)
    assert plan.cached_requests.value == plan.requests.value
    assert plan.cached_requests.mark == "estimate"
    assert "in the cache on the local disk" in str(plan)
    assert json.loads(plan.json)["cached_bytes"]["value"] == plan.cached_bytes.value > 0
    plan = adata.plan(resolve=True)
    assert 0 < plan.cached_requests.value < plan.requests.value


def test_a_store_that_was_replaced_is_read_anew(files, tmp_path):
    open_cached(files, tmp_path).to_memory()
    write(files.server.root / "a.zarr", seed=3)
    same(open_cached(files, tmp_path).to_memory(), sample(3))
    same(open_cached(files, tmp_path).to_memory(), sample(3))


def test_a_handle_takes_its_cache_along_and_no_secret(files, tmp_path):
    adata = open_cached(files, tmp_path, bearer_token="hush")  # noqa: S106 - it must not be found
    data = pickle.dumps(adata.X[:5])
    assert b"hush" not in data
    assert str(tmp_path / "cache").encode() in data
    adata.to_memory()
    for file in (tmp_path / "cache").rglob("*"):
        assert "hush" not in str(file)
        assert not file.is_file() or b"hush" not in file.read_bytes()


def test_processes_share_a_folder(files, tmp_path):
    """Two read everything at once, again and again, where there is not room for all of it."""
    program = textwrap.dedent(f"""
        import sys, lazarr as lz
        options = {{"cache_dir": {str(tmp_path / "cache")!r}, "cache_bytes": "30KB"}}
        expected = None
        for i in range(15):
            adata = lz.open({files.url + "/a.zarr"!r}, storage_options=options)
            x = adata.X.to_memory()
            assert expected is None or (x != expected).nnz == 0
            expected = x
        print(x.sum())
    """)
    children = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = {child.communicate(timeout=120)[0] for child in children}
    assert [child.returncode for child in children] == [0, 0]
    assert len(said) == 1
    kept = sum(f.stat().st_size for f in (tmp_path / "cache").rglob("*") if f.is_file())
    assert kept <= 30_000 * (1 + 2 / 16)

"""A write that ended before its end is gone on with; anndata reads what it would have read."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from same import same

import lazarr as lz

LAYOUT = lz.Layout([{"path": "**", "chunk": {"items": 500}, "shard": {"items": 5000}, "codec": "lz4"}])


class StopError(Exception):
    pass


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    rng = np.random.default_rng(1)
    x = sp.random(3000, 200, 0.1, format="csr", dtype=np.float32, random_state=2)
    adata = ad.AnnData(
        x,
        obs=pd.DataFrame(
            {
                "kind": pd.Categorical(rng.choice(["a", "b", "c"], 3000)),
                "count": rng.integers(0, 100, 3000),
                "some": pd.array(rng.integers(0, 9, 3000), dtype="Int64"),
            },
            index=[f"cell {i}" for i in range(3000)],
        ),
        obsm={"X_pca": rng.normal(size=(3000, 5))},
        layers={"dense": rng.normal(size=(3000, 200)).astype(np.float32)},
    )
    path = tmp_path_factory.mktemp("resume") / "source.zarr"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adata.write_zarr(path)
    return path


def digest(path):
    files = sorted(p for p in path.rglob("*") if p.is_file())
    return {str(p.relative_to(path)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def stops_at(element, seen=None):
    def told(path, rows):
        if seen is not None:
            seen.append((path, rows))
        if path == element:
            raise StopError(path)

    return told


# Small values in memory are not told.
@pytest.mark.parametrize(
    ("element", "lazily"),
    [
        ("X", True),
        ("obs/kind", True),
        ("obsm/X_pca", True),
        ("var", True),
        ("X", False),
        ("layers/dense", False),
    ],
)
def test_a_callback_ends_it(source, tmp_path, element, lazily):
    what = lz.open(source) if lazily else ad.read_zarr(source)
    whole, out = tmp_path / "whole.zarr", tmp_path / "out" / "a.zarr"
    done = lz.write(what, whole, layout=LAYOUT)
    with pytest.raises(StopError):
        lz.write(what, out, layout=LAYOUT, progress=stops_at(element))
    assert list(out.parent.iterdir()) == []
    before = []
    with pytest.raises(StopError):
        lz.write(what, out, layout=LAYOUT, resume=True, progress=stops_at(element, before))
    assert not out.exists()
    told = []
    again = lz.write(what, out, layout=LAYOUT, resume=True, progress=lambda *now: told.append(now))
    assert again == done
    assert digest(out) == digest(whole)
    assert [p.name for p in out.parent.iterdir()] == ["a.zarr"]
    # What is done is told once, with its rows.
    finished = {path for path, _ in before[:-1]} - {element}
    paths = [path for path, _ in told]
    assert all(paths.count(path) == 1 for path in finished if "/" in path), (told, finished)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        same(ad.read_zarr(out), ad.read_zarr(source))


def test_what_is_done_is_not_read_again(source, tmp_path):
    out = tmp_path / "a.zarr"
    adata = lz.open(source)
    with lz.measure() as first, pytest.raises(StopError):
        lz.write(adata, out, layout=LAYOUT, resume=True, progress=stops_at("var"))
    with lz.measure() as second:
        lz.write(adata, out, layout=LAYOUT, resume=True)
    with lz.measure() as whole:
        lz.write(adata, tmp_path / "b.zarr", layout=LAYOUT)
    assert first.report.bytes_fetched > 1000
    assert first.report.chunks + second.report.chunks == whole.report.chunks
    assert first.report.bytes_fetched + second.report.bytes_fetched <= whole.report.bytes_fetched * 1.01


WRITER = """
import sys, lazarr as lz
def told(path, rows):
    print(path, rows, flush=True)
    if path == "obsm/X_pca":
        import time
        time.sleep(0.3)
layout = lz.Layout([{"path": "**", "chunk": {"items": 500}, "shard": {"items": 5000}, "codec": "lz4"}])
lz.write(lz.open(sys.argv[1]), sys.argv[2], layout=layout, resume=sys.argv[3] == "1", progress=told)
"""


@pytest.mark.parametrize(
    ("how", "resume"), [(signal.SIGINT, "1"), (signal.SIGKILL, "1"), (signal.SIGKILL, "0")]
)
def test_a_signal_ends_it(source, tmp_path, how, resume):
    out = tmp_path / "a.zarr"
    words = [sys.executable, "-W", "ignore", "-c", WRITER, str(source), str(out), resume]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while "X_pca" not in (line := process.stdout.readline()):
        assert line, process.stderr.read()
    process.send_signal(how)
    process.communicate()
    assert process.returncode != 0
    assert not out.exists()
    assert len(lz.repair(tmp_path, dry_run=True, discard=True)) == 1
    assert lz.repair(tmp_path) == []
    lz.write(lz.open(source), out, layout=LAYOUT, resume=True)
    lz.write(lz.open(source), tmp_path / "whole.zarr", layout=LAYOUT)
    assert digest(out) == digest(tmp_path / "whole.zarr")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zarr", "whole.zarr"]


def test_another_request_is_refused(source, tmp_path):
    out = tmp_path / "a.zarr"
    adata = lz.open(source)

    def stopped(what):
        with pytest.raises(StopError):
            lz.write(what, out, layout=LAYOUT, resume=True, progress=stops_at("layers/dense"))

    stopped(adata)
    left = lz.repair(tmp_path, dry_run=True, discard=True)
    for what, more in [
        (adata[:10], {}),
        (adata, {"layout": "random"}),
        (adata, {"drop": ["obs/kind"]}),
        (adata, {"replace": {"uns/new": 1}}),
        (adata, {"sync": False}),
        (ad.read_zarr(source), {}),
    ]:
        with pytest.raises(lz.LazarrError, match="LZ0807"):
            lz.write(what, out, **{"layout": LAYOUT, "resume": True, **more})
        assert lz.repair(tmp_path, dry_run=True, discard=True) == left
    assert lz.repair(tmp_path, discard=True) == left
    assert list(tmp_path.iterdir()) == []
    # Values in memory are known by a hash.
    mine = ad.read_zarr(source)
    stopped(mine)
    mine.layers["dense"][2999, 199] += 1
    with pytest.raises(lz.LazarrError, match=r"layers/dense.*LZ0807"):
        lz.write(mine, out, layout=LAYOUT, resume=True)
    mine.layers["dense"][2999, 199] = ad.read_zarr(source).layers["dense"][2999, 199]
    lz.write(mine, out, layout=LAYOUT, resume=True)
    same(lz.open(out).to_memory(), mine)


def test_what_cannot_be_asked_for_again(tmp_path):
    dask = pytest.importorskip("dask.array")
    made = {"a": dask.from_array(np.ones((10, 3)), chunks=5)}
    for what in (iter([np.ones((10, 3))]), made):
        with pytest.raises(lz.LazarrError, match="LZ0807"):
            lz.write(what, tmp_path / "a.zarr", resume=True)
    assert list(tmp_path.iterdir()) == []
    times = {
        "t": np.arange(300_000).astype("M8[s]"),
        "o": np.array([f"{i}" for i in range(50_000)], dtype=object),
    }
    with pytest.raises(StopError):
        lz.write(times, tmp_path / "a.zarr", resume=True, progress=stops_at("o"))
    lz.write(times, tmp_path / "a.zarr", resume=True)
    assert (lz.open(tmp_path / "a.zarr")["t"].to_memory() == times["t"]).all()


def test_optimizing_is_resumed(source, tmp_path, monkeypatch):
    with pytest.raises(StopError):
        lz.optimize(source, tmp_path / "a.zarr", LAYOUT, resume=True, progress=stops_at("var"))
    assert len(lz.repair(tmp_path, dry_run=True, discard=True)) == 1
    assert lz.optimize(source, tmp_path / "a.zarr", LAYOUT, resume=True).written.arrays > 5

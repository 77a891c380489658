"""What `open` takes and gives, and what every lazy object has."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import zarr
from same import same

import lazarr as lz

if TYPE_CHECKING:
    import pathlib


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    rng = np.random.default_rng(1)
    n, m = 50, 20
    obs = pd.DataFrame(
        {"batch": pd.Categorical(rng.choice(["a", "b"], n)), "n": np.arange(n), "x y": rng.random(n)},
        index=[f"c{i}" for i in range(n)],
    )
    a = ad.AnnData(
        sp.random(n, m, 0.3, format="csr", dtype="f4", random_state=2), obs=obs,
        var=pd.DataFrame({"gene": [f"G{i}" for i in range(m)]}, index=[f"g{i}" for i in range(m)]),
        obsm={"X_pca": rng.random((n, 5))}, layers={"counts": rng.integers(0, 9, (n, m))},
        uns={"neighbors": {"params": {"k": 15, "method": "umap"}}, "none": None, "title": "é"},
    )  # fmt: skip
    a.raw = a
    where = tmp_path_factory.mktemp("open") / "atlas.zarr"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        a.write_zarr(where)
    return where


@pytest.fixture(scope="module")
def theirs(path):
    return ad.read_zarr(path)


def test_kinds_of_paths(path, theirs, tmp_path):
    for p in (path, str(path), os.fspath(path) + "/"):
        assert isinstance(lz.open(p), lz.AnnData)
    assert isinstance(lz.open(path / "X"), lz.SparseElement)
    assert isinstance(lz.open(path / "obsm" / "X_pca"), lz.DenseElement)
    assert isinstance(lz.open(path / "obs"), lz.DataFrame)
    assert isinstance(lz.open(path / "uns"), lz.Mapping)
    assert isinstance(lz.open(path / "raw"), lz.Raw)
    assert lz.open(path / "uns" / "none") is None
    assert lz.open(path / "uns" / "title").to_memory() == "é"
    same(lz.open(path / "X").to_memory(), theirs.X)
    same(lz.open(path / "obs" / "batch").to_memory(), theirs.obs["batch"].array)
    plain = tmp_path / "plain.zarr"
    zarr.create_array(plain, shape=(7, 3), chunks=(2, 2), dtype="u2")[:] = np.arange(21).reshape(7, 3)
    assert np.asarray(lz.open(plain)[1:3]).tolist() == [[3, 4, 5], [6, 7, 8]]


def test_nothing_there(tmp_path, path):
    with pytest.raises(FileNotFoundError) as e:
        lz.open(tmp_path / "nowhere.zarr")
    assert isinstance(e.value, lz.LazarrError)
    assert e.value.code.startswith("LZ01")
    again = pickle.loads(pickle.dumps(e.value))
    assert type(again) is type(e.value)
    assert str(again) == str(e.value)
    with pytest.raises((FileNotFoundError, KeyError)):
        lz.open(path / "obsm" / "nothing")
    with pytest.raises(KeyError):
        lz.open(path).obsm["nothing"]
    with pytest.raises(KeyError):
        lz.open(path).obs["nothing"]


def test_arguments(path):
    for bad in ("2 bananas", 0, -5, "0GB"):
        with pytest.raises(ValueError, match="memory_limit"):
            lz.open(path, memory_limit=bad)
    with pytest.raises(ValueError, match="missing"):
        lz.open(path, missing="perhaps")
    with pytest.raises(ValueError, match="threads"):
        lz.open(path, threads=0)
    assert lz.open(path, memory_limit="2GiB")._store.session.memory_limit == 2 * 2**30
    assert lz.open(path, memory_limit="1.5 MB", threads=3)._store.session.threads == 3


def test_looking_reads_nothing(path):
    with lz.measure() as m:
        a = lz.open(path)
        opened = m.report.requests
        for x in (
            a,
            a.X,
            a.obs,
            a.var,
            a.uns,
            a.obsm,
            a.raw,
            a.obs["batch"],
            a.obs_names,
            a[:5],
            a.T,
            a.X[3:9].T,
            a.layers,
        ):
            repr(x)
            x._repr_html_()
            x.shape, x.path
        a.X.nnz, a.X.dtype, a.X.format, a.obs.columns, a.obs.dtypes, list(a.uns), a.n_obs, len(a.obs)
        a[a.obs["batch"] == "a", ["g3", "g1"]][5:].layers["counts"].plan()
        assert m.report.requests == opened
    assert opened <= 2


def test_whole(path, theirs):
    same(lz.open(path).to_memory(), theirs)


def test_repr_shows_what_there_is(path):
    a = lz.open(path)
    text = repr(a)
    for part in ("n_obs × n_vars = 50 × 20", "csr", "float32", "'batch' category", "'X_pca'", "uns", "raw"):
        assert part in text
    assert "? ×" in repr(a[a.obs["n"] > 3]) or "= ? ×" in repr(a[a.obs["n"] > 3])
    evil = a._repr_html_()
    assert "<script" not in evil


def test_html_is_escaped(tmp_path):
    p = tmp_path / "evil.zarr"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ad.AnnData(np.zeros((1, 1)), obs=pd.DataFrame({"<b>x": [1]}, index=["a"])).write_zarr(p)
    a = lz.open(p)
    assert "<b>x" not in a._repr_html_()
    assert "&lt;b&gt;x" in a._repr_html_()


def test_assignment_is_refused(path):
    a = lz.open(path)

    def attribute():
        a.X = 1

    def column():
        a.obs["new"] = 1

    def dotted():
        a.obs.new = 1

    def layer():
        a.layers["l"] = 1

    def rows():
        a.X[3] = 0

    def loc():
        a.obs.loc["c1", "n"] = 3

    def delete():
        del a.obs["n"]

    for change in (attribute, column, dotted, layer, rows, loc, delete):
        with pytest.raises(TypeError, match="to_memory"):
            change()


def test_implicit_loads(path, theirs):
    a = lz.open(path)
    np.testing.assert_array_equal(np.asarray(a.obsm["X_pca"]), theirs.obsm["X_pca"])
    assert np.asarray(a.obs["batch"]).tolist() == theirs.obs["batch"].tolist()
    assert np.asarray(a.obs["n"], dtype="f4").dtype == np.float32
    with pytest.raises(TypeError, match="toarray"):
        np.asarray(a.X)
    for x in (a, a.X, a.obsm["X_pca"], a.obs["n"]):
        with pytest.raises(TypeError):
            iter(x)
        with pytest.raises(TypeError):
            list(x)


def test_elements_can_be_chosen(path, theirs):
    a = lz.open(path)
    with lz.measure() as m:
        t = a.to_memory(["obs/batch", "X"])
    assert t.obs.columns.tolist() == ["batch"]
    assert not t.layers.keys() - {None}
    same(t.X, theirs.X)
    assert "layers" not in str(a.plan(["X"]))
    assert m.report.requests < 30
    with pytest.raises(KeyError):
        a.to_memory(["layers/nothing"])


def test_mappings(path, theirs):
    a = lz.open(path)
    assert sorted(a.uns) == sorted(theirs.uns)
    assert a.uns["neighbors"]["params"]["k"].item() == 15
    assert a.uns.neighbors.params.method.to_memory() == "umap"
    assert a.uns["none"] is None
    same(a.uns.to_memory(), theirs.uns)
    same(a[:5].obsm.to_memory(), dict(theirs[:5].obsm))
    assert "X_pca" in a.obsm
    assert a.obsm.get("other") is None
    assert len(a.obsp) == 0
    assert a.raw.to_memory().shape == theirs.raw.shape
    same(a[:7].raw.X.to_memory(), theirs[:7].raw.X)
    assert a[:, :3].raw.shape == (50, 20)


def test_transposed(path, theirs):
    a = lz.open(path)
    expected = theirs.copy().T
    same(a.T.to_memory(), expected)
    same(a.T[:3, ["c4", "c2"]].to_memory(), expected[:3, ["c4", "c2"]].copy())
    same(a.X.T[2:5].to_memory(), sp.csc_matrix(theirs.X.T[2:5]))
    assert a.X.T.shape == (20, 50)
    assert a.X.T.format == "csc"
    np.testing.assert_array_equal(a.obsm["X_pca"].T[1].to_memory(), theirs.obsm["X_pca"].T[1])


def test_blocks_of_rows(path, theirs):
    x = lz.open(path).X
    for rows in (1, 7, 50, 1000):
        blocks = list(x.iter_rows(rows))
        assert [b[0] for b in blocks] == list(range(0, 50, rows))
        assert blocks[-1][1] == 50
        same(sp.vstack([b[2] for b in blocks], format="csr"), theirs.X)
    got = [b[2] for b in x[40:5:-3].iter_rows(4)]
    same(sp.vstack(got, format="csr"), theirs.X[40:5:-3])


def test_tables(path, theirs):
    obs, df = lz.open(path).obs, theirs.obs
    same(obs.to_memory(), df)
    same(obs[["n", "batch"]].to_memory(), df[["n", "batch"]])
    same(obs[10:3:-2].to_memory(), df[10:3:-2])
    same(obs[obs["n"] > 40].to_memory(), df[df["n"] > 40])
    same(obs.loc["c3":"c7", ["n"]].to_memory(), df.loc["c3":"c7", ["n"]])
    same(obs.iloc[[3, 1], 1:].to_memory(), df.iloc[[3, 1], 1:])
    same(obs.head(3), df.head(3))
    assert obs.batch.to_memory().tolist() == df.batch.tolist()
    assert list(obs) == list(df)
    same(obs["x y"].to_memory(index=True), df["x y"])
    assert obs["x y"].to_memory(index=True).index.equals(df.index)
    assert obs["n"][5].to_memory() == 5
    assert obs["n"]["c7"].to_memory().tolist() == [7]
    assert obs["batch"].cat.categories.tolist() == ["a", "b"]
    assert not obs["batch"].cat.ordered
    assert obs.index.to_memory().tolist() == df.index.tolist()
    with pytest.raises(IndexError, match="loc"):
        obs[1, 2]
    with pytest.raises(AttributeError):
        obs.nothing


def test_arrow(path, theirs):
    pa = pytest.importorskip("pyarrow")
    obs = lz.open(path).obs
    table = obs[:10].to_arrow()
    assert isinstance(table, pa.Table)
    assert table.column("n").to_pylist() == list(range(10))
    assert table.column("batch").to_pylist() == theirs.obs["batch"][:10].tolist()
    assert obs["x y"].to_arrow().to_pylist() == theirs.obs["x y"].tolist()
    pl = pytest.importorskip("polars")
    assert pl.DataFrame(obs)["n"].to_list() == list(range(50))


def test_pickled(path, theirs):
    a = lz.open(path)
    view = a[5:40:3, ["g3", "g1"]]
    for x, expected in (
        (a, theirs), (view, theirs[5:40:3, ["g3", "g1"]].copy()), (view.T.X, sp.csc_matrix(theirs[5:40:3, ["g3", "g1"]].X.T)),
        (a.obs[3:5], theirs.obs[3:5]), (a.obs["n"][4:6], theirs.obs["n"][4:6]), (a.uns, dict(theirs.uns)),
        (a.obsm["X_pca"][2], theirs.obsm["X_pca"][2]),
    ):  # fmt: skip
        same(pickle.loads(pickle.dumps(x)).to_memory(), expected)
    assert b"secret" not in pickle.dumps(a)


def test_threads(path, theirs):
    a, errors = lz.open(path, threads=2, audit=False), []  # an audit forgets caches: one call at a time

    def work(k):
        try:
            for _ in range(5):
                same(a[k::7].to_memory(), theirs[k::7].copy())
        except BaseException as e:  # noqa: BLE001 - shown below
            errors.append(e)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        workers = [threading.Thread(target=work, args=(k,)) for k in range(6)]
        for w in workers:
            w.start()
        for w in workers:
            w.join()
    assert not errors, errors


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_after_fork(path, theirs):
    code = f"""
import os, sys, lazarr as lz
a = lz.open({str(path)!r})
n = a.X.to_memory().nnz
pid = os.fork()
if pid == 0:
    os._exit(0 if a.X.to_memory().nnz == n and a[:5].obs.to_memory().shape[0] == 5 else 3)
_, status = os.waitpid(pid, 0)
assert os.waitstatus_to_exitcode(status) == 0
assert a.X.to_memory().nnz == n
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60)


def test_interrupt(tmp_path):
    """Ctrl-C ends a read that takes seconds: the time from the signal to the exception is printed by the child."""
    p = tmp_path / "big.zarr"
    z = zarr.create_array(
        p,
        shape=(60, 1_000_000),
        chunks=(1, 1_000_000),
        dtype="f8",
        compressors=zarr.codecs.GzipCodec(level=1),
    )
    row = np.random.default_rng(0).random(1_000_000)
    z[0] = row
    for i in range(1, 60):
        shutil.copy(p / "c" / "0" / "0", _made(p / "c" / str(i)) / "0")
    code = f"""
import signal, time, lazarr as lz
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background has it ignored
x = lz.open({str(p)!r}, memory_limit="4GiB", threads=1)
print("ready", flush=True)
try:
    while True:
        x.to_memory()
except KeyboardInterrupt:
    print(time.monotonic(), flush=True)
"""
    # 200 ms is the promise. A busy machine may take the processor away for longer: one try of five must hold it.
    waits = []
    while len(waits) < 5 and (not waits or min(waits) >= 0.2):
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        try:
            assert child.stdout.readline().strip() == "ready"
            time.sleep(0.3)
            sent = time.monotonic()
            child.send_signal(signal.SIGINT)
            out, _ = child.communicate(timeout=30)
        finally:
            child.kill()
        waits.append(float(out) - sent)
    assert min(waits) < 0.2, waits


def _made(directory: pathlib.Path) -> pathlib.Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def test_memory_limit(path):
    a = lz.open(path, memory_limit=1000)
    with pytest.raises(MemoryError) as e:
        a.X.to_memory()
    assert isinstance(e.value, lz.MemoryLimitError)
    with lz.options(memory_limit="1GiB"):
        a.X.to_memory()


def test_unknown_encoding_does_not_stop_the_rest(path, tmp_path):
    p = tmp_path / "odd.zarr"
    shutil.copytree(path, p)
    g = zarr.open_group(p, mode="r+", use_consolidated=False)
    g["obsm"].create_group("future", attributes={"encoding-type": "hologram", "encoding-version": "9"})
    zarr.consolidate_metadata(p)
    a = lz.open(p)
    assert isinstance(a.obsm["future"], lz.BrokenElement)
    assert "hologram" in a.obsm["future"].error
    assert "future" in repr(a)
    with pytest.raises(ValueError, match="hologram"):
        a.obsm["future"].to_memory()
    assert a.X.to_memory().shape == (50, 20)

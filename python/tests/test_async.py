"""Verbs that are awaited: what they bring, that they run beside each other, and how they end."""

from __future__ import annotations

import asyncio
import inspect
import multiprocessing
import os
import threading
import time
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import servers
from same import same

import lazarr as lz

PATIENT = {"read_timeout": "60s", "retry_timeout": "60s"}


def sample():
    rng = np.random.default_rng(1)
    obs = pd.DataFrame(
        {"kind": pd.Categorical(rng.choice(["T", "B", "NK"], 200)), "n": rng.integers(0, 99, 200)},
        index=[f"c{i}" for i in range(200)],
    )
    x = sp.random(200, 40, 0.2, format="csr", dtype="f4", random_state=2)
    return ad.AnnData(x, obs=obs, var=pd.DataFrame(index=[f"g{i}" for i in range(40)]))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    root = tmp_path_factory.mktemp("served")
    with ad.settings.override(zarr_write_format=3), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sample().write_zarr(root / "a.zarr", chunks=(64, 40))
    server = servers.Files(root)
    yield server
    server.close()


@pytest.fixture
def url(files):
    files.server.delay = 0.0
    files.server.hang.clear()
    files.server.stop = threading.Event()
    files.taken()
    yield f"{files.url}/a.zarr"
    files.server.hang.clear()
    files.server.stop.set()


def test_twins_bring_what_the_verbs_bring(url):
    async def all_of_them():
        adata = await lz.open_async(url)
        same(await adata.to_memory_async(), sample())
        same(await adata.X[10:30].to_memory_async(), sample().X[10:30])
        assert (await adata.X.plan_async(resolve=True)).requests.value > 0
        chosen = await adata[adata.obs["kind"] == "B"].resolve_async()
        assert chosen.n_obs == (sample().obs["kind"] == "B").sum()
        same(await adata.obs.head_async(3), adata.obs.head(3))
        assert (await adata.obs.to_arrow_async()).num_rows == 200
        pd.testing.assert_series_equal(
            await adata.obs["kind"].value_counts_async(), adata.obs["kind"].value_counts()
        )
        mean, var = await adata.X.mean_var_async(axis=0)
        np.testing.assert_allclose(mean, adata.X.mean_var(axis=0)[0])
        assert len(var) == 40
        blocks = [block async for _, _, block in adata.X.iter_rows_async(30)]
        same(sp.vstack(blocks, format="csr"), sample().X)

    asyncio.run(all_of_them())


def test_each_twin_has_its_verb():
    for kind in (lz.AnnData, lz.SparseElement, lz.DenseElement, lz.Column, lz.DataFrame, lz.Mapping, lz.Raw):
        twins = [name for name in dir(kind) if name.endswith("_async")]
        assert {"to_memory_async", "plan_async", "resolve_async"} <= set(twins)
        for name in twins:
            twin = getattr(kind, name)
            assert inspect.iscoroutinefunction(twin) or inspect.isasyncgenfunction(twin)
            assert hasattr(kind, name.removesuffix("_async")), (kind, name)


def test_errors_come_as_they_are(url):
    async def wrong():
        with pytest.raises(FileNotFoundError):
            await lz.open_async(url + "/nothing")
        adata = await lz.open_async(url)
        with pytest.raises(lz.MemoryLimitError), lz.options(memory_limit=1000):
            await adata.to_memory_async()

    asyncio.run(wrong())


def test_what_holds_here_holds_there(url):
    async def measured():
        adata = await lz.open_async(url)
        with lz.measure() as m:
            await asyncio.gather(*(adata.X[i : i + 5].to_memory_async() for i in range(0, 50, 5)))
        assert m.report.requests >= 10

    asyncio.run(measured())


def test_many_share_the_slots_of_their_store(url, files):
    async def many():
        adata = await lz.open_async(url, storage_options={"slots": 4, **PATIENT})
        files.server.delay = 0.02
        files.server.most = files.server.now = 0
        await asyncio.gather(*(adata.X[i : i + 5].to_memory_async() for i in range(20)))
        # Beside each other, and never more than there are slots.
        assert 1 < files.server.most <= 4

    asyncio.run(many())


def test_cancelling_a_task_ends_its_read(url, files):
    async def cancelled():
        adata = await lz.open_async(url, storage_options=PATIENT)
        files.taken()
        files.server.hang.set()
        before = set(busy())
        task = asyncio.create_task(adata.to_memory_async())
        while not files.taken():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # The server is given up after a minute; the thread is free long before.
        end = time.monotonic() + 20
        while set(busy()) - before and time.monotonic() < end:
            await asyncio.sleep(0.01)
        assert not set(busy()) - before
        files.server.hang.clear()
        files.server.stop.set()
        same(await adata.X[:5].to_memory_async(), sample().X[:5])

    asyncio.run(cancelled())


def busy():
    """Threads of ours that are inside of a call."""
    import sys

    frames = sys._current_frames()
    for thread in threading.enumerate():
        frame = frames.get(thread.ident)
        while thread.name.startswith("lazarr-await") and frame is not None:
            if frame.f_code.co_name == "work" and "_async" in frame.f_code.co_filename:
                yield thread.ident
            frame = frame.f_back


def test_a_timeout_ends_a_read(url, files):
    async def late():
        adata = await lz.open_async(url, storage_options=PATIENT)
        files.server.hang.set()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(adata.to_memory_async(), 0.2)

    asyncio.run(late())


def _child(path, queue):
    async def read():
        return (await (await lz.open_async(path)).X[:5].to_memory_async()).toarray()

    queue.put(asyncio.run(read()))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_awaits_on_threads_of_its_own(url):
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    _child(url, queue)
    expected = queue.get(timeout=60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = context.Process(target=_child, args=(url, queue))
        child.start()
    np.testing.assert_array_equal(queue.get(timeout=60), expected)
    child.join(60)
    assert child.exitcode == 0

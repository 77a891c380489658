"""A cluster of real processes: the same results, all of them used, and little that is fetched twice."""

from __future__ import annotations

import numpy as np
import pytest
from counts import adata_of, write
from scanpy_cases import dense

import lazarr as lz

PASSES = 1.1
"""So much more than a plan says may a pass fetch: the chunks in which two blocks meet."""


@pytest.fixture(scope="module")
def store(tmp_path_factory, seed):
    a = adata_of(np.random.default_rng([seed, 9]), 3000, 300, more=False)
    return write(a, tmp_path_factory.mktemp("cluster") / "s.zarr")


@pytest.fixture(scope="module")
def client():
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        yield client


def seen() -> tuple[int, int]:
    """What this process has opened, and the bytes that were fetched through it."""
    from lazarr import _reader

    return len(_reader._open), sum(s.session.meter.bytes for s in _reader._open.values())


def fetched(client):
    return sum(bytes_ for _, bytes_ in client.run(seen).values())


def test_a_pass_fetches_each_chunk_once_and_all_workers_read(store, client):
    lazy = lz.open(store, audit=False)
    x = lazy.to_dask(chunk_bytes="200KB").X
    assert x.numblocks[0] >= 4
    total = x.map_blocks(
        lambda b: np.asarray(b.sum(axis=1)),
        dtype=x.dtype,
        chunks=(x.chunks[0], (1,)),
        meta=np.empty((0, 0), x.dtype),
    ).sum()
    # Opening reads metadata, once for each process.
    client.run(type(x._own[3]).store, x._own[3])
    before = fetched(client)
    assert float(total.compute()) == pytest.approx(lazy.X.to_memory().sum())
    workers = client.run(seen)
    # Each has opened the store once, and has read its share.
    assert [count for count, _ in workers.values()] == [1, 1]
    assert all(bytes_ > before / 2 for _, bytes_ in workers.values())
    plan = lazy.X.plan(resolve=True)
    # A block shares a chunk of each array with the next, and few of its row starts.
    meet = 2 * (x.numblocks[0] - 1) / plan.chunks.value
    assert fetched(client) - before <= plan.fetch_bytes.value * (1 + meet) * PASSES


def test_from_counts_to_components(store, client):
    import scanpy as sc

    def analyse(a):
        sc.pp.normalize_total(a, target_sum=1e4)
        sc.pp.log1p(a)
        sc.pp.highly_variable_genes(a, n_top_genes=60)
        sc.pp.pca(a, n_comps=5, svd_solver="covariance_eigh")
        return a

    lazy = lz.open(store, audit=False)
    ours, wanted = analyse(lazy.to_dask(chunk_bytes="300KB")), analyse(lazy.to_memory())
    np.testing.assert_array_equal(ours.var["highly_variable"], wanted.var["highly_variable"])
    np.testing.assert_allclose(
        np.abs(dense(ours.obsm["X_pca"])), np.abs(wanted.obsm["X_pca"]), rtol=1e-2, atol=1e-3
    )


def test_a_selection_reaches_the_workers(store, client):
    lazy = lz.open(store, audit=False)
    view = lazy[lazy.obs["batch"] == "a", :40]
    got = view.to_dask().X.compute()
    np.testing.assert_array_equal(got.toarray(), view.X.to_memory().toarray())


def limit_of_task(_):
    from lazarr._reader import worker_limit

    return worker_limit()


def test_a_task_keeps_to_the_limit_of_its_worker(client):
    workers = client.scheduler_info()["workers"]
    wanted = {worker["memory_limit"] // 2 for worker in workers.values()}
    assert {client.submit(limit_of_task, n, pure=False).result() for n in range(4)} <= wanted
    assert limit_of_task(0) is None  # no worker

"""Options, measurements, plans."""

from __future__ import annotations

import json
import warnings

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

import lazarr as lz
from lazarr._context import call, parse_bytes


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    where = tmp_path_factory.mktemp("context") / "a.zarr"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ad.AnnData(
            sp.random(200, 50, 0.2, format="csr", dtype="f4", random_state=1), obsm={"p": np.ones((200, 3))}
        ).write_zarr(where)
    return where


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("2GiB", 2**31),
        ("2 gb", 2 * 10**9),
        ("1.5k", 1500),
        ("10", 10),
        (7, 7),
        (None, None),
        ("1TiB", 2**40),
        ("3B", 3),
    ],
)
def test_bytes(text, count):
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "GB", "1 xb", "1ib", "-3", "2GiBB"])
def test_no_bytes(text):
    with pytest.raises(ValueError, match="2GiB"):
        parse_bytes(text)


def test_no_number():
    with pytest.raises(TypeError):
        parse_bytes(True)
    with pytest.raises(TypeError):
        lz.options(threads="4")


def test_options_nest():
    assert call() == (None, None, None)
    with lz.options(memory_limit="1MB"):
        with lz.options(threads=3):
            assert call()[:2] == (10**6, 3)
        assert call()[:2] == (10**6, None)
    assert call() == (None, None, None)


def test_options_hold_after_an_error(path):
    a = lz.open(path)
    with pytest.raises(MemoryError), lz.options(memory_limit=100):
        a.X.to_memory()
    assert call() == (None, None, None)


def test_measured(path):
    a = lz.open(path)
    with lz.measure() as m:
        a.X[:100].to_memory()
    r = m.report
    assert r.requests > 0
    assert r.bytes_fetched > 0
    assert r.chunks > 0
    assert r.bytes_decoded >= 100 * 10 * 8
    assert r.seconds > 0
    assert r.ledger_peak > 0
    assert r.peak_growth is None or r.peak_growth >= 0
    assert r.to_dict()["requests"] == r.requests
    assert "bytes fetched" in str(r)
    with lz.measure() as m:
        pass
    assert m.report.requests == 0


def test_measurements_nest(path):
    a = lz.open(path)
    with lz.measure() as outer:
        a.X[:10].to_memory()
        before = outer.report.requests
        with lz.measure() as inner:
            a.obsm["p"].to_memory()
    assert inner.report.requests > 0
    assert outer.report.requests == before + inner.report.requests


def test_plan(path):
    a = lz.open(path)
    with lz.measure() as m:
        plan = a.X[:100].plan()
    assert m.report.requests == 0
    assert m.plans == [plan]
    assert plan.requests.mark in {"exact", "upper", "estimate"}
    assert json.loads(plan.json)["schema"].startswith("lazarr-plan/")
    assert plan.to_dict()["requests"]["value"] == plan.requests.value
    assert str(plan) == repr(plan)
    assert "indptr" in str(plan)
    for name in (
        "requests",
        "chunks",
        "fetch_bytes",
        "decode_bytes",
        "output_bytes",
        "peak_bytes",
        "round_trips",
    ):
        amount = getattr(plan, name)
        assert isinstance(amount, lz.Amount)
        assert amount.value >= 0


@pytest.mark.parametrize("what", ["X[:100]", "X[[150, 3, 3]]", "obsm['p'][5:9]", "X[::7]"])
def test_resolved_plans_are_exact(path, what):
    x = eval(f"lz.open(path, audit=False).{what}", {"lz": lz, "path": path})  # noqa: S307
    plan = x.plan(resolve=True)
    with lz.measure() as m:
        x.to_memory()
    r = m.report
    small = plan.requests.mark == "exact"
    assert small, str(plan)
    assert r.requests == plan.requests.value
    assert r.bytes_fetched == plan.fetch_bytes.value
    assert r.ledger_peak <= plan.peak_bytes.value
    text = r.beside(plan)
    assert "plan" in text.splitlines()[0]
    assert "actual" in text.splitlines()[0]

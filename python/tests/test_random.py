"""Random stores and random selections against anndata in memory: LAZARR_STORES says how many stores (20 selections each)."""

from __future__ import annotations

import functools
import os
import warnings

import numpy as np
import pytest
from same import same
from stores import in_memory, random_anndata, read, selection, write

import lazarr as lz

STORES = int(os.environ.get("LAZARR_STORES", "40"))
SELECTIONS = 20


class StableNumpy:
    """numpy whose argsort keeps the order of equals; scipy's own leaves it to the processor that it runs on."""

    argsort = staticmethod(functools.partial(np.argsort, kind="stable"))

    def __getattr__(self, name):
        return getattr(np, name)


@pytest.fixture(autouse=True)
def _repeated_columns_in_order(monkeypatch):
    """scipy picks columns by `np.argsort`: where one is picked twice, the order of its copies is else undefined."""
    monkeypatch.setattr("scipy.sparse._compressed.np", StableNumpy())


@pytest.mark.parametrize("number", range(STORES))
def test_store(number, seed, tmp_path):
    rng = np.random.default_rng([seed, number])
    path = str(tmp_path / "s.zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write(rng, random_anndata(rng), path)
        theirs = read(path)
        ours = lz.open(path)
        assert ours.shape == theirs.shape
        same(ours.to_memory(), theirs, "all")
        for k in range(SELECTIONS):
            view, expected, said = ours, theirs, []
            for _ in range(rng.integers(1, 4)):
                rows = selection(rng, expected.obs_names)
                cols = selection(rng, expected.var_names)
                index = (rows, cols)
                theirs_index = in_memory(rows, expected.obs_names), in_memory(cols, expected.var_names)
                said.append(index)
                view, expected = view[index], expected[theirs_index]
            where = f"store {number}, selection {k}: {said}"
            try:
                same(view.to_memory(), expected.copy())
            except Exception as e:
                raise AssertionError(where) from e
            assert view.shape == expected.shape, where

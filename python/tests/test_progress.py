"""How far a long read is: said on a terminal, taken away afterwards, and said nowhere else."""

from __future__ import annotations

import io

import numpy as np
import pytest
from counts import adata_of, write

import lazarr as lz
from lazarr import _progress


class Screen(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(scope="module")
def store(tmp_path_factory, seed):
    a = adata_of(np.random.default_rng([seed, 11]), 400, 60, more=False)
    return write(a, tmp_path_factory.mktemp("progress") / "s.zarr")


@pytest.fixture
def screen(monkeypatch):
    """A terminal, to which every read is long; a line is written before a call ends."""
    shown = Screen()
    monkeypatch.setattr(_progress, "screen", lambda: shown)
    monkeypatch.setattr(_progress, "_AFTER", 0.0)
    return shown


def test_a_terminal_is_told_and_wiped(store, screen, monkeypatch):
    close = _progress._Line.close

    def later(line):
        # The line is written by a thread of its own: the call ends when it has been.
        while not line._width:
            line._thread.join(0.01)
        close(line)

    monkeypatch.setattr(_progress._Line, "close", later)
    lazy = lz.open(store)
    for read in (
        lazy.X.to_memory,
        lazy.to_memory,
        lambda: lazy.X.mean_var(axis=0),
        lazy.obs["batch"].to_memory,
    ):
        screen.seek(0)
        screen.truncate()
        read()
        said = screen.getvalue()
        assert "% of" in said
        assert "chunks" in said
        last = said.rstrip("\r").rpartition("\r")[2]
        assert not last.strip()
    screen.seek(0)
    screen.truncate()
    with lz.options(progress=False):
        lazy.X.to_memory()
    assert not screen.getvalue()


def test_nothing_is_said_where_no_one_looks(store, monkeypatch):
    shown = io.StringIO()
    monkeypatch.setattr("sys.stderr", shown)
    monkeypatch.setattr(_progress, "_AFTER", 0.0)
    assert _progress.screen() is None
    with lz.options(progress=True):
        lz.open(store).X.to_memory()
    assert not shown.getvalue()
    monkeypatch.setattr("sys.stderr", Screen())
    assert _progress.screen() is not None
    with pytest.raises(TypeError, match="progress"):
        lz.options(progress="yes")


def test_an_error_ends_the_line(store, screen):
    with pytest.raises(lz.LazarrError):
        lz.open(store).X[:, ["no such gene"]].to_memory()
    assert not [t for t in __import__("threading").enumerate() if t.name == "lazarr-progress"]

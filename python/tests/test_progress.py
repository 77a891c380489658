"""How far a long read is: said on a terminal, taken away afterwards, and said nowhere else."""

from __future__ import annotations

import io
import threading
import time

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


def is_written(line):
    """Waits for the line: a thread of its own writes it."""
    for _ in range(3000):
        if line._width:
            return
        line._thread.join(0.01)
    raise AssertionError("no line was written")


def test_a_terminal_is_told_and_wiped(store, screen, monkeypatch):
    close = _progress._Line.close

    def later(line):
        is_written(line)
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


def test_between_blocks_the_terminal_is_the_callers(store, screen, monkeypatch):
    monkeypatch.setattr(_progress, "_PACE", 0.001)
    leave = _progress._Line.leave

    def later(line):
        is_written(line)
        leave(line)

    monkeypatch.setattr(_progress._Line, "leave", later)
    lazy = lz.open(store)
    seen = 0
    for start, stop, block in lazy.X.iter_rows(100):
        said = screen.getvalue()
        assert "% of" in said
        assert not said.rstrip("\r").rpartition("\r")[2].strip()
        time.sleep(0.02)
        assert screen.getvalue() == said, "the line was written while the caller had the block"
        assert block.shape == (stop - start, 60)
        screen.seek(0)
        screen.truncate()
        lazy.obs["batch"].to_memory()
        seen = stop
    assert seen == 400
    blocks = lazy.X.iter_rows(100)
    next(blocks)
    blocks.close()
    assert not [t for t in threading.enumerate() if t.name == "lazarr-progress"]
    screen.seek(0)
    screen.truncate()
    with lz.options(progress=False):
        assert len(list(lazy.X.iter_rows(100))) == 4
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
    assert not [t for t in threading.enumerate() if t.name == "lazarr-progress"]


def test_a_stream_that_is_no_terminal_is_left_alone(store, monkeypatch):
    class Writer:
        def write(self, text):
            raise AssertionError(text)

        flush = write

    closed = io.StringIO()
    closed.close()
    lazy = lz.open(store)
    for stream in (Writer(), closed, None):
        monkeypatch.setattr("sys.stderr", stream)
        assert _progress.screen() is None
        lazy.X.to_memory()


def test_names_steer_no_terminal(store, screen):
    class Meter:
        chunks = bytes = 0

    line = _progress._Line(screen, "layers/\x1b]0;x\x07" + "y" * 1000, Meter(), lambda: None)
    while not line._width:
        line._thread.join(0.01)
    line.close()
    said = screen.getvalue()
    assert "\x1b" not in said
    assert "\\x1b]0;x\\x07" in said
    assert all(len(part) < 200 for part in said.split("\r"))

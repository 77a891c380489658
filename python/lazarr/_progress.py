"""How far a long read is: one line on a terminal or below a cell of a notebook, and nothing anywhere else."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ._context import human_bytes, printable, progress_wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from . import _lazarr

__all__ = ["between", "watched"]

_AFTER = 1.0
"""Seconds after which a read is long."""
_PACE = 0.2
"""Seconds between two changes of the line."""
_SHOWN = threading.Lock()
"""Held while there is a line."""


def screen() -> Any:
    """Where a line can be written over: standard error of a terminal or of a notebook; else None."""
    stream = sys.stderr
    if stream is None:
        return None
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    try:
        looked_at = type(shell).__name__ == "ZMQInteractiveShell" or stream.isatty()
    except (AttributeError, ValueError, OSError):  # something of the caller's own, or closed
        return None
    return stream if looked_at else None


class _Line:
    """The line of one call. It is taken away when the call ends."""

    def __init__(
        self, stream: Any, what: str, meter: _lazarr.Meter, chunks: Callable[[], int | None]
    ) -> None:
        self._stream, self._what, self._meter, self._chunks = stream, what, meter, chunks
        self._before = meter.chunks, meter.bytes
        self._start = time.monotonic()
        self._end = threading.Event()
        self._ours = threading.Lock()
        """Held by who writes, and by who says whether the terminal is ours now."""
        self._shows = True
        self._width = 0
        self._thread = threading.Thread(target=self._run, name="lazarr-progress", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        if self._end.wait(_AFTER):
            return
        try:
            # Planned here, so that short reads do not pay for it.
            total = self._chunks()
        except Exception:  # noqa: BLE001 - the read itself says what is wrong
            total = None
        with suppress(OSError, ValueError):  # the terminal may be gone
            while True:
                with self._ours:
                    if self._shows:
                        self._write(self.text(total))
                if self._end.wait(_PACE):
                    break
            with self._ours:
                self._write("")

    def text(self, total: int | None) -> str:
        """What the line says now."""
        chunks, fetched = self._meter.chunks - self._before[0], self._meter.bytes - self._before[1]
        seconds = time.monotonic() - self._start
        done = f"{chunks:,} chunks"
        left = ""
        if total:
            share = min(chunks / total, 1.0)
            done = f"{100 * share:3.0f} % of {total:,} chunks"
            if share > 0:
                left = f", {seconds / share - seconds:.0f} s left"
        return f"{self._what}: {done}, {human_bytes(fetched)} in {seconds:.0f} s{left}"

    def _write(self, text: str) -> None:
        text = printable(text)[: shutil.get_terminal_size().columns - 1]
        gap = " " * (self._width - len(text))
        self._stream.write(f"\r{text}{gap}\r" if not text else f"\r{text}{gap}")
        self._stream.flush()
        self._width = len(text)

    def leave(self) -> None:
        """The terminal is the caller's, until `take`."""
        with self._ours, suppress(OSError, ValueError):
            self._shows = False
            if self._width:
                self._write("")

    def take(self) -> None:
        """The terminal is ours again."""
        with self._ours:
            self._shows = True

    def close(self) -> None:
        """Ends the line."""
        self._end.set()
        self._thread.join()


@contextmanager
def watched(what: str, meter: _lazarr.Meter, chunks: Callable[[], int | None]) -> Iterator[None]:
    """Shows how far what is read inside is, if it takes long and someone may be looking.

    `meter` counts what is decoded, `chunks` plans how many there are.
    """
    stream = screen() if progress_wanted() else None
    if stream is None:
        yield
        return
    # One line: of calls that run together the first has it.
    if not _SHOWN.acquire(blocking=False):
        yield
        return
    try:
        line = _Line(stream, what or "reading", meter, chunks)
        try:
            yield
        finally:
            line.close()
    finally:
        _SHOWN.release()


def between[T](
    what: str, meter: _lazarr.Meter, chunks: Callable[[], int | None], blocks: Iterator[T]
) -> Iterator[T]:
    """Passes on what is read block by block, and says how far it is while the next one is waited for.

    Between two blocks the terminal is the caller's, who may write there, or watch the loop in another way.
    """
    stream = screen() if progress_wanted() else None
    if stream is None:
        yield from blocks
        return
    line: _Line | None = None
    try:
        while True:
            ours = _SHOWN.acquire(blocking=False)
            try:
                if ours:
                    line = line or _Line(stream, what or "reading", meter, chunks)
                    line.take()
                block = next(blocks, None)
            finally:
                if ours:
                    if line is not None:
                        line.leave()
                    _SHOWN.release()
            if block is None:
                return
            yield block
    finally:
        if line is not None:
            line.close()

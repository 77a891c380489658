"""Limits and measurements that hold for a block of code: each is read once, when a verb is called."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextvars import ContextVar, Token
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from . import _lazarr
from ._limits import Limits, parse_size

if TYPE_CHECKING:
    from types import TracebackType

    from ._plan import Plan

__all__ = ["Measurement", "Report", "call", "measure", "options", "parse_bytes", "storage_words"]


def parse_bytes(value: int | str | None) -> int | None:
    """A memory limit, checked."""
    return None if value is None else parse_size(value, "memory_limit")


def storage_words(options: Mapping[str, Any] | None) -> tuple[tuple[str, str], ...]:
    """Storage options as pairs of text."""
    words: list[tuple[str, str]] = []
    for name, value in (options or {}).items():
        # As obstore takes them: {"client_options": {"allow_http": True}}.
        if name == "client_options" and isinstance(value, Mapping):
            words.extend(storage_words(value))
            continue
        if value is None:
            continue
        if not isinstance(value, str | int | float | timedelta):
            kind = type(value).__name__
            msg = f"storage_options are names with text, numbers or booleans; {name!r} is {kind}"
            raise TypeError(msg)
        if isinstance(value, timedelta):
            value = f"{value.total_seconds()}s"
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if name == "cache_dir":  # the same folder wherever a process stands
            text = os.path.abspath(os.path.expanduser(text))
        words.append((name, text))
    return tuple(words)


def parse_threads(value: int | None) -> int | None:
    """A number of threads, checked."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        msg = f"threads is a number, not {type(value).__name__}"
        raise TypeError(msg)
    if value < 1:
        msg = f"threads must be 1 or more, not {value}"
        raise ValueError(msg)
    return value


class _State(NamedTuple):
    memory_limit: int | None = None
    threads: int | None = None
    measurement: Measurement | None = None
    limits: Limits = Limits()
    progress: bool = True


_STATE: ContextVar[_State] = ContextVar("lazarr")
_DEFAULT = _State()


def call() -> tuple[int | None, int | None, _lazarr.Meter | None]:
    """What holds for a verb that is called now: memory limit, threads, meter."""
    state = _STATE.get(_DEFAULT)
    meter = None if state.measurement is None else state.measurement.meter
    return state.memory_limit, state.threads, meter


_measuring: list[Measurement] = []
"""Blocks that measure now, anywhere in this process: threads of a scheduler have no context of their own."""


def call_of_task(
    memory_limit: int | None, threads: int | None
) -> tuple[int | None, int | None, _lazarr.Meter | None]:
    """What holds for a task that a scheduler runs: its own limits, and the meter of the innermost block."""
    meter = call()[2]
    if meter is None and _measuring:
        meter = _measuring[-1].meter
    return memory_limit, threads, meter


def progress_wanted() -> bool:
    """Whether long reads may say how far they are."""
    return _STATE.get(_DEFAULT).progress


def open_limits(limits: Limits) -> Limits:
    """What holds for a store that is opened now: these limits, and those of the block."""
    return limits.over(_STATE.get(_DEFAULT).limits)


def note_plan(plan: Plan) -> None:
    """Remembers a plan that is made while something is measured."""
    measurement = _STATE.get(_DEFAULT).measurement
    if measurement is not None:
        measurement.plans.append(plan)


class options:  # noqa: N801 - used as a function
    """Limits for everything that is read inside a block.

    Parameters
    ----------
    memory_limit
        Bytes (or ``"2GiB"``) by which a call may let the process grow. None leaves what held before.
    threads
        Threads that fetch and decode. None leaves what held before.
    limits
        Bounds on metadata and chunks for the stores that are opened inside, see :class:`Limits`.
        Those that are not named leave what held before.
    progress
        Whether reads that take longer than a second say how far they are, where they are looked at: on a
        terminal and in a notebook. They do, if nothing else is said; elsewhere nothing is ever printed.

    Examples
    --------
    >>> with lz.options(memory_limit="2GiB"):  # doctest: +SKIP
    ...     adata.to_memory()
    """

    def __init__(
        self,
        *,
        memory_limit: int | str | None = None,
        threads: int | None = None,
        limits: Limits | Mapping[str, int | str] | None = None,
        progress: bool | None = None,
    ) -> None:
        if progress not in {None, True, False}:
            msg = f"progress is True or False, not {progress!r}"
            raise TypeError(msg)
        self._progress = progress
        self._limit = parse_bytes(memory_limit)
        self._limits = Limits.of(limits)
        self._threads = parse_threads(threads)
        self._tokens: list[Token[_State]] = []

    def __enter__(self) -> Self:
        state = _STATE.get(_DEFAULT)
        if self._limit is not None:
            state = state._replace(memory_limit=self._limit)
        if self._threads is not None:
            state = state._replace(threads=self._threads)
        if self._progress is not None:
            state = state._replace(progress=self._progress)
        state = state._replace(limits=self._limits.over(state.limits))
        self._tokens.append(_STATE.set(state))
        return self

    def __exit__(self, *_: object) -> None:
        _STATE.reset(self._tokens.pop())


class Report:
    """What calls really did.

    Attributes
    ----------
    requests, bytes_fetched
        Calls to the store, and the bytes that they brought.
    chunks, bytes_decoded
        Chunks that were decoded, and their bytes afterwards.
    cached_requests, cached_bytes
        Of these, what was on the local disk (``cache_dir``).
    absent, filled
        Keys that were not there, and chunks that are the fill value for that reason.
    seconds
        Wall time of the block.
    peak_growth
        Bytes by which the process grew at its peak; None where the system does not say.
    ledger_peak
        The most bytes that the engine had charged at once.
    """

    _COUNTS = (
        "requests",
        "bytes_fetched",
        "cached_requests",
        "cached_bytes",
        "chunks",
        "bytes_decoded",
        "absent",
        "filled",
        "ledger_peak",
    )

    def __init__(self, seconds: float, peak_growth: int | None, counts: dict[str, int]) -> None:
        self.seconds = seconds
        self.peak_growth = peak_growth
        self.requests = counts["requests"]
        self.bytes_fetched = counts["bytes_fetched"]
        self.cached_requests = counts["cached_requests"]
        self.cached_bytes = counts["cached_bytes"]
        self.chunks = counts["chunks"]
        self.bytes_decoded = counts["bytes_decoded"]
        self.absent = counts["absent"]
        self.filled = counts["filled"]
        self.ledger_peak = counts["ledger_peak"]

    def to_dict(self) -> dict[str, Any]:
        """All figures, for programs."""
        counts = {name: getattr(self, name) for name in self._COUNTS}
        return {**counts, "seconds": self.seconds, "peak_growth": self.peak_growth}

    def _rows(self) -> list[tuple[str, str]]:
        peak = "not known" if self.peak_growth is None else human_bytes(self.peak_growth)
        return [
            ("requests", f"{self.requests:,}"),
            ("bytes fetched", human_bytes(self.bytes_fetched)),
            ("chunks decoded", f"{self.chunks:,}"),
            ("bytes decoded", human_bytes(self.bytes_decoded)),
            ("peak growth", peak),
            ("ledger peak", human_bytes(self.ledger_peak)),
            ("seconds", f"{self.seconds:.3f}"),
        ]

    def __str__(self) -> str:
        return "\n".join(f"{name:<15} {value:>12}" for name, value in self._rows())

    def __repr__(self) -> str:
        fields = ", ".join(f"{k}={v!r}" for k, v in self.to_dict().items())
        return f"Report({fields})"

    def beside(self, plan: Plan) -> str:
        """A small table: what was planned, what was done."""
        planned = {
            "requests": plan.requests.as_count(),
            "bytes fetched": plan.fetch_bytes.as_bytes(),
            "chunks decoded": plan.chunks.as_count(),
            "bytes decoded": plan.decode_bytes.as_bytes(),
            "peak growth": plan.peak_bytes.as_bytes(),
        }
        lines = [f"{'':<15} {'plan':>14} {'actual':>12}"]
        lines += [f"{name:<15} {planned.get(name, ''):>14} {value:>12}" for name, value in self._rows()]
        return "\n".join(lines)


class Measurement:
    """What :func:`measure` gives: ``report`` and, where plans were made inside, ``plans``."""

    def __init__(self) -> None:
        self.meter = _lazarr.Meter()
        self.plans: list[Plan] = []
        self._inner: list[Report] = []
        self._report: Report | None = None
        self._start = time.perf_counter()
        self._base: int | None = None

    @property
    def report(self) -> Report:
        """The figures up to now, or of the whole block once it has ended."""
        return self._report if self._report is not None else self._now()

    def _begin(self) -> None:
        reset = _lazarr.reset_peak()
        memory = _lazarr.resident()
        self._base = memory[0] if reset and memory is not None else None
        self._start = time.perf_counter()

    def _now(self) -> Report:
        seconds = time.perf_counter() - self._start
        memory = _lazarr.resident()
        peak = None if memory is None or self._base is None else max(0, memory[1] - self._base)
        m = self.meter
        counts = {
            "requests": m.requests,
            "bytes_fetched": m.bytes,
            "cached_requests": m.cached,
            "cached_bytes": m.cached_bytes,
            "chunks": m.chunks,
            "bytes_decoded": m.decoded,
            "absent": m.absent,
            "filled": m.filled,
        }
        for name in counts:
            counts[name] += sum(getattr(report, name) for report in self._inner)
        counts["ledger_peak"] = max([m.ledger_peak, *(r.ledger_peak for r in self._inner)])
        # An inner block has reset the peak of the system; what it saw still counts.
        if peak is not None:
            peak = max([peak, *(r.peak_growth or 0 for r in self._inner)])
        return Report(seconds, peak, counts)

    def _end(self) -> Report:
        self._report = self._now()
        return self._report

    def __str__(self) -> str:
        return self.report.beside(self.plans[-1]) if self.plans else str(self.report)


class measure:  # noqa: N801 - used as a function
    """Counts what is read inside a block.

    Examples
    --------
    >>> with lz.measure() as m:  # doctest: +SKIP
    ...     adata.X[:100].to_memory()
    >>> print(m.report)  # doctest: +SKIP
    """

    def __init__(self) -> None:
        self._open: list[tuple[Token[_State], Measurement, Measurement | None]] = []

    def __enter__(self) -> Measurement:
        state = _STATE.get(_DEFAULT)
        measurement = Measurement()
        token = _STATE.set(state._replace(measurement=measurement))
        self._open.append((token, measurement, state.measurement))
        _measuring.append(measurement)
        measurement._begin()  # noqa: SLF001 - the other half of this class
        return measurement

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        token, measurement, outer = self._open.pop()
        _measuring.remove(measurement)
        report = measurement._end()  # noqa: SLF001
        if outer is not None:
            outer._inner.append(report)  # noqa: SLF001
            outer.plans.extend(measurement.plans)
        _STATE.reset(token)


def printable(text: str) -> str:
    """Text that steers no terminal: what is not printed is escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def human_bytes(count: int) -> str:
    """Bytes as a person reads them, in powers of 1000: ``4.7 KB``."""
    value = float(count)
    for unit in ("B", "KB", "MB", "GB", "TB", "PB"):
        if value < 999.5 or unit == "PB":
            break
        value /= 1000
    if unit == "B":
        return f"{count} B"
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"

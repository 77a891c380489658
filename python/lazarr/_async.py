"""Awaited twins of the verbs that read: the same call, on a thread; it ends when its task is cancelled."""

from __future__ import annotations

import os
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Self

from . import _lazarr

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from concurrent.futures import ThreadPoolExecutor

    from ._plan import Plan

__all__ = ["AsyncColumns", "AsyncReads", "AsyncRows", "awaited"]

_AT_ONCE = 32
"""Calls under way at once; others wait. They share the slots of their store and the memory of the process."""

_pool: tuple[int, ThreadPoolExecutor] | None = None


def _threads() -> ThreadPoolExecutor:
    """The threads of this process: those of a parent do not survive a fork."""
    global _pool  # noqa: PLW0603 - one for the process
    if _pool is None or _pool[0] != os.getpid():
        from concurrent.futures import ThreadPoolExecutor

        _pool = os.getpid(), ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="lazarr-await")
    return _pool[1]


async def awaited[T](verb: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Calls something that reads on a thread. What holds here (`lz.options`, `lz.measure`) holds there."""
    import asyncio  # who awaits has it already

    stop = _lazarr.Stop()
    context = copy_context()

    def work() -> T:
        with stop:
            return context.run(verb, *args, **kwargs)

    try:
        return await asyncio.get_running_loop().run_in_executor(_threads(), work)
    except BaseException:
        # Cancelled, or closed with its loop: the thread sees it within 100 ms; what it has read is dropped.
        stop.stop()
        raise


class AsyncReads:
    """Twins of what every lazy object has."""

    __slots__ = ()

    if TYPE_CHECKING:
        to_memory: Callable[..., Any]
        plan: Callable[..., Plan]
        resolve: Callable[[], Any]

    async def to_memory_async(self, **kwargs: Any) -> Any:
        """As ``to_memory``, awaited: cancelling the task ends the read."""
        return await awaited(self.to_memory, **kwargs)

    async def plan_async(self, **kwargs: Any) -> Plan:
        """As ``plan``, awaited."""
        return await awaited(self.plan, **kwargs)

    async def resolve_async(self) -> Self:
        """As ``resolve``, awaited."""
        await awaited(self.resolve)
        return self


class AsyncRows:
    """Twins of what a matrix has."""

    __slots__ = ()

    if TYPE_CHECKING:
        iter_rows: Callable[..., Any]
        mean_var: Callable[..., Any]

    async def mean_var_async(self, **kwargs: Any) -> Any:
        """As ``mean_var``, awaited."""
        return await awaited(self.mean_var, **kwargs)

    async def iter_rows_async(self, *args: Any, **kwargs: Any) -> AsyncIterator[tuple[int, int, Any]]:
        """As ``iter_rows``, for ``async for``."""
        blocks = iter(self.iter_rows(*args, **kwargs))
        while (block := await awaited(next, blocks, None)) is not None:
            yield block


class AsyncColumns:
    """Twins of what columns and tables have."""

    __slots__ = ()

    if TYPE_CHECKING:
        head: Callable[..., Any]
        to_arrow: Callable[..., Any]
        value_counts: Callable[..., Any]

    async def head_async(self, n: int = 5) -> Any:
        """As ``head``, awaited."""
        return await awaited(self.head, n)

    async def to_arrow_async(self) -> Any:
        """As ``to_arrow``, awaited."""
        return await awaited(self.to_arrow)

    async def value_counts_async(self, *args: Any, **kwargs: Any) -> Any:
        """As ``value_counts``, awaited."""
        return await awaited(self.value_counts, *args, **kwargs)

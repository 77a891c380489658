"""What a task of another scheduler holds, and the stores that a process keeps open for such tasks.

A task is small and says everything: which store, opened how, which rows of which element. It holds no
socket and no secret, and equal tasks are equal text. A process opens a store once and keeps it, with its
caches.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from . import _convert, _lazarr
from ._context import call, call_of_task
from ._errors import inside
from ._store import Composite, Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._bridge import Bridged

__all__ = ["Block", "Reader", "read"]

_KEPT = 32
"""Stores that a process keeps open."""

_open: OrderedDict[Reader, Store] = OrderedDict()
# What is made of several stores asks for these.
_lock = threading.RLock()


class Place:
    """How a process makes a store of others; the same where these, and what is laid over them, are."""

    __slots__ = ("identity", "make", "rest", "under")

    def __init__(
        self, identity: int, under: tuple[Reader, ...], make: Callable[..., Any], rest: tuple[Any, ...]
    ) -> None:
        self.identity, self.under, self.make, self.rest = identity, under, make, rest

    def open(self) -> Store:
        """Makes it of stores that this process keeps."""
        return Composite(tuple(reader.store() for reader in self.under), self.make, self.rest)

    def __eq__(self, other: object) -> bool:
        return type(other) is Place and other.identity == self.identity

    def __hash__(self) -> int:
        return hash(self.identity)

    def __dask_tokenize__(self) -> tuple[str, int]:
        return "lazarr", self.identity

    def __reduce__(self) -> tuple[Any, ...]:
        return Place, (self.identity, self.under, self.make, self.rest)


class Reader(NamedTuple):
    """A store, how to open it, and when its metadata was written: what is written anew is another store."""

    place: str | Bridged | Place
    args: tuple[Any, ...]
    stamp: tuple[int, ...]

    @classmethod
    def of(cls, store: Store) -> Reader:
        """Of a store that is open; this process keeps using it."""
        limit, threads, _ = call()
        memory_limit, own_threads, *rest = store.args
        stamp = tuple(when for url in store.urls() for when in _stamp(url))
        reader = cls(store.place, (limit or memory_limit, threads or own_threads, *rest), stamp)
        with _lock:
            _keep(reader, store)
        return reader

    def store(self) -> Store:
        """The store, opened the first time that this process asks."""
        with _lock:
            store = _open.get(self)
            if store is None:
                store = self.place.open() if isinstance(self.place, Place) else Store(self.place, *self.args)
            _keep(self, store)
        return store


def _keep(reader: Reader, store: Store) -> None:
    _open[reader] = store
    _open.move_to_end(reader)
    while len(_open) > _KEPT:
        _open.popitem(last=False)


def _stamp(url: str) -> tuple[int, ...]:
    """When the documents at the root of a local store were written."""
    places = [url, *(os.path.join(url, name) for name in ("zarr.json", ".zmetadata", ".zgroup", ".zarray"))]
    stamps = []
    for place in places:
        try:
            found = os.stat(place)
        except OSError:
            continue
        if place != url or not os.path.isdir(url):
            stamps.append(found.st_mtime_ns)
    return tuple(stamps)


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows of an element."""

    reader: Reader
    state: str
    threads: int | None
    as_stored: bool = False


def worker_limit() -> int | None:
    """What a task may add to a worker of Dask: half of what the worker may have, as tasks keep their results.

    None outside of workers and where they have no limit: then the system and the control group say.
    """
    if "distributed" not in sys.modules:
        return None
    from distributed import get_worker

    try:
        limit = get_worker().memory_manager.memory_limit
    except (ValueError, AttributeError):
        return None
    return max(int(limit) // 2, 1) if limit else None


def read(block: Block) -> Any:
    """Reads the rows: numpy's array, or a csr_matrix."""
    native = _lazarr.Lazy.from_state(block.reader.store().session, block.state)
    limit = block.reader.args[0]
    with inside(native.path):
        value = native.collect(*call_of_task(worker_limit() if limit is None else limit, block.threads))
        return as_block(value, as_stored=block.as_stored)


def as_block(value: Any, *, as_stored: bool = False) -> Any:
    """A native result as a block of an array of Dask: what is sparse is a csr_matrix, or as it is stored."""
    if value[0] != "sparse":
        return _convert.array(value)
    matrix = _convert.sparse(value, as_array=False)
    return matrix if value[1] == "csr" or as_stored else matrix.tocsr()

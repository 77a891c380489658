"""Elements as arrays of Dask that know what they are of.

While such an array has only been sliced it is still a selection of its element: slicing it again composes
the two, and its blocks read what the result needs. Any other operation gives a plain array of Dask over the
blocks.
"""

# ruff: noqa: SLF001 - the private half of elements
from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from dask._task_spec import Task
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph

from . import _convert, _index
from ._context import call, human_bytes
from ._cuts import Cuts
from ._errors import type_error
from ._reader import Block, Reader, read
from ._registry import register

if TYPE_CHECKING:
    from . import _lazarr
    from ._element import Element
    from ._plan import Plan

__all__ = ["LazyArray"]


class LazyArray(da.Array):
    """An array of Dask over an element of a store, in blocks of rows.

    Attributes
    ----------
    element
        The lazy element with what is selected of it; None once the array was changed in place.
    """

    # `da.Array` has a dict of its own: what is kept here is lost by every operation that makes a new array.
    _own: tuple[str, Element, Cuts, Reader]

    @staticmethod
    def _make(element: Element, cuts: Cuts, reader: Reader) -> LazyArray:
        native = element._native
        shape = native.shape
        rest = tuple((n,) for n in shape[1:])
        threads = max(1, reader_threads(reader) // len(cuts.ends)) if len(cuts.ends) > 1 else None
        # The selection is made before it is cut, so that no task reads names or columns for it.
        whole = native.block(0, shape[0] or 0, *call())
        name = f"lazarr-{tokenize(reader, whole.state(), cuts.ends.tolist())}"
        tasks: dict[Any, Task] = {}
        start = 0
        for k, end in enumerate(cuts.ends.tolist()):
            key = (name, k, *(0 for _ in rest))
            tasks[key] = Task(key, read, Block(reader, whole.block(start, end, *call()).state(), threads))
            start = end
        graph = HighLevelGraph.from_collections(name, tasks, dependencies=())
        rows = tuple(np.diff(cuts.ends, prepend=0).tolist())
        make: Any = LazyArray
        self: LazyArray = make(graph, name, (rows, *rest), meta=_meta(native))
        self._own = (name, element._with(whole), cuts, reader)
        register(LazyArray, da.Array)
        return self

    @property
    def element(self) -> Element | None:
        """The lazy element with what is selected of it; None once the array was changed in place."""
        own = self.__dict__.get("_own")
        return own[1] if own is not None and own[0] == self.name else None

    def plan(self, *, resolve: bool = False) -> Plan:
        """What computing all of it would cost, but for chunks in which two blocks meet: each reads them."""
        element = self.element
        if element is None:
            msg = "this array is not what was read any more: make the plan before it is changed"
            raise type_error(msg)
        plan = element.plan(resolve=resolve)
        blocks = self.numblocks[0]
        if element._native.format == "csc" and blocks > 1:
            plan = plan.noted(
                f"stored as csc, gene by gene: each of {blocks} blocks of rows goes through all of it, "
                f"and the numbers above are those of one. Few genes are one block: a[:, genes]"
            )
        return plan

    def copy(self) -> Any:
        """The same: nothing of it can change what is stored."""
        element = self.element
        if element is None:
            return super().copy()  # type: ignore[no-untyped-call]
        return LazyArray._make(element, *self._own[2:])

    def __array__(self, dtype: Any = None, copy: bool | None = None, **kwargs: Any) -> np.ndarray[Any, Any]:
        element = self.element
        if element is None or not isinstance(self._meta, _convert.scipy_sparse().spmatrix):
            return np.asarray(super().__array__(dtype, copy=copy, **kwargs))  # type: ignore[no-untyped-call]
        # What asks for numbers of few genes gets them; a whole matrix is not made dense behind anyone's back.
        size = math.prod(self.shape) * self.dtype.itemsize
        limit = self._own[3].args[0] or self._own[3].store().session.memory_limit
        if element._native.is_whole_along(1) or size > limit // 4:
            msg = (
                f"{element.path} is sparse, and as a dense array it is {human_bytes(size)}: "
                "choose genes, or load it as it is, adata[:, genes].to_memory()"
            )
            raise type_error(msg)
        matrix: Any = self.compute()  # type: ignore[no-untyped-call]
        return np.asarray(matrix.toarray(), dtype=dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        element = self.element
        if element is None:
            return super().__reduce__()  # type: ignore[no-any-return, no-untyped-call]
        _, _, cuts, reader = self._own
        return _restore, (type(element), element._native.state(), element._extra(), cuts, reader)

    def __getitem__(self, index: Any) -> Any:
        element = self.element
        items = None if element is None else _simple(index, self.shape)
        if element is None or items is None:
            return super().__getitem__(index)  # type: ignore[no-untyped-call]
        _, _, cuts, reader = self._own
        native = element._native
        for axis, item in enumerate(items):
            if isinstance(item, slice) and item == slice(None):
                continue
            # A single position keeps its axis here; Dask drops it from the one row that is read.
            before = native.shape[axis]
            part = slice(item, item + 1) if isinstance(item, int) else item
            native = _index.select(native, axis, part)
            cuts = cuts.of(part) if axis == 0 else cuts.scaled(native.shape[axis], before)
        out = self if native is element._native else LazyArray._make(element._with(native), cuts, reader)
        single = tuple(0 if isinstance(item, int) else slice(None) for item in items)
        if 0 not in single:
            return out
        return super(LazyArray, out).__getitem__(single)  # type: ignore[no-untyped-call]


def _simple(index: Any, shape: tuple[int, ...]) -> list[Any] | None:
    """An index that only selects, one item for each axis; None where Dask must see to it (or refuse it)."""
    try:
        items = _index.unpack(index, len(shape))
    except IndexError:
        return None
    out: list[Any] = []
    for item, n in zip(items, shape, strict=True):
        if isinstance(item, slice):
            if any(not (end is None or _index.is_integer(end)) for end in (item.start, item.stop, item.step)):
                return None
            out.append(item)
        elif _index.is_integer(item):
            at = int(item) + (n if item < 0 else 0)
            if not 0 <= at < n:
                return None
            out.append(at)
        elif isinstance(item, list | tuple | np.ndarray | range):
            array = np.asarray(item)
            if array.ndim != 1 or (array.dtype == bool and len(array) != n):
                return None
            numbers = array.size > 0 and array.dtype != bool
            if numbers and (array.dtype.kind not in "iu" or array.min() < -n or array.max() >= n):
                return None
            out.append(array if array.size else np.empty(0, np.int64))
        else:
            return None
    return None if sum(isinstance(item, np.ndarray) for item in out) > 1 else out


def _meta(native: _lazarr.Lazy) -> Any:
    """An empty block."""
    dtype = _convert.numpy_dtype(native.dtype)
    if native.kind == "sparse":
        return _convert.scipy_sparse().csr_matrix((0, 0), dtype=dtype)
    return np.empty((0,) * len(native.shape), dtype)


def reader_threads(reader: Reader) -> int:
    """Threads of the store's own: those of a block are its share, for blocks are read side by side."""
    return reader.args[1] or reader.store().session.threads


def to_dask(element: Element, chunk_bytes: int | None, rows: int | None = None) -> LazyArray:
    """The array of an element, in blocks of so many bytes or rows."""
    reader = Reader.of(element._store.of(element._native))
    if rows is None:
        cuts = Cuts(*element._native.cuts(chunk_bytes, *call()))
    else:
        n = element._native.shape[0] or 0
        ends = [*range(rows, n, rows), n]
        cuts = Cuts(ends, [float(rows)] * len(ends))
    return LazyArray._make(element, cuts, reader)


def in_grid(element: Element, chunks: list[int]) -> Any:
    """A plain array of Dask in blocks of this shape; what is sparse stays as it is stored."""
    native = element._native
    reader = Reader.of(element._store.of(native))
    shape = [n or 0 for n in native.shape]
    lengths = [_lengths(n, size) for n, size in zip(shape, chunks, strict=True)]
    whole = native.block(0, shape[0], *call())
    name = f"lazarr-grid-{tokenize(reader, whole.state(), lengths)}"
    tasks: dict[Any, Task] = {}
    for at in itertools.product(*(range(len(n)) for n in lengths)):
        part = whole
        for axis, k in enumerate(at):
            start = sum(lengths[axis][:k])
            part = part.slice(axis, start, start + lengths[axis][k], 1)
        key = (name, *at)
        tasks[key] = Task(key, read, Block(reader, part.state(), 1, as_stored=True))
    meta: Any = np.empty((0,) * len(shape), element.dtype)
    if native.kind == "sparse":
        meta = getattr(_convert.scipy_sparse(), f"{native.format}_matrix")((0, 0), dtype=element.dtype)
    graph = HighLevelGraph.from_collections(name, tasks, dependencies=())
    make: Any = da.Array
    return make(graph, name, tuple(lengths), meta=meta)


def _lengths(n: int, size: int) -> tuple[int, ...]:
    ends = [*range(size, n, size), n]
    return tuple(np.diff(ends, prepend=0).tolist())


def _restore(cls: type[Element], state: str, extra: dict[str, Any], cuts: Cuts, reader: Reader) -> LazyArray:
    return LazyArray._make(cls._rebuild(reader.store(), state, extra), cuts, reader)

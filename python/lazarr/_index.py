"""What may stand in brackets, and what it becomes. Nothing here reads."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, Protocol, Self

import numpy as np

from . import _lazarr
from ._errors import index_error

__all__ = ["is_integer", "is_list_of_text", "select", "unpack"]


class Selectable(Protocol):
    """The native verbs of selection, of elements and of whole objects."""

    def slice(self, axis: int, start: int | None, stop: int | None, step: int | None) -> Self: ...
    def ints(self, axis: int, items: Any) -> Self: ...
    def mask(self, axis: int, items: Any) -> Self: ...
    def labels(self, axis: int, items: Sequence[str]) -> Self: ...
    def label_slice(self, axis: int, start: str | None, stop: str | None) -> Self: ...
    def labelled_mask(self, axis: int, labels: Sequence[str], items: Any) -> Self: ...
    def predicate(self, axis: int, predicate: _lazarr.Predicate) -> Self: ...


def unpack(index: Any, rank: int) -> list[Any]:
    """One index for each axis; ``...`` and what is not named are ``slice(None)``."""
    items = list(index) if isinstance(index, tuple) else [index]
    dots = [k for k, item in enumerate(items) if item is Ellipsis]
    if len(dots) > 1:
        msg = "an index can only have a single ellipsis ('...')"
        raise index_error(msg)
    named = len(items) - len(dots)
    if named > rank:
        msg = f"too many indices: {named} for {rank} {'axis' if rank == 1 else 'axes'}"
        raise index_error(msg)
    at = dots[0] if dots else len(items)
    rest = items[at + 1 :]
    full = [slice(None)] * (rank - named)
    return items[:at] + full + rest


def is_integer(item: Any) -> bool:
    """Whether this is one position."""
    if isinstance(item, bool | np.bool_):
        return False
    if isinstance(item, int | np.integer):
        return True
    return isinstance(item, np.ndarray) and item.ndim == 0 and item.dtype.kind in "iu"


def is_list_of_text(item: Any) -> bool:
    """Whether these are names (an empty list is not)."""
    if isinstance(item, list | tuple):
        return bool(item) and all(isinstance(x, str) for x in item)
    return isinstance(item, np.ndarray) and item.dtype.kind in "UT"


def is_array(item: Any) -> bool:
    """Whether this picks many positions one by one."""
    return not (isinstance(item, slice | str) or is_integer(item))


def _from_pandas(item: Any) -> bool:
    return type(item).__module__.partition(".")[0] == "pandas"


def select[S: "Selectable"](on: S, axis: int, item: Any) -> S:
    """A view of `on` along one axis. An integer keeps the axis."""
    if isinstance(item, slice):
        return _slice(on, axis, item)
    if isinstance(item, _lazarr.Predicate):
        return on.predicate(axis, item)
    if isinstance(item, str):
        return on.labels(axis, [item])
    if is_integer(item):
        return on.ints(axis, np.array([operator.index(item)], dtype=np.int64))
    if isinstance(item, range):
        stop = item.stop if item.stop >= 0 else None
        return (
            on.slice(axis, item.start, stop, item.step)
            if _plain(item)
            else _array(on, axis, np.asarray(item))
        )
    as_predicate = getattr(item, "_as_predicate", None)
    if as_predicate is not None:
        return on.predicate(axis, as_predicate())
    if hasattr(item, "_native"):
        msg = "a lazy object is no index: load it first, np.asarray(x)"
        raise index_error(msg)
    if _from_pandas(item):
        return _pandas(on, axis, item)
    if item is None or isinstance(item, bool | np.bool_ | float | dict | set):
        msg = f"{item!r} is no index: use a slice, integers, a mask, names or a condition"
        raise index_error(msg)
    if hasattr(item, "toarray") and hasattr(item, "indptr"):  # a mask as a sparse matrix
        item = item.toarray()
    return _array(on, axis, _as_array(item))


def _plain(item: range) -> bool:
    return item.step > 0 and item.start >= 0 and len(item) > 0


def _slice[S: "Selectable"](on: S, axis: int, item: slice) -> S:
    start, stop, step = item.start, item.stop, item.step
    if isinstance(start, str) or isinstance(stop, str):
        for end in (start, stop):
            if end is not None and not isinstance(end, str):
                msg = f"a slice is of names or of positions, not from {start!r} to {stop!r}"
                raise index_error(msg)
        on = on.label_slice(axis, start, stop)
        if step is None or step == 1:
            return on
        start = stop = None
        if operator.index(step) < 0:
            msg = "a slice of names goes forwards: turn it round afterwards, [::-1]"
            raise index_error(msg)
    try:
        ends = [None if end is None else operator.index(end) for end in (start, stop, step)]
    except TypeError as e:
        msg = f"a slice takes integers or names, not {item!r}"
        raise index_error(msg) from e
    if ends[2] == 0:
        msg = "the step of a slice cannot be zero"
        raise index_error(msg)
    return on.slice(axis, *[None if end is None else _clip(end) for end in ends])


def _clip(end: int) -> int:
    """Python's integers have no end; positions do."""
    return max(-(2**63) + 1, min(end, 2**63 - 1))


def _as_array(item: Any) -> np.ndarray[Any, Any]:
    if isinstance(item, list | tuple) and len(item) == 0:
        return np.empty(0, np.int64)
    if hasattr(item, "__array__") or isinstance(item, Sequence):
        try:
            array = np.asarray(item)
        except ValueError as e:
            msg = f"{type(item).__name__} is no index: {e}"
            raise index_error(msg) from e
        if array.dtype.kind == "U" and isinstance(item, list | tuple) and not is_list_of_text(item):
            msg = "an index mixes names with something else"
            raise index_error(msg)
        return array
    msg = f"{type(item).__name__} is no index: use a slice, integers, a mask, names or a condition"
    raise index_error(msg)


def _array[S: "Selectable"](on: S, axis: int, array: np.ndarray[Any, Any]) -> S:
    if array.ndim == 2 and 1 in array.shape:
        array = array.ravel()
    if array.ndim != 1:
        msg = f"an index has one dimension, not {array.ndim}"
        raise index_error(msg)
    kind = array.dtype.kind
    if kind == "O":
        array = _objects(array)
        kind = array.dtype.kind
    if kind == "b":
        return on.mask(axis, np.ascontiguousarray(array, dtype=np.bool_))
    if kind == "u" and array.size and int(array.max()) >= 2**63:
        msg = f"position {int(array.max())} is out of range"
        raise index_error(msg)
    if kind in "iu":
        return on.ints(axis, np.ascontiguousarray(array, dtype=np.int64))
    if kind == "f":
        whole = np.isfinite(array) & (array == np.trunc(array)) & (np.abs(array) < 2.0**63)
        if not whole.all():
            msg = f"position {array[~whole][0]} is not an integer"
            raise index_error(msg)
        return on.ints(axis, np.ascontiguousarray(array, dtype=np.int64))
    if kind in "UT":
        return on.labels(axis, [str(x) for x in array.tolist()])
    msg = f"an array of {array.dtype} is no index"
    raise index_error(msg)


def _objects(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """An array of objects as what its items are."""
    items = array.tolist()
    if all(isinstance(x, str) for x in items):
        return np.array(items, dtype=str) if items else np.empty(0, np.int64)
    if all(isinstance(x, bool | np.bool_) for x in items):
        return array.astype(np.bool_)
    if all(is_integer(x) for x in items):
        return np.array([operator.index(x) for x in items], dtype=np.int64)
    if any(x is None or x != x or type(x).__name__ in {"NAType", "NaTType"} for x in items):
        msg = "an index holds missing values: say what they mean first, mask.fillna(False)"
        raise index_error(msg)
    msg = "an index mixes several types"
    raise index_error(msg)


def _pandas[S: "Selectable"](on: S, axis: int, item: Any) -> S:
    """A Series with a mask is taken by its labels; everything else by its values."""
    if item.ndim != 1:
        return _array(on, axis, item.to_numpy())
    if getattr(item, "hasnans", False) or bool(item.isna().any()):
        msg = "an index holds missing values: say what they mean first, mask.fillna(False)"
        raise index_error(msg)
    values = np.asarray(item)
    if values.dtype.kind == "O":
        values = _objects(values)
    labels = getattr(item, "index", None)
    if values.dtype.kind != "b" or labels is None:
        return _array(on, axis, values)
    names = labels.tolist()
    if not all(isinstance(x, str) for x in names):
        msg = (
            "a boolean Series is aligned by its labels, and these are no names: "
            "pass mask.to_numpy() to select by position"
        )
        raise index_error(msg)
    return on.labelled_mask(axis, names, np.ascontiguousarray(values, dtype=np.bool_))

"""What stands beside a column: values to compare with, conditions on text, categories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import _convert, _lazarr
from ._context import call
from ._errors import inside, type_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._lazarr import Predicate


def removes_unused() -> bool:
    """What anndata is set to do with categories that no row of a view has."""
    import sys

    ad = sys.modules.get("anndata")
    return bool(ad.settings.remove_unused_categories) if ad is not None else True


def literal(value: Any, *, listed: bool = False) -> tuple[Any, bool, bool]:
    """A value that a column is compared with: the value, whether it is pd.NA, whether it is a numpy float.

    A Python float is rounded to a narrower column's type, as numpy does; a float of numpy's keeps its own.
    """
    if value is None or isinstance(value, bool | str):
        return value, False, False
    if type(value).__name__ == "NAType":
        return None, True, False
    if type(value).__name__ == "NaTType":
        return float("nan"), False, False
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, np.bool_):
        return bool(value), False, False
    if isinstance(value, np.integer):
        return int(value), False, False
    if isinstance(value, np.floating):
        return float(value), False, True
    if isinstance(value, np.str_):
        return str(value), False, False
    if isinstance(value, int | float):
        return value, False, False
    what = "one of these values" if listed else "a column is compared with one value, this"
    msg = f"{what} is {type(value).__name__}: use text, a number, a bool or None"
    if hasattr(value, "__len__") or hasattr(value, "_native"):
        kind = type(value).__name__
        msg = f"a column is compared with one value, not with {kind}: for several, column.isin([...])"
    raise type_error(msg)


class Text:
    """Conditions on text, as ``pandas.Series.str`` has them."""

    __slots__ = ("_native",)

    def __init__(self, native: _lazarr.Lazy) -> None:
        self._native = native

    def startswith(self, pat: str | tuple[str, ...]) -> Predicate:
        """Where the text starts with this, or with one of these."""
        return self._native.startswith(_texts(pat))

    def endswith(self, pat: str | tuple[str, ...]) -> Predicate:
        """Where the text ends with this, or with one of these."""
        return self._native.endswith(_texts(pat))

    def contains(self, pat: str, case: bool = True, *, regex: bool = True) -> Predicate:
        """Where the pattern occurs in the text."""
        (pattern,) = _texts([pat])
        return self._native.contains(pattern, regex, case)


def _texts(pat: Any) -> list[str]:
    texts = [pat] if isinstance(pat, str) else pat
    if not isinstance(texts, list | tuple) or not all(isinstance(t, str) for t in texts):
        msg = "expected text, or a tuple of texts"
        raise type_error(msg)
    return list(texts)


class Categories:
    """What ``pandas.Series.cat`` tells of a categorical column."""

    __slots__ = ("_native", "_session", "_used")

    def __init__(
        self, native: _lazarr.Lazy, session: _lazarr.Session, used: Callable[[], Any] | None
    ) -> None:
        self._native, self._session, self._used = native, session, used

    @property
    def ordered(self) -> bool:
        """Whether they have an order."""
        return bool(self._native.ordered)

    @property
    def categories(self) -> Any:
        """Reads the categories, and nothing else: a pandas.Index.

        In a view of an object, those that no row has are left out: that reads the codes too.
        """
        if self._used is not None:
            return self._used().cat.categories
        # A categorical column of no rows is its categories.
        none = self._session.lazy(self._native.path).slice(0, 0, 0, 1)
        with inside(self._native.path):
            return _convert.convert(none.collect(*call())).categories

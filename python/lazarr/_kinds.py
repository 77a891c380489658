"""The other kinds of elements, and which class is whose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from ._element import Element
from ._errors import type_error
from ._matrix import DenseElement, SparseElement, StringsElement

if TYPE_CHECKING:
    from . import _lazarr
    from ._store import Store

__all__ = ["AwkwardElement", "BrokenElement", "ScalarElement", "wrap"]


class ScalarElement(Element):
    """A single value."""

    __slots__ = ()

    @property
    def dtype(self) -> Any:
        """The numpy type, or ``"str"``."""
        return "str" if self._native.dtype == "string" else super().dtype

    def item(self) -> Any:
        """Reads it: a Python scalar."""
        return self.to_memory()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.asarray(self.to_memory(), dtype=dtype)


class AwkwardElement(Element):
    """An awkward array. It is read whole, and cut afterwards."""

    __slots__ = ()


class BrokenElement(Element):
    """Something that is there and cannot be read; ``x.error`` says why."""

    __slots__ = ()

    @property
    def error(self) -> str:
        """Why it cannot be read."""
        return self._native.error or "not known"

    def _raise(self) -> NoReturn:
        self._collect()  # reading what is broken is its error
        raise type_error(self.error)

    def __getitem__(self, index: Any) -> NoReturn:
        """Every use is its error."""
        self._raise()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NoReturn:
        self._raise()

    def __arrow_c_stream__(self, requested_schema: object = None) -> NoReturn:
        self._raise()

    def iter_rows(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Every use is its error."""
        self._raise()

    def mean_var(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Every use is its error."""
        self._raise()

    def __getattr__(self, name: str) -> NoReturn:
        if name in {"index", "columns", "X", "var", "var_names", "varm"}:
            self._raise()
        msg = f"this element cannot be read, and has no {name!r}: {self.error}"
        raise AttributeError(msg)


def wrap(
    native: _lazarr.Lazy,
    store: Store,
    *,
    transposed: bool = False,
    text_index: bool = False,
    trim: bool = False,
) -> Any:
    """The lazy object for an element: its class is that of its kind. A stored null is None.

    `text_index` and `trim` are of tables: whether names are spelled, and categories that no row has left out.
    """
    from ._anndata import AnnData
    from ._frame import Column, DataFrame
    from ._mapping import Mapping, Raw

    kind = native.kind
    if kind == "null":
        return None
    if kind == "anndata":
        return AnnData(store.session.anndata(native.path), store)
    if kind in {"dense", "strings", "sparse"}:
        cls = {"dense": DenseElement, "strings": StringsElement, "sparse": SparseElement}[kind]
        return cls(native, store, transposed=transposed)
    if kind == "dataframe":
        return DataFrame(native, store, text_index=text_index, trim=trim)
    if kind in {"categorical", "nullable"}:
        return Column(native, store)
    if kind == "raw":
        return Raw(native, store)
    if kind == "dict":
        return Mapping(native, store)
    simple = {"scalar": ScalarElement, "awkward": AwkwardElement}
    return simple.get(kind, BrokenElement)(native, store)

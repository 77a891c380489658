"""Tables and their columns that are not read yet, and the conditions that are made of them."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from . import _convert, _index, _lazarr
from ._async import AsyncColumns
from ._column import Categories, Text, literal, removes_unused
from ._context import call
from ._element import Element, laying
from ._errors import index_error, inside, missing_package, type_error
from ._located import Located
from ._verbs import ColumnVerbs, TableVerbs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ._lazarr import Predicate
    from ._store import Store

__all__ = ["Column", "DataFrame"]


def trim_frame(df: Any) -> None:
    """Leaves out categories that no row has."""
    pd = _convert.pandas()
    for name in df.columns:
        if isinstance(df[name].dtype, pd.CategoricalDtype):
            df[name] = df[name].cat.remove_unused_categories()


class Column(AsyncColumns, ColumnVerbs, Element):
    """A column of a table, or a 1-d element with missing values or categories.

    Comparisons (``column == "T cell"``, ``column.isin([...])``, ``column.isna()``) make a :class:`Predicate`:
    a condition that selects rows of the object on which it was made, and reads nothing until something is
    collected.
    ``np.asarray(column)`` reads it.
    """

    __slots__ = ("_names", "_scalar", "_trim", "name")
    name: builtins.str | None
    _names: _lazarr.Lazy | None
    _trim: bool
    _scalar: bool

    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self,
        native: _lazarr.Lazy,
        store: Store,
        *,
        name: builtins.str | None = None,
        names: _lazarr.Lazy | None = None,
        trim: bool = False,
        scalar: bool = False,
    ) -> None:
        super().__init__(native, store)
        self._set(name=name, _names=names, _trim=trim, _scalar=scalar)

    def _extra(self) -> dict[builtins.str, Any]:
        names = None if self._names is None else self._names.state()
        return {"name": self.name, "names": names, "trim": self._trim, "scalar": self._scalar}

    @classmethod
    def _rebuild(cls, store: Store, state: builtins.str, extra: dict[builtins.str, Any]) -> Self:
        native = _lazarr.Lazy.from_state(store.session, state)
        names = extra.pop("names")
        return cls(
            native,
            store,
            names=None if names is None else _lazarr.Lazy.from_state(store.session, names),
            **extra,
        )

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Its length; None where names or columns must be read to know."""
        return () if self._scalar else self._native.shape[:1]

    @property
    def dtype(self) -> Any:
        """The numpy type, or pandas' name: ``category``, ``Int64``, ``boolean``, ``string``, ``str``."""
        return column_dtype(self._native)

    def __getitem__(self, index: Any) -> Self:
        """Rows: integers and slices are positions, text is names. One integer is one value."""
        if self._scalar:
            msg = "this is one value, and has no axes"
            raise index_error(msg)
        (item,) = _index.unpack(index, 1)
        native = _index.select(self._native, 0, item)
        names = None if self._names is None else _index.select(self._names, 0, item)
        return type(self)(
            native, self._store, name=self.name, names=names, trim=self._trim, scalar=_index.is_integer(item)
        )

    def to_memory(self, *, index: bool = False) -> Any:
        """Reads it: a pandas.Series, for a column of a table; else the array that pandas would hold.

        Parameters
        ----------
        index
            Whether to read the names too, and label the Series with them; else rows are numbered.
        """
        stored = self._native.stored_shape
        cut = bool(stored and stored[0])
        of_names = self._names is not None and self._names.path == self._native.path
        value = self._collect()
        with inside(self.path):
            values = _convert.labels(value, cut=cut) if of_names else _convert.column(value)
        if self._trim and removes_unused() and self.dtype == "category":
            values = values.remove_unused_categories()
        if self._scalar:
            return values[0]
        if self.name is None and self._names is None:
            return values
        pd = _convert.pandas()
        names = None
        if index:
            if self._names is None:
                msg = "there are no names beside this column"
                raise type_error(msg)
            names = _convert.text(pd.Index(_convert.labels(self._names.collect(*call()), cut=cut)))
            names.name = self._names_name
        return _convert.series(values, names, self.name)

    @property
    def _names_name(self) -> builtins.str | None:
        assert self._names is not None  # noqa: S101 - for the type checker
        last = self._names.path.rpartition("/")[2]
        return None if last == "_index" else last

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.asarray(self.to_memory(), dtype=dtype)

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[Any, Any]:
        return self._native.arrow_column(*call())

    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
        # A table of this column alone, for what takes tables.
        return self._native.arrow(*call())

    def to_arrow(self) -> Any:
        """Reads it: a pyarrow.ChunkedArray."""
        return pyarrow().table(self).column(0)

    @property
    def str(self) -> Text:
        """Conditions on text: ``column.str.startswith("CD")``."""
        return Text(self._native)

    @property
    def cat(self) -> Categories:
        """Of a categorical column: its categories (this reads them) and whether they have an order."""
        if self._native.kind != "categorical":
            msg = f"{self.path} has no categories: it is {self.dtype}"
            raise AttributeError(msg)
        used = self.to_memory if self._trim and removes_unused() else None
        return Categories(self._native, self._store.session, used)

    def _as_predicate(self) -> Predicate:
        return self._native.as_predicate()

    def _compare(self, op: builtins.str, value: Any) -> Predicate:
        item, na, wide = literal(value)
        return self._native.compare(op, item, na, wide)

    def __eq__(self, other: object) -> Predicate:  # type: ignore[override]
        return self._compare("==", other)

    def __ne__(self, other: object) -> Predicate:  # type: ignore[override]
        return self._compare("!=", other)

    def __lt__(self, other: Any) -> Predicate:
        return self._compare("<", other)

    def __le__(self, other: Any) -> Predicate:
        return self._compare("<=", other)

    def __gt__(self, other: Any) -> Predicate:
        return self._compare(">", other)

    def __ge__(self, other: Any) -> Predicate:
        return self._compare(">=", other)

    def __and__(self, other: Any) -> Predicate:
        return self._as_predicate() & condition(other)

    def __or__(self, other: Any) -> Predicate:
        return self._as_predicate() | condition(other)

    def __xor__(self, other: Any) -> Predicate:
        return self._as_predicate() ^ condition(other)

    def __rand__(self, other: Any) -> Predicate:
        return condition(other) & self._as_predicate()

    def __ror__(self, other: Any) -> Predicate:
        return condition(other) | self._as_predicate()

    def __rxor__(self, other: Any) -> Predicate:
        return condition(other) ^ self._as_predicate()

    def __invert__(self) -> Predicate:
        return ~self._as_predicate()

    def isin(self, values: Iterable[Any]) -> Predicate:
        """Where the value is one of these."""
        if isinstance(values, bytes | builtins.str):
            msg = "isin takes a list of values, not one text"
            raise type_error(msg)
        items = [literal(value, listed=True) for value in values]
        return self._native.isin([... if na else item for item, na, _ in items])  # ... stands for pd.NA

    def isna(self) -> Predicate:
        """Where the value is missing."""
        return self._native.isna()

    def notna(self) -> Predicate:
        """Where the value is not missing."""
        return self._native.notna()

    isnull = isna
    notnull = notna

    def between(self, left: Any, right: Any, inclusive: builtins.str = "both") -> Predicate:
        """Where ``left <= value <= right``; `inclusive` is both, neither, left or right."""
        if inclusive not in {"both", "neither", "left", "right"}:
            msg = f"inclusive is 'both', 'neither', 'left' or 'right', not {inclusive!r}"
            raise ValueError(msg)
        (low, na_low, wide_low), (high, na_high, wide_high) = literal(left), literal(right)
        if na_low or na_high or wide_low or wide_high:
            above = self._compare(">=" if inclusive in {"both", "left"} else ">", left)
            return above & self._compare("<=" if inclusive in {"both", "right"} else "<", right)
        return self._native.between(low, high, inclusive)


class DataFrame(AsyncColumns, TableVerbs, Element):
    """A table: columns by name, rows by position, mask, name or condition."""

    __slots__ = ("_text_index", "_trim")
    _text_index: bool
    _trim: bool

    def __init__(
        self, native: _lazarr.Lazy, store: Store, *, text_index: bool = False, trim: bool = False
    ) -> None:
        super().__init__(native, store)
        self._set(_text_index=text_index, _trim=trim)

    def _extra(self) -> dict[str, Any]:
        return {"text_index": self._text_index, "trim": self._trim}

    def _with(self, native: _lazarr.Lazy) -> Self:
        return type(self)(native, self._store, text_index=self._text_index, trim=self._trim)

    def _instead(self, name: str) -> str | None:
        place = self._native.path.rpartition("/")[2]
        # Only the tables of an object spell their names.
        return laying(place, name) if self._text_index and place in {"obs", "var"} else None

    @property
    def columns(self) -> list[str]:
        """The names of the columns, in order."""
        return self._native.column_names()

    @property
    def dtype(self) -> None:
        """A table has a type for each column: see :attr:`dtypes`."""
        return

    @property
    def dtypes(self) -> dict[str, Any]:
        """The type of each column."""
        return {name: self._column_dtype(name) for name in self.columns}

    def _column_dtype(self, name: str) -> Any:
        return column_dtype(self._native.column(name))

    @property
    def index(self) -> Column:
        """The names of the rows."""
        name = self._native.index_name()
        names = self._native.names()
        return Column(names, self._store, name=name, names=names)

    obs_names = index

    def keys(self) -> list[str]:
        """The names of the columns, in order."""
        return self.columns

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __getitem__(self, index: Any) -> Any:
        """A column by name, columns by a list of names; rows by slice, positions, mask or condition."""
        if isinstance(index, str):
            return self._column(index)
        if isinstance(index, tuple):
            msg = "a table takes rows or columns, one after the other: df[rows][cols], or df.loc[rows, cols]"
            raise index_error(msg)
        if _index.is_list_of_text(index) or (isinstance(index, list) and not index):
            names = [str(name) for name in index]
            if len(set(names)) < len(names):
                msg = f"a column is named twice in {names}"
                raise index_error(msg)
            return self._with(self._native.with_columns(names))
        return self._with(_index.select(self._native, 0, _index.unpack(index, 1)[0]))

    def _column(self, name: str) -> Column:
        native = self._native.column(name)
        return Column(native, self._store, name=name, names=self._native.names(), trim=self._trim)

    def __getattr__(self, name: str) -> Column:
        if name.startswith("__") or name not in self._native.column_names():
            msg = f"a lazy DataFrame has no attribute and no column {name!r}"
            raise AttributeError(msg)
        return self._column(name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(name for name in self.columns if name.isidentifier())]

    @property
    def loc(self) -> Located:
        """Rows by name, mask or condition, and columns by name: ``df.loc[rows]``, ``df.loc[rows, cols]``."""
        return Located(self, by_name=True)

    @property
    def iloc(self) -> Located:
        """Rows by position."""
        return Located(self, by_name=False)

    def to_memory(self, *, remove_unused_categories: bool | None = None) -> Any:
        """Reads it: a pandas.DataFrame, with the types that anndata gives.

        Parameters
        ----------
        remove_unused_categories
            Of a view, whether categories that no row has are left out. None is anndata's setting.
        """
        stored = self._native.stored_shape
        cut = bool(stored and stored[0])
        kind, name, index, columns, rows = self._collect()
        read = dict(columns)
        value = (kind, name, index, [(k, read[k]) for k in self.columns], rows)
        with inside(self.path):
            df = _convert.frame(value, text_index=self._text_index, cut=cut)
        trim = (
            self._trim and removes_unused() if remove_unused_categories is None else remove_unused_categories
        )
        if trim:
            trim_frame(df)
        return df

    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
        return self._native.arrow(*call())

    def to_arrow(self) -> Any:
        """Reads it: a pyarrow.Table."""
        return pyarrow().table(self).select(self.columns)


def condition(value: Any) -> Predicate:
    """A condition, from one or from a boolean column."""
    if isinstance(value, _lazarr.Predicate):
        return value
    if isinstance(value, Column):
        return value._as_predicate()  # noqa: SLF001
    msg = f"a condition is combined with conditions, not with {type(value).__name__}: put each in parentheses"
    raise type_error(msg)


_NULLABLE = {"boolean": "boolean", "string": "string", "string-nan": "str"}


def column_dtype(native: _lazarr.Lazy) -> Any:
    """The type of a column, as pandas would name it."""
    kind = native.kind
    if kind == "categorical":
        return "category"
    if kind == "strings":
        return "str"
    dtype = native.dtype
    if kind == "nullable":
        which = native.nullable_kind or "integer"
        if which in _NULLABLE:
            return _NULLABLE[which]
        name = _convert.numpy_dtype(dtype).name
        return name.replace("uint", "UInt") if name.startswith("u") else name.capitalize()
    return None if dtype is None else _convert.numpy_dtype(dtype)


def pyarrow() -> Any:
    """The pyarrow module."""
    try:
        import pyarrow as pa
    except ImportError as e:
        raise missing_package("pyarrow", "arrow", "An Arrow table") from e
    return pa

"""What people type on a table or a column: it reads the columns that it needs, and answers as pandas."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from . import _convert
from ._column import Categories, removes_unused
from ._context import call
from ._errors import inside, type_error
from ._variables import with_variables

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from . import _lazarr
    from ._store import Store

__all__ = ["ColumnVerbs", "Grouped", "TableVerbs"]


class ColumnVerbs:
    """Verbs of a column."""

    __slots__ = ()

    if TYPE_CHECKING:
        to_memory: Callable[..., Any]
        _native: _lazarr.Lazy
        _store: Store
        _trim: bool
        _scalar: bool

        def _watched(self, plan: Any = None) -> Any: ...

    def _series(self) -> Any:
        return _convert.pandas().Series(self.to_memory(), name=getattr(self, "name", None))

    def head(self, n: int = 5) -> Any:
        """Reads the first rows: a pandas.Series."""
        return self[:n].to_memory()  # type: ignore[index]

    def value_counts(
        self, normalize: bool = False, sort: bool = True, ascending: bool = False, *, dropna: bool = True
    ) -> Any:
        """How often each value occurs: as ``pandas.Series.value_counts``. The column is read in blocks."""
        if sort and not ascending:
            found = self._counted(normalize, dropna=dropna)
            if found is not None:
                return found
        return self._series().value_counts(normalize=normalize, sort=sort, ascending=ascending, dropna=dropna)

    def _counted(self, normalize: bool, *, dropna: bool = True) -> Any:
        """The counts of the engine, in pandas' types and order; None where its order would not be pandas'."""
        native = self._native
        if native.kind not in {"categorical", "dense", "strings", "nullable"} or self._scalar:
            return None
        with inside(native.path), self._watched():
            value, counts, missing, _ = native.value_counts(*call())
            if missing and not dropna:
                return None
            values = _convert.column(value)
        pd = _convert.pandas()
        # What pandas makes of no rows has its types and names.
        none: ColumnVerbs = self[:0]  # type: ignore[index]
        like = none._series().value_counts(normalize=normalize)
        number = np.asarray(counts, np.int64)
        if native.kind == "categorical":
            categories = Categories(native, self._store.session, None).categories
            if self._trim and removes_unused():
                values, number = values[number > 0], number[number > 0]
                categories = categories[categories.isin(values)]
            kind = pd.CategoricalDtype(categories, bool(native.ordered))
        else:
            kind = like.index.dtype
        index = pd.Index(values, dtype=kind, name=like.index.name)
        shares = number / max(int(number.sum()), 1) if normalize else number
        return pd.Series(shares, index=index, dtype=like.dtype, name=like.name)

    def unique(self) -> Any:
        """The values, in the order in which they come first: as ``pandas.Series.unique``."""
        return self._series().unique()

    def nunique(self, *, dropna: bool = True) -> int:
        """How many values there are: as ``pandas.Series.nunique``."""
        return int(self._series().nunique(dropna=dropna))


class TableVerbs:
    """Verbs of a table."""

    __slots__ = ()

    if TYPE_CHECKING:
        _native: _lazarr.Lazy
        _with: Callable[[_lazarr.Lazy], Self]
        _column: Callable[[str], Any]

    def head(self, n: int = 5) -> Any:
        """Reads the first rows: a pandas.DataFrame."""
        return self[:n].to_memory()  # type: ignore[index]

    def query(self, expr: str, *, local_dict: Mapping[str, Any] | None = None) -> Self:
        """The rows where a condition holds, lazily: ``obs.query("n_genes > @least and batch == 'a'")``.

        The language is a part of that of ``pandas.DataFrame.query``: comparisons with values, ``in``,
        ``and``, ``or``, ``not``, ``isna()``, ``between()``, ``str.startswith()``; no arithmetic. ``index`` is
        the names, ``@name`` a variable of the caller: a number, text, a bool or a list of these.

        Parameters
        ----------
        expr
            The condition.
        local_dict
            The variables, instead of the caller's.
        """
        # As in pandas, a variable is the caller's.
        frame = sys._getframe(1) if "@" in expr and local_dict is None else None  # noqa: SLF001
        names = local_dict if frame is None else {**frame.f_globals, **frame.f_locals}
        return self._with(self._native.query(with_variables(expr, names or {})))

    def value_counts(self, subset: str | list[str] | None = None, **kwargs: Any) -> Any:
        """How often each row of these columns occurs: as ``pandas.DataFrame.value_counts``."""
        table: Any = self
        names = table.columns if subset is None else [subset] if isinstance(subset, str) else list(subset)
        return self._values(names).value_counts(**kwargs)

    def groupby(self, by: str | list[str], **kwargs: Any) -> Grouped:
        """Groups of rows by columns: as ``pandas.DataFrame.groupby``, which reads what its verb needs.

        Parameters
        ----------
        by
            Names of columns.
        kwargs
            Of pandas: ``observed``, ``sort``, ``dropna``, ``as_index``.
        """
        names = [by] if isinstance(by, str) else list(by)
        for name in names:
            self._column(name)  # what is not there is an error here, not when it is read
        return Grouped(self, by, names, kwargs, None)

    def _values(self, names: list[str]) -> Any:
        """Some columns, without the names of the rows: a pandas.DataFrame."""
        columns = {name: self._column(name).to_memory() for name in dict.fromkeys(names)}
        return _convert.pandas().DataFrame(columns, copy=False)


class Grouped:
    """Groups of rows: ``.size()``, or a verb of pandas on chosen columns, ``["score"].mean()``."""

    __slots__ = ("_by", "_chosen", "_kwargs", "_names", "_table")

    def __init__(
        self,
        table: Any,
        by: str | list[str],
        names: list[str],
        kwargs: dict[str, Any],
        chosen: str | list[str] | None,
    ) -> None:
        self._table, self._by, self._names, self._kwargs, self._chosen = table, by, names, kwargs, chosen

    def __getitem__(self, columns: str | list[str]) -> Grouped:
        for name in [columns] if isinstance(columns, str) else columns:
            self._table._column(name)  # noqa: SLF001 - as in groupby
        return Grouped(self._table, self._by, self._names, self._kwargs, columns)

    def size(self) -> Any:
        """Rows in each group: a pandas.Series. Of one column that is read in blocks."""
        found = self._counted() if len(self._names) == 1 and set(self._kwargs) <= {"observed"} else None
        return self._pandas(self._names).size() if found is None else found

    def _counted(self) -> Any:
        counts = self._table._column(self._names[0])._counted(normalize=False)  # noqa: SLF001
        if counts is None:
            return None
        counts = counts.astype("int64").sort_index().rename(None)
        counts.index.name = self._names[0]
        unused = self._kwargs.get("observed", True) and counts.index.dtype == "category"
        return counts[counts > 0] if unused else counts

    def _pandas(self, names: list[str]) -> Any:
        return self._table._values(names).groupby(self._by, **self._kwargs)  # noqa: SLF001

    def _read(self) -> Any:
        if self._chosen is None:
            return self._pandas([*self._names, *self._table.columns])
        chosen = [self._chosen] if isinstance(self._chosen, str) else self._chosen
        return self._pandas([*self._names, *chosen])[self._chosen]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in self._table.columns:
            return self[name]
        if not hasattr(_convert.pandas().core.groupby.DataFrameGroupBy, name):
            msg = f"groups have no verb {name!r} and no column of that name"
            raise AttributeError(msg)
        return getattr(self._read(), name)

    def __iter__(self) -> Any:
        msg = "groups are not read one by one: choose rows, obs[obs['batch'] == 'a'], or a verb, .size()"
        raise type_error(msg)

    def __repr__(self) -> str:
        chosen = "" if self._chosen is None else f"[{self._chosen!r}]"
        return f"<lazarr groups by {self._by!r}{chosen}: nothing is read until a verb is called>"

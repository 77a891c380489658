"""What people type on a table or a column: it reads the columns that it needs, and answers as pandas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from . import _convert
from ._errors import type_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from . import _lazarr

__all__ = ["ColumnVerbs", "Grouped", "TableVerbs"]


class ColumnVerbs:
    """Verbs of a column."""

    __slots__ = ()

    if TYPE_CHECKING:
        to_memory: Callable[..., Any]

    def _series(self) -> Any:
        return _convert.pandas().Series(self.to_memory(), name=getattr(self, "name", None))

    def head(self, n: int = 5) -> Any:
        """Reads the first rows: a pandas.Series."""
        return self[:n].to_memory()  # type: ignore[index]

    def value_counts(
        self, normalize: bool = False, sort: bool = True, ascending: bool = False, *, dropna: bool = True
    ) -> Any:
        """How often each value occurs: as ``pandas.Series.value_counts``."""
        return self._series().value_counts(normalize=normalize, sort=sort, ascending=ascending, dropna=dropna)

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

    def query(self, expr: str) -> Self:
        """The rows where a condition holds, lazily: ``obs.query("n_genes > 500 and batch == 'a'")``.

        The language is a part of that of ``pandas.DataFrame.query``: comparisons with values, ``in``,
        ``and``, ``or``, ``not``, ``isna()``, ``between()``, ``str.startswith()``; no variables and no
        arithmetic. ``index`` is the names.
        """
        return self._with(self._native.query(expr))

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
        """Rows in each group: a pandas.Series."""
        return self._pandas(self._names).size()

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

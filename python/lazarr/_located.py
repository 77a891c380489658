"""Rows and columns of a table by name and by position."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from . import _index
from ._errors import index_error

if TYPE_CHECKING:
    from ._frame import DataFrame


class Located:
    """What ``df.loc`` and ``df.iloc`` are."""

    __slots__ = ("_by_name", "_df")

    def __init__(self, df: DataFrame, *, by_name: bool) -> None:
        self._df, self._by_name = df, by_name

    def __getitem__(self, index: Any) -> Any:
        rows, cols = index if isinstance(index, tuple) and len(index) == 2 else (index, slice(None))
        df = self._df
        if not (isinstance(cols, slice) and cols == slice(None)):
            if self._by_name:
                name = [cols] if isinstance(cols, str) else cols
            else:
                names: Any = np.array(df.columns, dtype=object)
                name = names[[cols] if _index.is_integer(cols) else cols].tolist()
            df = df[name]
        self._check(rows)
        out = df[slice(None)]._with(_index.select(df._native, 0, rows))  # noqa: SLF001
        one = isinstance(cols, str) or (not self._by_name and _index.is_integer(cols))
        return out[out.columns[0]] if one else out

    def _check(self, rows: Any) -> None:
        ends = [rows.start, rows.stop] if isinstance(rows, slice) else [rows]
        positions = any(_index.is_integer(end) for end in ends)
        if self._by_name and positions:
            msg = "loc takes names, masks and conditions; positions go to iloc"
            raise index_error(msg)
        if not self._by_name and (any(isinstance(end, str) for end in ends) or _index.is_list_of_text(rows)):
            msg = "iloc takes positions; names go to loc"
            raise index_error(msg)

    def __setitem__(self, index: Any, value: Any) -> NoReturn:
        self._df[index] = value
        raise AssertionError

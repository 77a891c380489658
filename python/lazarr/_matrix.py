"""Arrays and matrices that are not read yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, Self

import numpy as np

from . import _convert, _index, _lazarr
from ._async import AsyncRows
from ._context import call, note_plan
from ._element import Element
from ._errors import index_error, inside, type_error
from ._limits import parse_size
from ._plan import Plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._store import Store

__all__ = ["DenseElement", "SparseElement", "StringsElement"]


def _size(value: int | str | None) -> int | None:
    return None if value is None else parse_size(value, "bytes")


class _Turnable(AsyncRows, Element):
    """An element with a transposed view."""

    __slots__ = ("_transposed",)
    _transposed: bool

    def __init__(self, native: _lazarr.Lazy, store: Store, *, transposed: bool = False) -> None:
        super().__init__(native, store)
        self._set(_transposed=transposed)

    def _extra(self) -> dict[str, Any]:
        return {"transposed": self._transposed}

    def _with(self, native: _lazarr.Lazy) -> Self:
        return type(self)(native, self._store, transposed=self._transposed)

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Its lengths; None where names or columns must be read to know."""
        shape = self._native.shape
        return shape[::-1] if self._transposed else shape

    @property
    def T(self) -> Self:
        """The transposed view."""
        return type(self)(self._native, self._store, transposed=not self._transposed)

    def __getitem__(self, index: Any) -> Self:
        if self._transposed:
            index = tuple(reversed(_index.unpack(index, self.ndim)))
        return super().__getitem__(index)

    def plan(self, *, resolve: bool = False, verb: str = "to_memory", axis: int = 0) -> Plan:
        """What a verb would cost. Reads nothing, or with `resolve` what is small and makes it exact.

        Parameters
        ----------
        resolve
            Make the small reads that exact numbers need.
        verb
            Which one: ``"to_memory"``, or ``"mean_var"`` along `axis`.
        axis
            Of ``"mean_var"``.
        """
        if verb == "to_memory":
            return super().plan(resolve=resolve)
        if verb != "mean_var":
            msg = f"a plan is made for verb='to_memory' or verb='mean_var', not {verb!r}"
            raise type_error(msg)
        plan = Plan(*self._native.plan_mean_var(self._stored_axis(axis), resolve, *call()))
        note_plan(plan)
        return plan

    def to_dask(self, *, chunk_bytes: int | str | None = None) -> Any:
        """It as a dask.array.Array in blocks of rows; a block of a sparse matrix is a csr_matrix.

        Of csr this reads the row starts, to cut blocks by their bytes; what a selection needs is read too.
        While the array is only sliced it stays a selection of this element, and a block reads what the result
        needs.

        Parameters
        ----------
        chunk_bytes
            Bytes of a block, at most (``"64MB"``), but a chunk at least. Default: an eighth of the memory
            limit for each thread, up to 128 MiB.
        """
        if self._transposed:
            msg = f"{self.path} is transposed, and blocks are cut along the stored rows: x.T.to_dask().T"
            raise type_error(msg)
        return self._to_dask(chunk_bytes)

    def mean_var(
        self, axis: int = 0, *, ddof: int = 0
    ) -> tuple[np.ndarray[Any, np.dtype[np.float64]], np.ndarray[Any, np.dtype[np.float64]]]:
        """Mean and variance in float64, from one pass over what is selected; nothing of it is kept.

        What a sparse matrix does not store is 0. The result is the same for any number of threads.

        Parameters
        ----------
        axis
            0 for those of each column over the rows, as of each gene over the cells; 1 for those of each row.
        ddof
            The variance is divided by the number of values less this, as in numpy.
        """
        if isinstance(ddof, bool) or not _index.is_integer(ddof) or ddof < 0:
            msg = f"ddof is an integer from 0 on, not {ddof!r}"
            raise type_error(msg)
        stored = self._stored_axis(axis)
        with inside(self.path), self._watched(lambda *limits: self._native.plan_mean_var(stored, *limits)):
            mean, var = self._native.mean_var(stored, ddof, *call())
        return _convert.array(mean), _convert.array(var)

    def iter_rows(
        self,
        rows: int | None = None,
        *,
        bytes: int | str | None = None,  # noqa: A002 - what it counts
    ) -> Iterator[tuple[int, int, Any]]:
        """Reads it in blocks of rows, in order.

        Parameters
        ----------
        rows
            Rows in a block, at most.
        bytes
            Bytes of a block (or ``"64MB"``), at most. Without either, blocks fit well into the memory limit.

        Yields
        ------
        start, stop, block
            The first row, one past the last, and what is between them. In a block of csc the rows of each
            column ascend, whatever their order in the store.
        """
        if self._transposed:
            msg = "what is transposed is not read in blocks of rows: x.T.iter_rows() gives its columns"
            raise type_error(msg)
        limits = call()
        blocks = iter(self._native.stream(rows, _size(bytes), *limits))
        for start, stop, value in self._between(blocks, limits):
            yield start, stop, self._block(value)

    @staticmethod
    def _block(value: Any) -> Any:
        """A block of rows as Python has it."""
        raise NotImplementedError

    def _stored_axis(self, axis: int) -> int:
        if isinstance(axis, bool) or not _index.is_integer(axis) or axis not in {-2, -1, 0, 1}:
            msg = f"axis is 0 (over the rows) or 1 (over the columns), not {axis!r}"
            raise index_error(msg)
        axis = int(axis) % 2
        return 1 - axis if self._transposed else axis


class DenseElement(_Turnable):
    """An n-dimensional array. ``np.asarray(x)`` reads it."""

    __slots__ = ()

    def to_memory(self) -> Any:
        """Reads it: a numpy array."""
        array = _convert.array(self._collect())
        return array.T if self._transposed and isinstance(array, np.ndarray) else array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.asarray(self.to_memory(), dtype=dtype)

    def __buffer__(self, flags: int) -> memoryview:
        return memoryview(self.to_memory())

    def __dlpack__(self, **kwargs: Any) -> Any:
        return self.to_memory().__dlpack__(**kwargs)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0  # what is read lies in the memory of the processor

    @staticmethod
    def _block(value: Any) -> Any:
        return _convert.array(value)


class StringsElement(DenseElement):
    """An array of strings. ``np.asarray(x)`` reads it."""

    __slots__ = ()


class SparseElement(_Turnable):
    """A compressed sparse matrix."""

    __slots__ = ()
    _keeps_axes = True

    @property
    def format(self) -> str:
        """``"csr"`` or ``"csc"``."""
        stored = self._native.format or "csr"
        return {"csr": "csc", "csc": "csr"}[stored] if self._transposed else stored

    @property
    def nnz(self) -> int | None:
        """Stored values; None where something is selected, for they must be read to be counted."""
        return self._native.nnz

    def to_memory(self, *, array: bool | None = None) -> Any:
        """Reads it: a scipy.sparse matrix, or with `array` a sparse array. None is anndata's setting."""
        matrix = _convert.sparse(self._collect(), as_array=array)
        return matrix.T if self._transposed else matrix

    @staticmethod
    def _block(value: Any) -> Any:
        return _convert.sparse(value, as_array=False)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NoReturn:
        msg = "a sparse matrix does not become a dense array by itself: x.to_memory().toarray()"
        raise type_error(msg)

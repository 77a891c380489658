"""From the native results to numpy, scipy, pandas, awkward and anndata: the very types that anndata reads.

The native `collect` gives a tree of tuples, each led by its kind:

- ``None``
- ``("dense", dtype, shape, buffer)``
- ``("strings", shape, offsets, bytes, utf8)``
- ``("sparse", format, shape, dtype, index width, data, indices, indptr)``
- ``("categorical", codes, categories, ordered)``
- ``("nullable", values, mask, kind)``
- ``("table", index name, index, [(name, column)], rows)``
- ``("awkward", form, length, rows, [(name, buffer)])``
- ``("map", [(name, value)])``

Arrays are views of the native buffers: nothing is copied that a consumer can take as it is.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from . import _lazarr
from ._errors import inside, missing_package, refused

__all__ = ["convert", "frame", "numpy_dtype"]


def pandas() -> Any:
    """The pandas module."""
    try:
        import pandas as pd
    except ImportError as e:
        raise missing_package("pandas", "pandas", "A table or a column in memory") from e
    return pd


def scipy_sparse() -> Any:
    """The scipy.sparse module."""
    try:
        import scipy.sparse as sp
    except ImportError as e:
        raise missing_package("scipy", "scipy", "A sparse matrix in memory") from e
    return sp


def anndata() -> Any:
    """The anndata module."""
    try:
        import anndata as ad
    except ImportError as e:
        raise missing_package("anndata", "anndata", "A whole object in memory") from e
    return ad


def _pyarrow() -> Any:
    try:
        import pyarrow as pa
    except ImportError:
        return None
    return pa


def _fields(dtype: Any) -> Any:
    """A native type as numpy's constructor takes it: fields are a list of tuples, maybe nested."""
    if isinstance(dtype, str):
        return dtype
    return [(name, _fields(item[0]), *item[1:]) for name, *item in dtype]


def numpy_dtype(dtype: Any) -> np.dtype[Any]:
    """The numpy type of a native one."""
    made: np.dtype[Any] = np.dtype(_fields(dtype))
    return made


def string_dtype() -> np.dtype[Any]:
    """What numpy has for strings of any length: StringDType, or object before numpy 2."""
    make = getattr(np.dtypes, "StringDType", None)
    dtype: np.dtype[Any] = np.dtype(object) if make is None else make()
    return dtype


class _Typed:
    """A buffer with a type, so that numpy's array is the first of its chain.

    scipy copies an array that is a view of one with twice as many items, and bytes are.
    """

    __slots__ = ("__array_interface__", "_owner")

    def __init__(self, buffer: _lazarr.Buffer, dtype: np.dtype[Any], length: int) -> None:
        self._owner = buffer
        interface = dict(buffer.__array_interface__)
        interface.update(typestr=dtype.str, shape=(length,), strides=None)
        interface.pop("descr", None)
        self.__array_interface__ = interface


def flat(buffer: _lazarr.Buffer, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """The items of a buffer, without a copy."""
    n = len(buffer) // dtype.itemsize if dtype.itemsize else 0
    if n == 0:
        return np.empty(0, dtype)
    return np.asarray(_Typed(buffer, dtype, n))


def dense(value: tuple[Any, ...]) -> Any:
    """An array, or a Python scalar where it has no axes."""
    _, kind, shape, buffer = value
    dtype = numpy_dtype(kind)
    if dtype.names is not None:
        array = np.asarray(buffer).view(dtype).reshape(shape) if len(buffer) else np.empty(shape, dtype)
        return _text_fields(array)
    if dtype.itemsize == 0:
        return np.zeros(shape, dtype) if shape else np.zeros((), dtype).item()
    array = flat(buffer, dtype).reshape(shape)
    return array if shape else array.item()


def _text_fields(array: np.ndarray[Any, Any]) -> Any:
    """Fixed-length text in fields as anndata reads it: text is object, bytes become text."""
    assert array.dtype.fields is not None  # noqa: S101 - for the type checker
    new: list[tuple[Any, ...]] = []
    changed = False
    for item in array.dtype.descr:
        name, kind, *rest = item
        base = np.dtype(kind)
        if base.kind == "S":
            kind = f"U{base.itemsize}"
        elif base.kind == "U":
            kind = "O"
        changed |= base.kind in "SU"
        new.append((name, kind, *rest))
    return array.astype(np.dtype(new)) if changed else array


def strings(value: tuple[Any, ...]) -> Any:
    """An array of strings as zarr reads it; text where it has no axes."""
    _, shape, offsets, data, utf8 = value
    items: list[Any] = list(_lazarr.strings(offsets, data, utf8))
    if not shape:
        return items[0]
    if not utf8:
        array = np.empty(len(items), object)
        array[:] = items
        return array.reshape(shape)
    return np.array(items, dtype=string_dtype()).reshape(shape)


def _sparse_arrays() -> bool:
    """What anndata is set to read sparse matrices as."""
    ad = sys.modules.get("anndata")
    return bool(getattr(ad.settings, "use_sparse_array_on_read", False)) if ad is not None else False


def sparse(value: tuple[Any, ...], *, as_array: bool | None = None) -> Any:
    """A scipy matrix (or sparse array) over the native buffers; by default what anndata is set to."""
    _, form, shape, kind, width, data, indices, indptr = value
    if as_array is None:
        as_array = _sparse_arrays()
    index = np.dtype(np.int32 if width == 4 else np.int64)
    name = f"{form}_{'array' if as_array else 'matrix'}"
    cls = getattr(scipy_sparse(), name)
    parts = (flat(data, numpy_dtype(kind)), flat(indices, index), flat(indptr, index))
    return cls(parts, shape=tuple(shape), copy=False)


def _new_strings() -> bool:
    """Whether pandas holds text as its own type: always from pandas 3, unless it is told not to."""
    pd = pandas()
    if int(pd.__version__.split(".")[0]) < 3:
        return False
    try:
        from pandas._config import using_string_dtype  # type: ignore[attr-defined]
    except ImportError:
        # Making one tells as well, but makes pyarrow load what it has for pandas: milliseconds and megabytes.
        return bool(pd.Index(["a"]).dtype == "str")
    return bool(using_string_dtype())


def _arrow_strings(value: tuple[Any, ...], mask: np.ndarray[Any, Any] | None, na_value: Any) -> Any:
    """Text as pandas' array over Arrow memory; None where pandas would not make one."""
    pd, pa = pandas(), _pyarrow()
    if pa is None or not _new_strings():
        return None
    dtype = pd.StringDtype(na_value=na_value)
    if dtype.storage != "pyarrow":
        return None
    _, shape, offsets, data, _ = value
    n = int(shape[0])
    valid = None
    if mask is not None:
        valid = pa.py_buffer(np.packbits(~mask, bitorder="little"))
    buffers = [valid, pa.py_buffer(flat(offsets, np.dtype(np.int64))), pa.py_buffer(np.asarray(data))]
    array = pa.Array.from_buffers(pa.large_string(), n, buffers)
    return pd.arrays.ArrowStringArray(pa.chunked_array([array]), dtype=dtype)


def labels(value: tuple[Any, ...] | None, *, cut: bool = False) -> Any:
    """What pandas takes as an index or as categories, as cheaply as there is.

    pandas makes an empty array of text an `object`; what is empty because it was `cut` keeps its type.
    """
    if value is not None and value[0] == "strings" and len(value[1]) == 1 and value[4]:
        if cut or value[1][0]:
            fast = _arrow_strings(value, None, np.nan)
            if fast is not None:
                return fast
        if cut and _new_strings():
            return pandas().array(convert(value), dtype="str")
    return convert(value)


def column(value: tuple[Any, ...] | None) -> Any:
    """What pandas takes as a column. It holds plain text, that is not nullable, as objects."""
    if value is not None and value[0] == "strings" and len(value[1]) == 1:
        items = _lazarr.strings(*value[2:])
        array = np.empty(len(items), object)
        array[:] = items
        return array
    return convert(value)


def series(values: Any, index: Any, name: str | None = None) -> Any:
    """A pandas.Series of what :func:`column` gives; pandas would take objects for its own text."""
    objects = isinstance(values, np.ndarray) and values.dtype == object
    return pandas().Series(values, index=index, name=name, dtype=object if objects else None, copy=False)


def categorical(value: tuple[Any, ...]) -> Any:
    """A pandas.Categorical; the engine has checked the codes."""
    _, codes, categories, ordered = value
    pd = pandas()
    try:
        dtype = pd.CategoricalDtype(pd.Index(labels(categories)), ordered=ordered)
    except ValueError as e:  # some stand twice, or are missing
        raise refused(f"these cannot be categories: {e}") from e
    return pd.Categorical.from_codes(dense(codes), dtype=dtype, validate=False)


def nullable(value: tuple[Any, ...]) -> Any:
    """A pandas array with missing items."""
    _, values, mask_value, kind = value
    pd = pandas()
    mask = dense(mask_value).astype(bool, copy=False)
    if kind == "integer":
        return pd.arrays.IntegerArray(dense(values), mask=mask)
    if kind == "boolean":
        return pd.arrays.BooleanArray(dense(values).astype(bool, copy=False), mask=mask)
    na_value = np.nan if kind == "string-nan" else pd.NA
    if values[0] == "strings":
        fast = _arrow_strings(values, mask, na_value)
        if fast is not None:
            return fast
    items = np.asarray(convert(values), dtype=object)
    items[mask] = na_value
    return pd.array(items, dtype=pd.StringDtype(na_value=na_value))


def frame(value: tuple[Any, ...], *, text_index: bool = False, cut: bool = False) -> Any:
    """A pandas.DataFrame; `text_index` spells names that are numbers, as anndata does with obs and var."""
    _, name, index_value, columns, rows = value
    pd = pandas()
    names = [k for k, _ in columns]
    index = pd.RangeIndex(rows) if index_value is None else pd.Index(labels(index_value, cut=cut))
    data = {}
    for k, v in columns:
        with inside(k):
            data[k] = series(column(v), index)
    df = pd.DataFrame(data, index=index, columns=names or None, copy=False)
    if text_index and index_value is not None:
        df.index = text(df.index)
        if not names:
            df.columns = text(df.columns)
    df.index.name = name
    return df


def text(index: Any) -> Any:
    """An index of names; numbers are spelled."""
    pd = pandas()
    if isinstance(index.dtype, pd.StringDtype):
        return index
    if not pd.api.types.is_string_dtype(index[~index.isna()]) or pd.api.types.is_integer_dtype(index):
        kind = pd.StringDtype(na_value=index.array.dtype.na_value) if _new_strings() else str
        return index.astype(kind)
    return index


def awkward(value: tuple[Any, ...]) -> Any:
    """An awkward.Array."""
    _, form, length, rows, buffers = value
    try:
        import awkward as ak
    except ImportError as e:
        raise missing_package("awkward", "awkward", "An awkward array in memory") from e
    try:
        array = ak.from_buffers(form, int(length), {k: convert(v) for k, v in buffers})
        problem = ak.validity_error(array)
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as e:
        raise refused(f"the form and the buffers of this awkward array do not fit: {e}") from e
    if problem:
        raise refused(f"this awkward array is not valid: {problem}")
    return array if rows is None else array[np.asarray(rows, dtype=np.int64)]


def objects(native: _lazarr.Lazy, value: Any) -> Any:
    """The maps in a mapping that are whole objects in the store, as anndata.AnnData."""
    if not isinstance(value, dict):
        return value
    for name, kind in native.children():
        if kind in {"dict", "anndata"} and isinstance(value.get(name), dict):
            child = native.child(name)
            if kind == "dict":
                objects(child, value[name])
            else:
                value[name] = _object(child, value[name])
    return value


def _object(native: _lazarr.Lazy, parts: dict[str, Any]) -> Any:
    if isinstance(parts.get("uns"), dict):
        objects(native.child("uns"), parts["uns"])
    for place in ("obs", "var"):
        if parts.get(place) is not None:
            parts[place].index = text(parts[place].index)
    return anndata().AnnData(**{k: v for k, v in parts.items() if v is not None})


def convert(value: tuple[Any, ...] | None, *, cut: bool = False) -> Any:
    """Any native result, as anndata reads it; `cut` is for tables whose rows were selected from some."""
    if value is None:
        return None
    kind = value[0]
    if kind == "map":
        out = {}
        for name, child in value[1]:
            with inside(name):
                out[name] = convert(child, cut=cut)
        return out
    if kind == "table":
        return frame(value, cut=cut)
    return _BY_KIND[kind](value)


_BY_KIND = {
    "dense": dense,
    "strings": strings,
    "sparse": sparse,
    "categorical": categorical,
    "nullable": nullable,
    "awkward": awkward,
}


def array(value: tuple[Any, ...] | None) -> Any:
    """Like :func:`convert`, but what has no axes stays numpy's scalar."""
    if value is not None and value[0] == "dense" and not value[2]:
        one = dense((value[0], value[1], (1,), value[3]))
        return one[0]
    return convert(value)

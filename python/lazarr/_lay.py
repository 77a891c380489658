"""Values in memory that are laid over a lazy object: they are checked, copied, and never written."""

# ruff: noqa: SLF001 - the private half of objects
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _convert, _lazarr
from ._context import call
from ._element import Lazy
from ._errors import misaligned, type_error
from ._store import Composite, Store

if TYPE_CHECKING:
    from ._anndata import AnnData

__all__ = ["lay"]

_MATRICES = frozenset({"X", "layers", "obsp", "varp"})
_COLUMNS = frozenset({"obs", "var"})
_ROWS = {"obs": "obs", "obsm": "obs", "obsp": "obs", "var": "var", "varm": "var", "varp": "var"}


def lay[A: AnnData](adata: A, place: str, values: Any, named: dict[str, Any]) -> A:
    """The object with these values at a place."""
    items = _items(place, values) | named
    for name in items:
        if not isinstance(name, str):
            msg = f"what is laid over {place} has a name: {name!r} is {type(name).__name__}"
            raise type_error(msg)
    stored = adata._stored(place)
    turned = adata._transposed and place in _MATRICES
    given = []
    for name, value in items.items():
        path = f"{place}/{name}" if name else place
        fitted = _fitted(adata, place, path, value)
        given.append((name, encode(fitted.T if turned else fitted, path)))
    return rebuilt(adata, stored, given)


def rebuilt[A: AnnData](adata: A, stored: str, given: list[tuple[str, Any]]) -> A:
    """The object with encoded values at a stored place."""
    if not given:
        return adata
    native = adata._native.laid(stored, given, *call())
    # The selection has been made by now: a state of positions.
    state = adata._native.state()
    store = Composite((adata._store,), _again, (state, stored, given), native.session)
    return type(adata)(native, store, transposed=adata._transposed, is_view=adata.is_view)


def _again(under: tuple[Store, ...], state: str, stored: str, given: list[tuple[str, Any]]) -> Any:
    """The session of an object that was laid over, in another process."""
    return _lazarr.LazyAnnData.from_state(under[0].session, state).laid(stored, given, *call()).session


def _items(place: str, values: Any) -> dict[Any, Any]:
    if values is None:
        return {}
    if hasattr(values, "columns") and hasattr(values, "index") and place in _COLUMNS:
        return {name: values[name] for name in values.columns}
    if isinstance(values, Mapping):
        return dict(values)
    msg = f"with_{place} takes names with values, with_{place}(name=values), not {type(values).__name__}"
    raise type_error(msg)


def _names(adata: AnnData, axis: str) -> Any:
    """The names of an axis; reads them."""
    pd = _convert.pandas()
    return pd.Index(getattr(adata, axis).index.to_memory())


def _fitted(adata: AnnData, place: str, path: str, value: Any) -> Any:
    """A value in the order of the object's names; one that stands for all rows, for each."""
    pd = _convert.pandas()
    axis = _ROWS.get(place)
    if isinstance(value, Lazy):
        msg = f"{path}: values that are laid over are in memory: value.to_memory()"
        raise type_error(msg)
    if type(value).__module__.partition(".")[0] == "dask":
        msg = f"{path}: values that are laid over are in memory: value.compute()"
        raise type_error(msg)
    if axis is not None and isinstance(value, pd.Series | pd.DataFrame):
        value = _aligned(value, _names(adata, axis), axis, path)
    if place in _COLUMNS and (np.isscalar(value) or value is None or value is pd.NA):
        n = adata.resolve().shape[0 if place == "obs" else 1] or 0
        return pd.Series([value] * n, dtype=object if isinstance(value, str) else None).array
    if place in _COLUMNS and isinstance(value, pd.Series | pd.Index):
        return value.array
    return value


def _aligned(value: Any, names: Any, axis: str, path: str) -> Any:
    """Rows in the order of the names, as pandas aligns them; refused where it would leave gaps."""
    theirs = value.index
    if theirs.equals(names):
        return value
    text = theirs.astype(str) if theirs.dtype.kind in "iu" else theirs
    if text.equals(names.astype(text.dtype) if len(names) else names):
        value = value.copy(deep=False)
        value.index = names
        return value
    if theirs.is_unique and names.is_unique and len(theirs) == len(names) and bool(names.isin(theirs).all()):
        return value.reindex(names)
    missing = names[~names.isin(theirs)]
    raise misaligned(
        path,
        f"its index does not have the names of {axis}: by position, pass value.to_numpy()",
        f"{len(names)} names, as {names[0]!r}" if len(names) else "no names",
        f"{len(theirs)} labels" + (f", without {missing[0]!r}" if len(missing) else ", some more than once"),
    )


def encode(value: Any, path: str) -> Any:
    """A value as a tree of tuples over arrays, as the engine takes it."""
    pd = _convert.pandas()
    if value is None:
        return None
    if isinstance(value, Mapping):
        return "map", [(_key(k, path), encode(v, f"{path}/{k}")) for k, v in value.items()]
    if isinstance(value, pd.DataFrame):
        return _table(value, path)
    if hasattr(value, "tocsr") and hasattr(value, "nnz"):
        return _sparse(value)
    if isinstance(value, str):
        return "strings", (), [value], True
    if isinstance(value, bytes):
        return "strings", (), [value], False
    if isinstance(value, pd.Series | pd.Index):
        value = value.array
    if isinstance(value, pd.api.extensions.ExtensionArray):
        return _extension(value, path)
    if type(value).__module__.partition(".")[0] == "awkward":
        msg = f"{path}: awkward arrays cannot be laid over a store yet"
        raise type_error(msg)
    return _array(np.asarray(value), path)


def _key(key: Any, path: str) -> str:
    if not isinstance(key, str):
        msg = f"{path}: names are text, {key!r} is {type(key).__name__}"
        raise type_error(msg)
    return key


def _bytes(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8) if array.size else np.empty(0, np.uint8)


def _dense(array: np.ndarray[Any, Any]) -> tuple[Any, ...]:
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    return "dense", array.dtype.str, array.shape, _bytes(array)


def _texts(items: list[str], shape: tuple[int, ...]) -> tuple[Any, ...]:
    return "strings", shape, items, True


def _array(array: np.ndarray[Any, Any], path: str) -> tuple[Any, ...]:
    pd = _convert.pandas()
    if array.dtype.kind in "biufcMm":
        return _dense(array)
    if array.dtype.kind in "UT":
        return _texts([str(item) for item in array.reshape(-1).tolist()], array.shape)
    if array.dtype.kind != "O":
        msg = f"{path}: values of type {array.dtype} cannot be laid over a store"
        raise type_error(msg)
    flat = array.reshape(-1)
    gone = pd.isna(flat)
    if all(isinstance(item, str) for item in flat[~gone]):
        texts = ["" if na else str(item) for item, na in zip(flat, gone, strict=True)]
        values = _texts(texts, array.shape)
        mask = _dense(gone.reshape(array.shape))
        return ("nullable", values, mask, "string-nan") if gone.any() else values
    better = np.array(flat.tolist())
    if better.dtype.kind in "biuf" and better.ndim == 1:
        return _dense(better.reshape(array.shape))
    kinds = sorted({type(item).__name__ for item in flat[~gone]})
    msg = f"{path}: objects of Python cannot be laid over a store: {', '.join(kinds)}"
    raise type_error(msg)


def _extension(array: Any, path: str) -> tuple[Any, ...]:
    pd = _convert.pandas()
    dtype = array.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        codes = _dense(np.asarray(array.codes))
        return "categorical", codes, encode(array.categories, path), bool(array.ordered)
    if isinstance(dtype, pd.StringDtype):
        gone = np.asarray(pd.isna(array))
        texts = ["" if na else str(item) for item, na in zip(array, gone, strict=True)]
        kind = "string" if dtype.na_value is pd.NA else "string-nan"
        values = _texts(texts, (len(array),))
        plain = kind == "string-nan" and not gone.any()
        return values if plain else ("nullable", values, _dense(gone), kind)
    kinds = {"i": "integer", "u": "integer", "b": "boolean"}
    kind = getattr(dtype, "kind", "O")
    if hasattr(array, "_mask") and kind in kinds:
        gone = np.asarray(pd.isna(array))
        values = array.to_numpy(dtype=dtype.numpy_dtype, na_value=0)
        return "nullable", _dense(values), _dense(gone), kinds[kind]
    if kind == "f":
        return _dense(array.to_numpy(dtype=dtype.numpy_dtype, na_value=np.nan))
    return _array(np.asarray(array), path)


def _sparse(matrix: Any) -> tuple[Any, ...]:
    if matrix.format not in {"csr", "csc"}:
        matrix = matrix.tocsr()
    small = matrix.indices.dtype.itemsize <= 4 and matrix.indptr.dtype.itemsize <= 4
    index = np.dtype(np.int32 if small else np.int64)
    data = matrix.data.astype(matrix.data.dtype.newbyteorder("="), copy=False)
    return (
        "sparse",
        matrix.format,
        tuple(int(n) for n in matrix.shape),
        data.dtype.str,
        index.itemsize,
        _bytes(data),
        _bytes(matrix.indices.astype(index, copy=False)),
        _bytes(matrix.indptr.astype(index, copy=False)),
    )


def _table(frame: Any, path: str) -> tuple[Any, ...]:
    columns = [(_key(name, path), encode(frame[name], f"{path}/{name}")) for name in frame.columns]
    name = frame.index.name
    return "table", None if name is None else str(name), encode(frame.index, path), columns, len(frame)

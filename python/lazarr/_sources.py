"""Values in memory as sources of a writing: trees of tuples that `python/src/write.rs` takes.

- native ``Lazy`` and ``LazyAnnData``, as they are
- ``("group", kind, [(name, source)])``, of kind ``anndata``, ``raw``, ``dict``, ``dataframe:<index>``
- ``("blocks", rows, stored, next, identity)``: ``next(bytes)`` gives a block of about so many bytes, at last
  None; ``identity()`` is a number that tells these rows from others, None where there is no such function
- ``("put", source, [(path, source)])``, ``("without", source, [path])``
- values, as `_convert` describes them, with arrays of bytes in the place of buffers and lists of text

Large arrays are handed over block by block: only a block is copied at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ._errors import type_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["block_value", "from_blocks", "source_of"]

_SMALL = 1 << 20


def _bytes(array: np.ndarray) -> np.ndarray:
    """The bytes of an array, in the machine's order."""
    array = np.ascontiguousarray(array)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return array.reshape(-1).view(np.uint8) if array.size else np.empty(0, np.uint8)


def _dtype(dtype: np.dtype) -> Any:
    if dtype.names:
        return [(name, _dtype(dtype[name])) for name in dtype.names]
    native = dtype.newbyteorder("=")
    return native.str


def _packed(array: np.ndarray) -> np.ndarray:
    """Fields side by side, text in them of fixed width, as the format has them."""
    fields = []
    for name in array.dtype.names or ():
        field = array[name]
        if field.dtype.kind in "OT":
            field = np.asarray(field.tolist(), dtype=np.str_)
        fields.append((name, field))
    out = np.empty(array.shape, dtype=[(name, field.dtype.newbyteorder("=")) for name, field in fields])
    for name, field in fields:
        out[name] = field
    return out


def _text(items: np.ndarray, at: str) -> list[str]:
    out = items.reshape(-1).tolist()
    for item in out:
        if not isinstance(item, str):
            msg = f"`{at}` holds {type(item).__name__} among text: it has no form in the format"
            raise type_error(msg)
    return out


def _array(a: np.ndarray, at: str) -> Any:
    """An array, whole."""
    if a.dtype.kind in "OUT":
        return ("strings", list(a.shape), _text(a, at))
    if a.dtype.names:
        a = _packed(a)
    return ("dense", _dtype(a.dtype), list(a.shape), _bytes(a))


def _matrix(m: Any) -> Any:
    """A csr or csc matrix, whole."""
    wide = 8 if max(m.indices.dtype.itemsize, m.indptr.dtype.itemsize) > 4 else 4
    integer = np.int64 if wide == 8 else np.int32
    return (
        "sparse",
        m.format,
        list(m.shape),
        _dtype(m.data.dtype),
        wide,
        _bytes(m.data),
        _bytes(m.indices.astype(integer, copy=False)),
        _bytes(m.indptr.astype(integer, copy=False)),
    )


def _rows(total: int, row_bytes: float, take: Callable[[int, int], Any]) -> Callable[[int], Any]:
    """A function that gives one block of rows after the other; an empty one where there are no rows."""
    at = 0
    some = False

    def step(room: int) -> Any:
        nonlocal at, some
        if at >= total and some:
            return None
        end = min(total, at + max(1, int(room / max(row_bytes, 1))))
        block = take(at, end)
        at, some = end, True
        return block

    return step


def _cut(m: Any, start: int, end: int) -> Any:
    """Whole rows of csr, columns of csc, without copies of what they hold."""
    a, b = int(m.indptr[start]), int(m.indptr[end])
    shape = (end - start, m.shape[1]) if m.format == "csr" else (m.shape[0], end - start)
    starts = m.indptr[start : end + 1] - m.indptr[start]
    out = type("Block", (), {})()
    out.format, out.shape = m.format, shape
    out.data, out.indices, out.indptr = m.data[a:b], m.indices[a:b], starts
    return out


def _sparse(m: Any) -> Any:
    if m.format not in {"csr", "csc"}:
        m = m.tocsr()
    major = m.shape[0] if m.format == "csr" else m.shape[1]
    per = (m.data.dtype.itemsize + 8) * m.nnz / max(major, 1) + 8
    rows = _rows(major, per, lambda a, b: _matrix(_cut(m, a, b)))
    parts = [m.data, m.indices, m.indptr]
    plain = all(isinstance(part, np.ndarray) for part in parts)
    identity = (lambda: _hash(m.shape, m.format, *parts)) if plain else None
    return ("blocks", major, int(m.indptr[-1]), rows, identity)


def _hash(*parts: Any) -> int:
    """What tells values in memory from others."""
    import hashlib

    hash_ = hashlib.blake2b(digest_size=8)
    for part in parts:
        if isinstance(part, np.ndarray):
            hash_.update(f"{part.dtype.str} {part.shape} ".encode())
            step = max(1, (8 << 20) // max(part.itemsize * int(np.prod(part.shape[1:], dtype=np.int64)), 1))
            for start in range(0, len(part), step):
                piece = part[start : start + step]
                objects = piece.dtype.hasobject or piece.dtype.kind == "T"
                hash_.update(repr(piece.tolist()).encode() if objects else _bytes(piece))
        else:
            hash_.update(repr(part).encode())
    return int.from_bytes(hash_.digest(), "little")


def _dense(a: Any, at: str) -> Any:
    if a.ndim == 0:
        return _scalar(a[()], at)
    small = a.size * (64 if a.dtype.kind in "OUT" else a.dtype.itemsize) < _SMALL
    if small and isinstance(a, np.ndarray):
        return _array(a, at)
    item = 64 if a.dtype.kind in "OUT" else a.dtype.itemsize
    per = item * int(np.prod(a.shape[1:], dtype=np.int64))
    rows = _rows(a.shape[0], per, lambda i, j: _array(_loaded(a[i:j]), at))
    return ("blocks", a.shape[0], None, rows, (lambda: _hash(a)) if isinstance(a, np.ndarray) else None)


def _loaded(a: Any) -> Any:
    return a.compute() if hasattr(a, "compute") else np.asarray(a)


def _scalar(value: Any, at: str) -> Any:
    if isinstance(value, bytes):
        msg = f"`{at}` is bytes, which have no form in the format"
        raise type_error(msg)
    if isinstance(value, str):
        return ("strings", [], [str(value)])
    array = np.asarray(value)
    if array.dtype.kind not in "biufcMm" or array.ndim:
        msg = f"`{at}` is {type(value).__name__}, which has no form in the format"
        raise type_error(msg)
    return ("dense", _dtype(array.dtype), [], _bytes(array))


def _column(values: Any, at: str) -> Any:
    """A column of a table, an index: anything with one axis that pandas has."""
    import pandas as pd

    named = isinstance(values, pd.Index)
    if isinstance(values, pd.Series | pd.Index):
        values = values.array
    if isinstance(values, pd.Categorical):
        codes = np.asarray(values.codes)
        categories = _column(values.categories, f"{at}/categories")
        return ("categorical", _array(codes, at), categories, bool(values.ordered))
    if isinstance(values, pd.arrays.IntegerArray | pd.arrays.BooleanArray):
        mask = np.asarray(values.isna())
        kind = "boolean" if isinstance(values, pd.arrays.BooleanArray) else "integer"
        plain = values.to_numpy(dtype=values.dtype.type, na_value=values.dtype.type(0))
        return ("nullable", _array(plain, at), _array(mask, at), kind)
    if isinstance(values, pd.api.extensions.ExtensionArray) and isinstance(values.dtype, pd.StringDtype):
        mask = np.asarray(values.isna())
        nan = values.dtype.na_value is not pd.NA
        plain = np.where(mask, "", np.asarray(values, dtype=object))
        # Names and categories are plain text where none is missing.
        if nan and named and not mask.any():
            return _array(plain, at)
        return ("nullable", _array(plain, at), _array(mask, at), "string-nan" if nan else "string")
    array = np.asarray(values)
    if array.dtype.kind == "O":
        missing = pd.isna(array)
        if missing.any() and all(isinstance(v, str) for v in array[~missing]):
            # As anndata writes them: text with gaps is a categorical.
            return _column(pd.Categorical(array), at)
    return _dense(array, at)


def _frame(frame: Any, at: str) -> Any:
    index = "_index" if frame.index.name is None else str(frame.index.name)
    if frame.columns.nlevels > 1 or not frame.columns.is_unique or frame.index.nlevels > 1:
        msg = f"`{at}`: names of rows and columns have one level, and those of columns are unique"
        raise type_error(msg)
    children = [(index, _column(frame.index, f"{at}/{index}"))]
    for name in frame.columns:
        if str(name) != index:
            children.append((str(name), _column(frame[name], f"{at}/{name}")))
        elif not np.array_equal(np.asarray(frame[name]), np.asarray(frame.index)):
            msg = f"`{at}/{name}`: the index has the name of a column with other values"
            raise type_error(msg)
    return ("group", f"dataframe:{index}", children)


def _mapping(mapping: Any, at: str) -> Any:
    # anndata lists X among the layers, under no name.
    names = [k for k in mapping if k is not None]
    children = [(str(k), source_of(mapping[k], f"{at}/{k}" if at else str(k))) for k in names]
    return ("group", "dict", children)


def _raw(raw: Any, at: str) -> Any:
    children = [("X", source_of(raw.X, f"{at}/X")), ("var", _frame(raw.var, f"{at}/var"))]
    return ("group", "raw", [*children, ("varm", _mapping(raw.varm, f"{at}/varm"))])


def _object(adata: Any, at: str) -> Any:
    inside = (lambda name: f"{at}/{name}") if at else (lambda name: name)
    children = [("obs", _frame(adata.obs, inside("obs"))), ("var", _frame(adata.var, inside("var")))]
    places = ("uns", "obsm", "varm", "obsp", "varp", "layers")
    children += [(place, _mapping(getattr(adata, place), inside(place))) for place in places]
    if adata.X is not None:
        children.append(("X", source_of(adata.X, inside("X"))))
    if adata.raw is not None:
        children.append(("raw", _raw(adata.raw, inside("raw"))))
    return ("group", "anndata", children)


def _awkward(array: Any, at: str) -> Any:
    import awkward as ak

    form, length, buffers = ak.to_buffers(ak.to_packed(array))
    parts = [(name, _array(np.asarray(buffer), f"{at}/{name}")) for name, buffer in buffers.items()]
    return ("awkward", form.to_json(), int(length), parts)


def block_value(block: Any, at: str) -> Any:
    """A block of rows as a value."""
    if hasattr(block, "indptr") and hasattr(block, "format"):
        return _matrix(block)
    made = source_of(block, at)
    if made is None or made[0] in {"group", "blocks"}:
        if isinstance(block, np.ndarray):
            return _array(block, at)
        msg = f"a block of rows is a matrix, an array or a column, not {type(block).__name__}"
        raise type_error(msg)
    return made


def from_blocks(blocks: Iterable[Any], at: str) -> Any:
    """Blocks of rows that somebody makes."""
    it: Iterator[Any] = iter(blocks)

    def step(_room: int) -> Any:
        for block in it:
            # The blocks of `iter_rows` say where they begin and end.
            return block_value(block[-1] if isinstance(block, tuple) else block, at)
        return None

    return ("blocks", None, None, step, None)


def source_of(value: Any, at: str = "") -> Any:
    """Anything that can be written, as a source."""
    native = getattr(value, "_native", None)
    if native is not None:
        if getattr(value, "_transposed", False):
            msg = "a transposed object is not written: write it as it is stored"
            raise type_error(msg)
        return native
    if value is None:
        return None
    module = type(value).__module__.partition(".")[0]
    if module == "anndata" and hasattr(value, "obs") and hasattr(value, "uns"):
        return _object(value, at)
    if module == "awkward":
        return _awkward(value, at)
    if module == "pandas" and hasattr(value, "columns"):
        return _frame(value, at)
    if module == "pandas" and hasattr(value, "array"):
        return _column(value, at)
    if module == "pandas" and hasattr(value, "isna"):
        return _column(value, at)
    if hasattr(value, "indptr") or (module == "scipy" and hasattr(value, "tocsr")):
        return _sparse(value)
    if isinstance(value, Mapping):
        return _mapping(value, at)
    if isinstance(value, list | tuple):
        return _dense(np.array(value), at)
    if isinstance(value, np.ndarray | np.generic) or (hasattr(value, "chunks") and hasattr(value, "compute")):
        return _dense(value, at) if getattr(value, "ndim", 0) else _scalar(value, at)
    return _scalar(value, at)

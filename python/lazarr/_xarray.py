"""Tables as anndata's Dataset2D, whose columns are read when they are used.

Columns of numbers and text are arrays of Dask in the stored chunks; those with categories or missing values
are read by xarray's lazy arrays, as anndata has them.
"""

# ruff: noqa: SLF001 - the private half of elements
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from . import _convert, _to_dask
from ._column import removes_unused
from ._element import Element, dask_module
from ._frame import Column, DataFrame
from ._mapping import Mapping
from ._matrix import DenseElement, SparseElement, StringsElement
from ._store import Composite

if TYPE_CHECKING:
    from ._anndata import AnnData
    from ._store import Store

__all__ = ["LazyColumn", "dataset", "lazily", "to_dask"]

# anndata looks for this name: names that were not loaded are not written.
_RANGE = "_anndata_dummy_range_index"


def _root(store: Store) -> Any:
    """The store in zarr-python, from which anndata opens lazy columns again; None where it cannot."""
    import zarr

    if isinstance(store, Composite):
        return None  # no store holds all of it
    url = store.session.url
    place = getattr(store.bridged, "store", None) if store.bridged is not None else url
    if place is None or (isinstance(place, str) and "://" in place):
        return None
    try:
        return zarr.open_consolidated(place, mode="r", path=getattr(store.bridged, "prefix", "") or None)
    except (ValueError, KeyError, OSError):
        return None  # anndata then reads the columns that it joins


class LazyColumn(xr.backends.BackendArray):
    """A column with categories or missing values, as xarray's lazy array: what an index asks for is read."""

    def __init__(self, column: Column) -> None:
        self.column = column
        self.shape: tuple[int, ...] = (len(column),)
        self.chunks = tuple(_inner(column))
        self._dtype: Any = None

    @property
    def dtype(self) -> Any:
        """The type of pandas; it has the categories, which are read once."""
        if self._dtype is None:
            self._dtype = _dtype(self.column)
        return self._dtype

    def __getitem__(self, key: Any) -> Any:
        support = xr.core.indexing.IndexingSupport.VECTORIZED
        return xr.core.indexing.explicit_indexing_adapter(key, self.shape, support, self._read)

    def _read(self, key: tuple[Any, ...]) -> Any:
        from xarray.core.extension_array import PandasExtensionArray

        item = key[0]
        if isinstance(item, int | np.integer):
            item = slice(int(item), int(item) + 1)
        part = self.column[item].to_memory()
        values = getattr(part, "array", part)
        if isinstance(self.dtype, np.dtypes.StringDType):
            return np.array(np.asarray(values, object), dtype=self.dtype)
        if self.column.dtype == "category" and removes_unused() and len(values) < self.shape[0]:
            values = values.remove_unused_categories()
        return PandasExtensionArray(values)


def _inner(element: Element) -> list[int]:
    """The chunks of the first array that is read; the whole where none is."""
    arrays = element.arrays
    return arrays[0]["inner"] if arrays else [n or 1 for n in element.shape]


def _dtype(x: Column) -> Any:
    pd = _convert.pandas()
    if x.dtype == "category":
        return pd.CategoricalDtype(x.cat.categories, x.cat.ordered)
    if x._native.nullable_kind in {"string", "string-nan"}:
        # xarray keeps no text of pandas.
        return np.dtypes.StringDType(na_object=pd.NA)
    return pd.api.types.pandas_dtype(x.dtype)


def _variable(x: Column, dim: str, chunks: tuple[int | None, ...] | None, root: Any) -> Any:
    native = x._native
    if native.kind in {"dense", "strings"}:
        element = (DenseElement if native.kind == "dense" else StringsElement)(native, x._store)
        return xr.Variable([dim], _blocks(element, chunks))
    # A table that is cut stands for itself alone: what anndata opens again is the whole column.
    group = root[x.path] if root is not None and native.is_whole else None
    attrs: dict[str, Any] = {"is_nullable_string": native.nullable_kind in {"string", "string-nan"}}
    if group is not None:
        attrs |= {"base_path_or_zarr_group": group, "elem_name": f"/{x.path}"}
    return xr.Variable([dim], xr.core.indexing.LazilyIndexedArray(LazyColumn(x)), attrs=attrs)


def _blocks(element: Element, chunks: tuple[int | None, ...] | None) -> Any:
    """An array of Dask in the stored chunks, or in these."""
    shape = [n or 0 for n in element.shape]
    stored = [*_inner(element), *shape][: len(shape)]
    asked = stored if chunks is None else chunks
    sizes = [n if size is None or size == -1 else size for size, n in zip(asked, shape, strict=True)]
    return dask_module().in_grid(element, [max(size, 1) for size in sizes])


def dataset(
    table: DataFrame,
    *,
    use_range_index: bool = False,
    chunks: tuple[int | None, ...] | None = None,
    root: Any = None,
) -> Any:
    """The table as a Dataset2D. Its names are read, unless they are left to be numbers."""
    pd = _convert.pandas()
    from anndata.experimental.backed import Dataset2D

    table.resolve()
    root = _root(table._store) if root is None else root
    key = table._native.index_name() or "_index"
    dim = _RANGE if use_range_index else key
    variables = {
        name: _variable(table._column(name), dim, chunks, root) for name in table.columns if name != key
    }
    if use_range_index:
        variables[key] = _variable(table.index, dim, None, root)
        variables[dim] = xr.Variable([dim], pd.RangeIndex(len(table)).astype(str))
    else:
        names = pd.Index(table.index.to_memory())
        variables[dim] = xr.Variable([dim], _convert.text(names) if table._text_index else names)
    ds = Dataset2D(xr.Dataset(variables))
    ds.is_backed = True
    ds.true_index_dim = key
    return ds


def lazily(x: Any, *, use_range_index: bool = False, chunks: tuple[int | None, ...] | None = None) -> Any:
    """An element as anndata's own lazy reader gives it; what is small or has no lazy form is read."""
    if isinstance(x, Mapping):
        return {name: lazily(child) for name, child in x.items()}
    if isinstance(x, DataFrame):
        return dataset(x, use_range_index=use_range_index, chunks=chunks)
    if isinstance(x, Column):
        return LazyColumn(x)
    if isinstance(x, SparseElement):
        return x.to_dask()
    if isinstance(x, DenseElement) and x.ndim:
        return _blocks(x, chunks)
    return x.to_memory() if isinstance(x, Element) else x


def to_dask(adata: AnnData, *, load_annotation_index: bool = True) -> Any:
    """The object as ``anndata.experimental.read_lazy`` gives it: tables wait too, and so do arrays in uns."""
    ad = _convert.anndata()
    known: dict[str, Any] = dict(_to_dask.arrays(adata))
    root = _root(adata._store)
    parts: dict[str, Any] = {}
    for place in ("obs", "var"):
        parts[place] = dataset(getattr(adata, place), use_range_index=not load_annotation_index, root=root)
    if adata.X is not None:
        parts["X"] = known["X"].to_dask() if "X" in known else adata.X.to_memory()
    for place in ("layers", "obsm", "varm", "obsp", "varp"):
        parts[place] = {}
        for name, x in getattr(adata, place).items():
            path = f"{place}/{name}"
            ranged = not load_annotation_index
            parts[place][name] = x.to_dask() if path in known else lazily(x, use_range_index=ranged)
    parts["uns"] = lazily(adata.uns)
    raw = adata.raw
    if raw is not None:
        var = dataset(raw.var, use_range_index=not load_annotation_index, root=root)
        x = known["raw/X"].to_dask() if "raw/X" in known else raw.X and raw.X.to_memory()
        parts["raw"] = {"X": x, "var": var, "varm": {name: lazily(v) for name, v in raw.varm.items()}}
    if load_annotation_index:
        return ad.AnnData(**parts)
    with ad.settings.override(check_uniqueness=False):
        return ad.AnnData(**parts)

"""Readers with anndata's names and signatures: for code that is there already.

>>> from lazarr.anndata import read_lazy  # doctest: +SKIP

HDF5 is not lazarr's: a file or a group of h5py is handed on to anndata. ``import lazarr.anndata`` also
gives every ``anndata.AnnData`` the namespace ``adata.lazarr``, with the plan of what computing it would
read.
"""

# ruff: noqa: SLF001 - the private half of elements
from __future__ import annotations

import re
import warnings
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import lazarr

from . import _convert
from ._anndata import AnnData
from ._dispatched import Collected, Group, IOSpec, place_of
from ._element import Element, dask_module
from ._errors import missing_package, type_error
from ._frame import Column, DataFrame
from ._layout import layout_of
from ._mapping import Mapping, Raw
from ._matrix import DenseElement, SparseElement, StringsElement
from ._namespace import register
from ._write import write_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from collections.abc import Mapping as Settings

    from ._layout import Layout

__all__ = [
    "IOSpec",
    "SparseDataset",
    "read_dispatched",
    "read_elem",
    "read_elem_lazy",
    "read_lazy",
    "read_zarr",
    "sparse_dataset",
    "write_dispatched",
]

register()


def _is_hdf5(target: Any) -> bool:
    if type(target).__module__.partition(".")[0] == "h5py":
        return True
    return isinstance(target, str) and target.endswith((".h5ad", ".h5", ".hdf5"))


def _opened(target: Any) -> Any:
    return target if isinstance(target, Element | AnnData) else lazarr.open(target)


@contextmanager
def _as_theirs() -> Iterator[None]:
    """Raises what code for anndata catches: of an encoding without a reader, of a store that is none."""
    try:
        yield
    except lazarr.UnsupportedError as e:
        if e.code != "LZ0401":
            raise
        from anndata._io.specs.registry import IORegistryError

        raise _both(IORegistryError, e, _in_their_words(e)) from e
    except lazarr.NotFoundError as e:
        from zarr.errors import GroupNotFoundError

        raise _both(GroupNotFoundError, e, str(e)) from e


def _both(theirs: type[BaseException], ours: lazarr.LazarrError, text: str) -> BaseException:
    """An error of both packages."""
    kind: Any = type(theirs.__name__, (type(ours), theirs), {"__module__": __name__})
    fields = ("code", "message", "element", "key", "start", "end", "expected", "found", "help")
    made: BaseException = kind(text, **{name: getattr(ours, name) for name in fields})
    made.__notes__ = []  # they stand with the error of lazarr, which is its cause
    return made


def _in_their_words(e: lazarr.LazarrError) -> str:
    encoding, version = re.search(r"`([^`]*)`", e.message), re.search(r'"([^"]*)"', e.found or "")
    spec = IOSpec(encoding[1] if encoding else "", version[1] if version else "")
    place, _, name = f"/{e.element or ''}".rpartition("/")
    return (
        f"No read method registered for {spec!r}: {e}\n"
        f"Error raised while reading key {name!r} of a group from {place or '/'}"
    )


def read_lazy(
    store: Any,
    *,
    load_annotation_index: bool = True,
    obs: Literal["pandas", "xarray"] = "pandas",
    **options: Any,
) -> Any:
    """As ``anndata.experimental.read_lazy``, over lazarr: an anndata.AnnData of arrays of Dask.

    Parameters
    ----------
    store
        A path, or a group or store of zarr.
    load_annotation_index
        False: do not read the names of cells and genes; they are 0, 1, 2, …
    obs
        ``"pandas"``: obs and var are real tables, as scanpy expects them. ``"xarray"``: anndata's own
        Dataset2D, whose columns wait; tables in obsm and varm too, and arrays in uns are arrays of Dask.
    options
        Of :func:`lazarr.open`.
    """
    if _is_hdf5(store):
        from anndata.experimental import read_lazy as theirs

        return theirs(store, load_annotation_index=load_annotation_index)
    if obs not in {"pandas", "xarray"}:
        msg = f"obs is 'pandas' or 'xarray', not {obs!r}"
        raise ValueError(msg)
    lazy = lazarr.open(store, **options)
    if not isinstance(lazy, AnnData):
        msg = f"there is no AnnData here, but {lazy!r}: read_elem_lazy reads elements"
        raise type_error(msg)
    if any("not consolidated" in notice for notice in lazy._store.session.notices):
        # In anndata's words too, for code that waits for them.
        words = "Did not read zarr as consolidated. Consider consolidating your metadata."
        warnings.warn(words, lazarr.NotConsolidated, stacklevel=2)
    if obs == "xarray":
        return _lazy_tables().to_dask(lazy, load_annotation_index=load_annotation_index)
    return lazy.to_dask(load_annotation_index=load_annotation_index)


def _lazy_tables() -> Any:
    """What needs xarray, which is imported where it is asked for."""
    try:
        from . import _xarray
    except ImportError as e:
        raise missing_package("xarray", "xarray", "A table as Dataset2D") from e
    return _xarray


def read_elem(elem: Any) -> Any:
    """As ``anndata.io.read_elem``: an element in memory.

    Parameters
    ----------
    elem
        A path (``"atlas.zarr/obs"``), a group or an array of zarr, or a lazy element.
    """
    if _is_hdf5(elem):
        from anndata.io import read_elem as theirs

        return theirs(elem)
    with _as_theirs():
        return _in_memory(_opened(elem))


def read_zarr(store: Any) -> Any:
    """As ``anndata.io.read_zarr``: all of it in memory.

    Parameters
    ----------
    store
        A path, or a group or store of zarr.
    """
    with _as_theirs():
        return _in_memory(_opened(store))


def _in_memory(lazy: Any) -> Any:
    if lazy is None or not isinstance(lazy, Element | AnnData):
        return lazy
    return lazy.to_memory()


def read_elem_lazy(elem: Any, chunks: tuple[int | None, ...] | None = None, **kwargs: Any) -> Any:
    """As ``anndata.experimental.read_elem_lazy``: an array of Dask; a table is a lazy Dataset2D.

    Parameters
    ----------
    elem
        A path (``"atlas.zarr/X"``), a group or an array of zarr, or a lazy element.
    chunks
        The shape of a block; -1 or None is the length of the axis. Default: blocks of rows by their bytes; of
        a dense array whose stored chunks are narrower, these.
    kwargs
        ``use_range_index`` of a table: do not read its names. ``chunk_bytes`` of an array.
    """
    if _is_hdf5(elem):
        from anndata.experimental import read_elem_lazy as theirs

        hdf5: Any = theirs
        return hdf5(elem, chunks, **kwargs)
    lazy = _opened(elem)
    if isinstance(lazy, AnnData):
        return lazy.to_dask()
    if isinstance(lazy, Mapping):
        return {name: read_elem_lazy(child) for name, child in lazy.items()}
    if isinstance(lazy, DataFrame | Column):
        names = bool(kwargs.get("use_range_index"))
        return _lazy_tables().lazily(lazy, use_range_index=names, chunks=chunks)
    if not isinstance(lazy, SparseElement | DenseElement) or not lazy.ndim:
        return _in_memory(lazy)
    if chunks is None and not isinstance(lazy, StringsElement) and not _is_narrow(lazy):
        return lazy.to_dask(**{k: v for k, v in kwargs.items() if k == "chunk_bytes"})
    return _in_blocks(lazy, chunks)


def _is_narrow(lazy: Element) -> bool:
    """Whether the stored chunks of a dense array are narrower than it: anndata's blocks are these."""
    inner = lazy.arrays[0]["inner"] if isinstance(lazy, DenseElement) else []
    return any(size < (n or 0) for size, n in zip(inner[1:], lazy.resolve().shape[1:], strict=False))


def _in_blocks(lazy: Element, chunks: tuple[int | None, ...] | None) -> Any:
    shape = [n or 0 for n in lazy.resolve().shape]
    stored = [*lazy.arrays[0]["inner"], *shape][: len(shape)]
    asked = tuple(stored) if chunks is None else chunks
    if len(asked) != len(shape):
        msg = f"chunks have a length for each of {len(shape)} axes, not {chunks!r}"
        raise ValueError(msg)
    if any(size is not None and size != -1 and size < 1 for size in asked):
        msg = f"a block has 1 row or more along each axis: {chunks!r}"
        raise ValueError(msg)
    sizes = [max(n, 1) if size is None or size == -1 else size for size, n in zip(asked, shape, strict=True)]
    minor = {"csr": 1, "csc": 0}.get(getattr(lazy, "format", ""))
    if minor is not None and sizes[minor] < shape[minor]:
        wanted = "(rows, -1)" if minor else "(-1, columns)"
        msg = f"blocks of a {lazy.format} matrix are as wide as it is stored: chunks={wanted}, not {chunks!r}"  # type: ignore[attr-defined]
        raise ValueError(msg)
    narrow = any(size < n for size, n in zip(sizes[1:], shape[1:], strict=True))
    if narrow or minor == 0 or isinstance(lazy, StringsElement):
        return dask_module().in_grid(lazy, sizes)
    return lazy._to_dask(None, sizes[0])


class SparseDataset:
    """A sparse matrix in a store, of which an index reads: ``dataset[10:20]`` is a scipy matrix."""

    def __init__(self, element: SparseElement) -> None:
        self._element = element

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Rows and columns."""
        return self._element.shape

    @property
    def dtype(self) -> Any:
        """The type of a stored value."""
        return self._element.dtype

    @property
    def format(self) -> str:
        """``"csr"`` or ``"csc"``."""
        return self._element.format

    backend = "zarr"

    def plan(self, index: Any = ...) -> Any:
        """What reading this part of it would cost."""
        return self._element[index].plan()

    def __getitem__(self, index: Any) -> Any:
        rows, cols = (*index, slice(None))[:2] if isinstance(index, tuple) else (index, slice(None))
        # One axis after the other: lists of both mean rows and columns, as in anndata.
        return self._element[rows, :][:, cols].to_memory()

    def to_memory(self) -> Any:
        """Reads all of it."""
        return self._element.to_memory()

    def __repr__(self) -> str:
        return f"SparseDataset: {self._element!r}"


def sparse_dataset(group: Any) -> SparseDataset:
    """As ``anndata.io.sparse_dataset``: a sparse matrix of which an index reads what it needs.

    Parameters
    ----------
    group
        A path (``"atlas.zarr/X"``), a group of zarr, or a lazy element.
    """
    lazy = _opened(group)
    if not isinstance(lazy, SparseElement):
        msg = f"a sparse matrix is expected here, and this is {lazy!r}"
        raise type_error(msg)
    return SparseDataset(lazy)


def read_dispatched(elem: Any, callback: Callable[..., Any]) -> Any:
    """As ``anndata.experimental.read_dispatched``: a callback reads each element, or does not.

    Parameters
    ----------
    elem
        A path, a group of zarr, or a lazy object.
    callback
        Called as ``callback(read, name, element, iospec=...)`` for each element, from the whole to its
        parts; what it gives stands in the result. ``read(element)`` reads it and what is below it, by way
        of the callback; ``element`` is lazy, so that it can also be cut first: ``read(element[:100])``.
    """
    return _visit(_opened(elem), callback)


def _visit(lazy: Any, callback: Callable[..., Any]) -> Any:
    if isinstance(lazy, AnnData):
        encoding = IOSpec("anndata", "0.1.0")
    elif isinstance(lazy, Mapping) and lazy._parent is not None:
        encoding = IOSpec("dict", "0.1.0")
    else:
        encoding = IOSpec(*lazy.encoding)
    return callback(lambda x: _read(x, callback), f"/{lazy.path}", lazy, iospec=encoding)


def _read(lazy: Any, callback: Callable[..., Any]) -> Any:
    if isinstance(lazy, Mapping):
        return {name: _visit(child, callback) for name, child in lazy.items() if child is not None}
    if isinstance(lazy, DataFrame):
        index = _visit(lazy.index, callback)
        columns = {name: _visit(lazy[name], callback) for name in lazy.columns}
        table = _convert.pandas().DataFrame(columns, columns=lazy.columns)
        return table.set_index(_convert.pandas().Index(index, name=lazy._native.index_name()))
    if isinstance(lazy, AnnData):
        parts = {name: _visit(getattr(lazy, name), callback) for name in _parts(lazy)}
        return _convert.anndata().AnnData(**{k: v for k, v in parts.items() if v is not None})
    if isinstance(lazy, Raw):
        return {name: _visit(x, callback) for name in ("X", "var") if (x := getattr(lazy, name)) is not None}
    return _in_memory(lazy)


def _parts(lazy: AnnData) -> list[str]:
    known = ("X", "obs", "var", "obsm", "varm", "obsp", "varp", "layers", "uns", "raw")
    return [name for name in known if lazy._has(name)]


def write_dispatched(
    store: Any,
    key: str,
    elem: Any,
    callback: Callable[..., Any],
    *,
    dataset_kwargs: Settings[str, Any] = MappingProxyType({}),
    layout: Layout | str | None = None,
) -> None:
    """As ``anndata.experimental.write_dispatched``: a callback says how each element is written, or not.

    The callbacks are called first, and then all is written at once, as :func:`lazarr.write` does: whoever
    opens the store sees the old one or the new one, whole.

    Parameters
    ----------
    store
        A path, or a group of zarr in a store on the disk. A store that is there is replaced, as with anndata.
    key
        ``"/"``: the whole.
    elem
        What is written: an ``anndata.AnnData``, as a rule; lazy elements are read as they are written.
    callback
        Called as ``callback(write, store, key, elem, dataset_kwargs=..., iospec=...)`` for each element, from
        the whole to its parts. ``write(store, key, elem, dataset_kwargs=...)`` writes it, changed or not,
        and calls for what is in it. Columns with categories or missing values are one element.
    dataset_kwargs
        ``chunks``, ``shards``, ``compressors`` (or ``compressor``), as zarr-python takes them.
    layout
        What holds where those say nothing: as of :func:`lazarr.write`.

    Examples
    --------
    >>> def rows_in_blocks(write, store, key, elem, *, dataset_kwargs, iospec):  # doctest: +SKIP
    ...     if key == "counts":
    ...         dataset_kwargs = {**dataset_kwargs, "chunks": (100_000,)}
    ...     write(store, key, elem, dataset_kwargs=dataset_kwargs)
    """
    if key.strip("/"):
        msg = f"key={key!r}: the whole is written, key='/'"
        raise type_error(msg)
    place = place_of(store)
    collected = Collected(callback)
    collected.visit(Group(""), "/", elem, dataset_kwargs)
    version = getattr(getattr(store, "metadata", None), "zarr_format", None)
    base = layout_of(layout, version)
    write_source(collected.source(), place, collected.layout(base), overwrite=True)

"""Stores that are there: more cells, other elements, what differs between two."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import lazarr

from . import _lazarr
from ._anndata import AnnData
from ._context import call, storage_words
from ._element import Element
from ._errors import type_error
from ._layout import layout_of
from ._sources import source_of
from ._write import Written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ._layout import Layout

__all__ = ["Difference", "append", "diff", "write_into"]


def append(
    path: str | os.PathLike[str],
    new: Any,
    *,
    drop: Iterable[str] = (),
    sync: bool = True,
    storage_options: Mapping[str, Any] | None = None,
    progress: Callable[[str, int], object] | None = None,
) -> Written:
    """Add the cells of other objects, which have the same genes, to a store.

    The store becomes what ``lz.concat([store, *new])`` is, whole or not at all. Full chunks and shards stay
    the files that they are; only what comes behind them is written, as the arrays are cut and encoded. In a
    bucket that holds for whoever reads by the consolidated metadata, which is put last.

    Parameters
    ----------
    path
        The store: a path, or ``s3://``, ``gs://``, ``az://``.
    new
        A lazy object (or a selection of one), what :func:`open` takes, or a list of these.
    drop
        Elements that would have to grow and cannot, and are taken out: ``["obsp"]``.
    sync
        False: do not wait for the disk. Faster, and not safe from a loss of power.
    storage_options
        Of a bucket, as of :func:`open`.
    progress
        Called with the path of the element that is written, and how many of its rows are.

    Returns
    -------
    Written
        What was written anew: files, their bytes, arrays.

    Examples
    --------
    >>> lz.append("atlas.zarr", lz.open("run_17.zarr"), drop=["obsp"])  # doctest: +SKIP
    """
    objects = [_object(one) for one in (new if isinstance(new, list | tuple) else [new])]
    how: Any = (
        layout_of(None, None).to_json(),
        (True, sync, False),
        storage_words(storage_options),
        progress,
        None,
    )
    natives = [one._native for one in objects]  # noqa: SLF001 - the private half
    return Written(*_lazarr.append(os.fspath(path), natives, _names(drop), how, *call()))


def write_into(
    path: str | os.PathLike[str],
    put: Mapping[str, Any] | None = None,
    *,
    drop: Iterable[str] = (),
    layout: Layout | Mapping[str, Any] | str | None = None,
    overwrite: bool = False,
    sync: bool = True,
    storage_options: Mapping[str, Any] | None = None,
    progress: Callable[[str, int], object] | None = None,
) -> Written:
    """Put elements and columns into a store, and take others out: whole or not at all.

    What is not named keeps its very files. In a bucket, whoever reads by the consolidated metadata sees all
    of it or nothing: it is put last.

    Parameters
    ----------
    path
        The store: a path, or ``s3://``, ``gs://``, ``az://``.
    put
        Values by path: ``{"obs/score": values, "obsm/X_umap": array}``, lazy or in memory.
    drop
        Paths that are taken out: ``["layers/raw"]``.
    layout
        How what is put is cut and compressed, as of :func:`write`.
    overwrite
        Replace what has the path of something that is put.
    sync
        False: do not wait for the disk. Faster, and not safe from a loss of power.
    storage_options
        Of a bucket, as of :func:`open`.
    progress
        Called with the path of the element that is written, and how many of its rows are.

    Returns
    -------
    Written
        What was written: files, their bytes, arrays.

    Examples
    --------
    >>> lz.write_into("atlas.zarr", {"obs/score": score}, drop=["obs/old_score"])  # doctest: +SKIP
    """
    sources = [(name.strip("/"), source_of(value, name.strip("/"))) for name, value in (put or {}).items()]
    how: Any = (
        layout_of(layout, None).to_json(),
        (overwrite, sync, False),
        storage_words(storage_options),
        progress,
        None,
    )
    return Written(*_lazarr.write_into(os.fspath(path), sources, _names(drop), how, *call()))


@dataclass(frozen=True)
class Difference:
    """One thing that differs between two stores."""

    element: str
    """The path of the element."""
    what: str
    """``only in the first``, ``only in the second``, ``kind``, ``shape``, ``type``, ``order``, ``values``,
    ``unreadable``."""
    first: str
    """What the first says."""
    second: str
    """What the second says."""
    at: tuple[int, ...]
    """Of values, the first position that differs."""
    count: int
    """Of values, how many differ."""


def diff(first: Any, second: Any, *, strict: bool = False) -> list[Difference]:
    """What two stores say that is not the same: values, not layouts. Both are read block by block.

    NaN equals NaN, categoricals are what their codes stand for, a matrix is what is not zero in it, however
    it is stored.

    Parameters
    ----------
    first, second
        What :func:`open` takes, or what it gives; whole.
    strict
        Codes, formats of sparse matrices and the order of columns count, too.

    Returns
    -------
    list of Difference
        In the order of the first; empty where they are equal.

    Examples
    --------
    >>> assert not lz.diff("atlas.zarr", "copy.zarr")  # doctest: +SKIP
    """
    one, two = (_session(x) for x in (first, second))
    found = _lazarr.diff(one, two, strict, *call())
    return [Difference(e, what, a, b, tuple(at), count) for e, what, a, b, at, count in found]


def _names(paths: Iterable[str]) -> list[str]:
    return [paths] if isinstance(paths, str) else list(paths)


def _object(new: Any) -> AnnData:
    adata = new if isinstance(new, AnnData | Element) else lazarr.open(new)
    if not isinstance(adata, AnnData):
        msg = f"cells of an AnnData are appended, and this is {adata!r}"
        raise type_error(msg)
    return adata


def _session(store: Any) -> Any:
    lazy = store if isinstance(store, AnnData | Element) else lazarr.open(store)
    if getattr(lazy, "is_view", False) or lazy.path:
        msg = "whole stores are compared: write a selection first, lz.write(view, path)"
        raise type_error(msg)
    return lazy._store.session  # noqa: SLF001 - the private half

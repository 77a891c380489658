"""Writing: anything, to a store that is there whole or not at all."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from . import _lazarr
from ._context import call, storage_words
from ._layout import Layout, layout_of
from ._sources import from_blocks, source_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    _Choose = Callable[[str, str, tuple[int | None, ...], str], Mapping[str, Any] | None]

__all__ = ["Written", "repair", "write", "write_source"]


@atexit.register
def _wait_for_clearing() -> None:
    # A write to a bucket that was interrupted takes away what it has put there, beside. Ctrl-C leaves it.
    with contextlib.suppress(KeyboardInterrupt):
        while _lazarr.is_clearing():
            time.sleep(0.02)


def _spoken(choose: _Choose | None) -> Callable[[str, str, list[int | None], str], str | None] | None:
    """A choice whose answers are JSON."""
    if choose is None:
        return None

    def answer(path: str, role: str, shape: list[int | None], dtype: str) -> str | None:
        settings = choose(path, role, tuple(shape), dtype)
        return None if settings is None else json.dumps(dict(settings))

    return answer


class Written(NamedTuple):
    """What was written."""

    files: int
    """Chunks and shards, without metadata."""
    bytes: int
    """Their bytes."""
    arrays: int
    """Arrays."""


def write(
    obj: Any,
    path: str | os.PathLike[str],
    *,
    layout: Layout | Mapping[str, Any] | str | None = None,
    zarr_format: Literal[2, 3] | None = None,
    overwrite: bool = False,
    replace: Mapping[str, Any] | None = None,
    drop: Iterable[str] = (),
    choose: _Choose | None = None,
    sync: bool = True,
    resume: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    progress: Callable[[str, int], object] | None = None,
) -> Written:
    """Write anything to a store, which anndata, zarr-python and lazarr read.

    It is read and written block by block, within the memory limit, on all threads. A local store is written
    beside its place and put there at once: whoever opens it sees the old one or the new one, whole, also
    where the process or the machine dies meanwhile. In an object store the documents of the root come last:
    a new store is there whole or not at all, but while one is replaced there is none.

    Parameters
    ----------
    obj
        A lazy object or element, or a selection of one; an ``anndata.AnnData``, a matrix, an array, a table,
        a mapping of these; an iterator of blocks of rows (matrices of scipy, arrays, what
        ``iter_rows`` gives).
    path
        The store that is made: a path, or a URL (``s3://``, ``gs://``, ``az://``).
    layout
        The name of a preset (``"rows"``, ``"genes"``, ``"both"``, ``"random"``, ``"archive"``, ``"viewer"``),
        a :class:`Layout`, or a dictionary of one. Default: ``"rows"``.
    zarr_format
        3, or 2. Default: what the layout says, 3.
    overwrite
        Replace a store that is there.
    replace
        Values for paths: ``{"obsm/X_new": array}``. They stand in the place of what is there, or beside it.
    drop
        Paths that are left out: ``["layers/raw", "uns"]``.
    choose
        Says for each array what holds beyond the layout: called as ``choose(path, role, shape, dtype)``, it
        gives the settings of a rule (``{"chunk": {"items": 4096}}``, see :class:`Layout`) or None. The first
        length of a shape is None where it is not known yet.
    sync
        False: do not wait for the disk. Faster, and not safe from a loss of power.
    resume
        Go on with what an earlier call has left that was ended before its end, and leave what is done where
        this one is (by Ctrl-C, an error, a lost machine). Both ask for the same: the source, the layout, what
        is left out; otherwise it is an error (``LZ0807``), and what was begun stays. Begins where nothing is
        left. In a bucket the element that was under way is written anew. For all but iterators and what
        another library computes.
    storage_options
        Credentials, endpoints and timeouts of a store at a URL, as :func:`open` takes them.
    progress
        Called with the path of the element that is written, and how many of its rows are. What it raises ends
        the writing.

    Returns
    -------
    Written
        The number of files, their bytes, the number of arrays.

    Examples
    --------
    >>> t = adata[adata.obs["cell_type"] == "T cell"]  # doctest: +SKIP
    >>> lz.write(t, "t_cells.zarr", layout="random")
    """
    made = layout_of(layout, zarr_format)
    source = from_blocks(obj, "") if isinstance(obj, Iterator) else source_of(obj)
    if replace:
        source = ("put", source, [(name, source_of(value, name)) for name, value in replace.items()])
    left_out = [drop] if isinstance(drop, str) else list(drop)
    if left_out:
        source = ("without", source, left_out)
    return write_source(
        source,
        os.fspath(path),
        made,
        overwrite=overwrite,
        choose=choose,
        sync=sync,
        resume=resume,
        storage_options=storage_options,
        progress=progress,
    )


def write_source(
    source: Any,
    path: str,
    layout: Layout,
    *,
    overwrite: bool,
    choose: _Choose | None = None,
    sync: bool = True,
    resume: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    progress: Callable[[str, int], object] | None = None,
) -> Written:
    """Writes what :func:`source_of` makes."""
    flags = (overwrite, sync, resume)
    how = (layout.to_json(), flags, storage_words(storage_options), progress, _spoken(choose))
    return Written(*_lazarr.write(source, path, how, *call()))


def repair(path: str | os.PathLike[str], *, dry_run: bool = False, discard: bool = False) -> list[str]:
    """Clear what dead writers have left beside a store, or beside every store in a folder.

    A writer that was killed leaves a hidden folder beside the store it was writing; the store itself is
    whole. What a living writer needs stays, and so does what ``lz.write(..., resume=True)`` could go on with.

    Parameters
    ----------
    path
        A store, or a folder with stores in it.
    dry_run
        Only say what would be cleared.
    discard
        Clear also what could be resumed.

    Returns
    -------
    list of str
        The paths that were (would be) cleared.
    """
    found = _lazarr.repair(os.fspath(path), not dry_run, discard)
    return [left for _, left, busy, resumable in found if not busy and (discard or not resumable)]

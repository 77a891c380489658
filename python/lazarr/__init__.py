"""Open AnnData that is stored in Zarr lazily: know what a read costs, read only what you need.

>>> import lazarr as lz  # doctest: +SKIP
>>> adata = lz.open("atlas.zarr")  # metadata only
>>> t = adata[adata.obs["cell_type"] == "T cell", ["CD3D", "CD8A"]]  # lazy
>>> t.plan()  # what would be read
>>> t.to_memory()  # anndata.AnnData
"""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any, Literal

from . import _lazarr
from ._anndata import AnnData
from ._async import awaited
from ._bridge import bridge, local_path
from ._concat import concat
from ._context import (
    Measurement,
    Report,
    measure,
    open_limits,
    options,
    parse_bytes,
    parse_threads,
    storage_words,
)
from ._edit import Difference, append, diff, write_into
from ._element import Element
from ._errors import (
    InternalError,
    InvalidStoreError,
    KeyNotFoundError,
    KindError,
    LazarrError,
    MemoryLimitError,
    NotConsolidated,
    NotFoundError,
    SelectionError,
    StoreError,
    UnsupportedError,
    explain,
)
from ._frame import Column, DataFrame
from ._kinds import AwkwardElement, BrokenElement, ScalarElement, wrap
from ._layout import Layout
from ._lazarr import Predicate, __version__
from ._limits import Limits
from ._mapping import Mapping, Raw
from ._matrix import DenseElement, SparseElement, StringsElement
from ._optimize import Card, Optimized, optimize
from ._plan import Amount, Plan
from ._store import Store
from ._write import Written, repair, write

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Mapping as _Mapping

__all__ = [
    "Amount",
    "AnnData",
    "AwkwardElement",
    "BrokenElement",
    "Card",
    "Column",
    "DataFrame",
    "DenseElement",
    "Difference",
    "Element",
    "InternalError",
    "InvalidStoreError",
    "KeyNotFoundError",
    "KindError",
    "Layout",
    "LazarrError",
    "Limits",
    "Mapping",
    "Measurement",
    "MemoryLimitError",
    "NotConsolidated",
    "NotFoundError",
    "Optimized",
    "Plan",
    "Predicate",
    "Raw",
    "Report",
    "ScalarElement",
    "SelectionError",
    "SparseElement",
    "StoreError",
    "StringsElement",
    "UnsupportedError",
    "Written",
    "__version__",
    "append",
    "concat",
    "diff",
    "explain",
    "measure",
    "open",
    "open_async",
    "optimize",
    "options",
    "repair",
    "write",
    "write_into",
]

if not _lazarr.OPTIMISED:
    warnings.warn(
        "this lazarr was built without optimisation and is many times slower: "
        "build with `maturin develop --release`",
        RuntimeWarning,
        stacklevel=2,
    )


_told: set[str] = set()


def open(  # noqa: A001 - it is called as lazarr.open
    path: str | os.PathLike[str] | Any,
    *,
    memory_limit: int | str | None = None,
    threads: int | None = None,
    missing: Literal["error", "fill"] = "error",
    limits: Limits | _Mapping[str, int | str] | None = None,
    names: Iterable[str] = (),
    follow_links: bool = False,
    listing: bool = True,
    storage_options: _Mapping[str, Any] | None = None,
    zarr_format: Literal[2, 3] | None = None,
    audit: bool = False,
) -> Any:
    """Open a store. Only metadata is read.

    Parameters
    ----------
    path
        An AnnData in Zarr, an element in one (``"atlas.zarr/obsm/X_pca"``), or any Zarr array; a directory,
        or a ``.zip`` archive of one; a path, or a URL: ``s3://``, ``gs://``, ``az://``, ``http(s)://``.
        Or a store of another package, at the speed of Python: an obstore store, a zarr store, group or array
        (a local directory is read from its path), an fsspec mapping, a mapping of keys to bytes.
    memory_limit
        Bytes (or ``"2GiB"``) by which a call may let the process grow. Default: half of what is free.
    threads
        Threads that fetch and decode. Default: the processors that this process may use.
    missing
        What an absent chunk is where the fill value cannot be right (values of a sparse matrix, names):
        ``"error"``, or ``"fill"`` for the fill value all the same.
    limits
        Bounds on what the metadata may ask for, where they differ from their defaults:
        ``{"nodes": 1_000_000}``, see :class:`Limits`. What goes beyond is the error ``LZ0206``.
    names
        Paths of elements that a store which cannot be listed is asked for: ``["obsm/X_pca"]``. Its other
        names are those that AnnData must have. Such a store needs none where its metadata is consolidated.
    follow_links
        Follow symbolic links that lead out of the store; they are refused otherwise.
    listing
        False: behave as a store that cannot list its keys, as a plain web server.
    storage_options
        Credentials, endpoints and timeouts of a store at a URL, as obstore and object_store name them:
        ``{"region": "eu-central-1", "skip_signature": True}``. What is not given comes from the environment.
        Beside these: ``max_retries``, ``retry_timeout``, ``read_timeout``, ``allow_redirects``, ``slots``,
        ``cache_dir`` and ``cache_bytes`` (what was read is kept on the local disk, and used while its ETag
        holds), and ``latency`` and ``bandwidth`` for plans; ``username``, ``password``, ``bearer_token`` and
        ``header.NAME`` for ``http(s)://``. Secrets are never shown, and do not go into pickles.
    zarr_format
        The format of the store, where it is known: a store of format 2 then opens with one request.
    audit
        For tests: a read that no plan named is an error.

    Returns
    -------
    AnnData or Element
        :class:`AnnData` for a whole object; else the class of the element's kind. None for a stored null.
    """
    if zarr_format not in {None, 2, 3}:
        msg = f"zarr_format is 2 or 3, not {zarr_format!r}"
        raise ValueError(msg)
    if missing not in {"error", "fill"}:
        msg = f"missing is 'error' or 'fill', not {missing!r}"
        raise ValueError(msg)
    asked = () if isinstance(names, str) else tuple(names)
    if isinstance(names, str) or not all(isinstance(name, str) for name in asked):
        msg = "names are paths of elements, such as ['obsm/X_pca']"
        raise TypeError(msg)
    place = path if isinstance(path, str | bytes | os.PathLike) else local_path(path) or path
    store = Store(
        os.fsdecode(place) if isinstance(place, str | bytes | os.PathLike) else bridge(place),
        parse_bytes(memory_limit),
        parse_threads(threads),
        missing,
        audit,
        follow_links,
        open_limits(Limits.of(limits)).items_given(),
        asked,
        listing,
        storage_words(storage_options),
        zarr_format,
    )
    for notice in store.session.notices:
        # Each names its store: once for each store is once for each text.
        if notice not in _told:
            _told.add(notice)
            warnings.warn(notice, NotConsolidated, stacklevel=2)
    root = store.session.root()
    if root.kind == "anndata":
        return AnnData(store.session.anndata(root.path), store)
    return wrap(root, store)


async def open_async(path: str | os.PathLike[str] | Any, **kwargs: Any) -> Any:
    """As :func:`open`, awaited: cancelling the task ends it.

    >>> adata = await lz.open_async("https://example.org/atlas.zarr")  # doctest: +SKIP
    >>> rows = await adata.X[:100].to_memory_async()  # doctest: +SKIP
    """
    return await awaited(open, path, **kwargs)

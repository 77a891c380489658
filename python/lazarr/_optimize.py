"""A store anew for a purpose, and a card of what that changed, measured on both."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import _lazarr
from ._context import call, human_bytes
from ._errors import type_error
from ._write import Written, write

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ._layout import Layout

__all__ = ["Card", "Optimized", "optimize"]


@dataclass(frozen=True)
class Card:
    """What reading a store takes, measured: the best of three calls, after one that is not counted."""

    seconds: dict[str, float]
    """Seconds by what was read: ``1,000 rows``, ``random rows``, ``one gene``, ``all of X``."""
    bytes: int | None
    """Bytes of the store; None where it is not on the disk."""
    files: int | None
    """Files of the store; None where it is not on the disk."""

    @classmethod
    def _of(cls, adata: Any) -> Card:
        seconds, size = _lazarr.card(adata._native, *call())  # noqa: SLF001 - the private half
        return cls(dict(seconds), *(size or (None, None)))


@dataclass(frozen=True)
class Optimized:
    """What :func:`optimize` has written, and what that changed."""

    path: str
    """The store that was made."""
    seconds: float
    """What writing it took."""
    written: Written
    """Files, bytes, arrays."""
    before: Card
    """What reading took before."""
    after: Card
    """And what it takes now."""

    def rows(self) -> list[tuple[str, str, str]]:
        """The card as text: what, before, after."""

        def size(card: Card) -> str:
            return "?" if card.bytes is None else human_bytes(card.bytes)

        def files(card: Card) -> str:
            return "?" if card.files is None else f"{card.files:,}"

        pairs = [(name, s, self.after.seconds[name]) for name, s in self.before.seconds.items()]
        lines = [(name, f"{a * 1e3:,.1f} ms", f"{b * 1e3:,.1f} ms") for name, a, b in pairs]
        lines.append(("size", size(self.before), size(self.after)))
        return [*lines, ("files", files(self.before), files(self.after))]

    def __str__(self) -> str:
        lines = [f"{name:<16} {a:>14} {b:>14}" for name, a, b in [("", "before", "after"), *self.rows()]]
        return "\n".join([f"{self.path}: written in {self.seconds:.1f} s", *lines])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from ._html import escape, table

        head = f"<div>{escape(self.path)}: written in {self.seconds:.1f} s</div>"
        return head + table(["", "before", "after"], [list(row) for row in self.rows()])


def optimize(
    store: Any,
    path: str | os.PathLike[str],
    layout: Layout | Mapping[str, Any] | str = "rows",
    *,
    overwrite: bool = False,
    resume: bool = False,
    progress: Callable[[str, int], object] | None = None,
) -> Optimized:
    """Write a store anew for a purpose, and measure both: rows, random rows, a gene, everything.

    Parameters
    ----------
    store
        A path, what :func:`open` takes, or what it gives.
    path
        The store that is made: a path.
    layout
        The name of a preset: ``"rows"``, ``"genes"``, ``"both"``, ``"random"``, ``"archive"``, ``"viewer"``;
        or what :func:`write` takes.
    overwrite
        Replace a store that is there.
    resume
        Go on with what an earlier call has left, as in :func:`write`.
    progress
        Called with the path of the element that is written, and how many of its rows are.

    Returns
    -------
    Optimized
        What was written, and the measured card, which shows itself.

    Examples
    --------
    >>> lz.optimize("atlas.zarr", "training.zarr", "random")  # doctest: +SKIP
    """
    import lazarr

    from ._anndata import AnnData
    from ._element import Element

    adata = store if isinstance(store, AnnData | Element) else lazarr.open(store)
    if not isinstance(adata, AnnData):
        msg = f"a whole AnnData is optimized, and this is {adata!r}: lz.write(element, path, layout=...)"
        raise type_error(msg)
    before = Card._of(adata)  # noqa: SLF001 - the private half
    start = time.perf_counter()
    written = write(adata, path, layout=layout, overwrite=overwrite, resume=resume, progress=progress)
    seconds = time.perf_counter() - start
    after = Card._of(lazarr.open(path))  # noqa: SLF001 - the private half
    return Optimized(os.fspath(path), seconds, written, before, after)

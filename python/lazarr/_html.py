"""How lazy objects show themselves in a notebook: sections that fold, no script, nothing read.

Names come from stores that nobody vouches for: everything is escaped.
"""

# ruff: noqa: SLF001 - the private half of objects
from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from . import _repr
from ._context import human_bytes, printable
from ._errors import LazarrError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._anndata import AnnData
    from ._element import Element

_TABLE = 'style="border-collapse:collapse;margin:.2em 0 .4em 1.4em;font-size:90%"'
_CELL = 'style="text-align:left;padding:.1em .9em .1em 0;vertical-align:top"'
_ROWS = 200
"""Rows of a section that are shown."""


def escape(text: Any) -> str:
    """Text that is no markup and steers nothing."""
    from html import escape as html_escape  # its tables take longer to import than the rest of the package

    return html_escape(printable(str(text)), quote=True)


def table(head: Iterable[str], rows: list[list[Any]]) -> str:
    """Rows of text."""
    lines = [f"<th {_CELL}>{escape(name)}</th>" for name in head]
    out = [f"<table {_TABLE}><thead><tr>{''.join(lines)}</tr></thead><tbody>"]
    out += [f"<tr>{''.join(f'<td {_CELL}>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows[:_ROWS]]
    if len(rows) > _ROWS:
        out.append(f"<tr><td {_CELL}>and {len(rows) - _ROWS:,} more</td></tr>")
    return "".join([*out, "</tbody></table>"])


def section(title: str, note: str, body: str, *, unfolded: bool = False) -> str:
    """A part that folds."""
    head = f"<strong>{escape(title)}</strong> <span style='opacity:.75'>{escape(note)}</span>"
    if not body:
        return f"<div style='margin-left:1em'>{head}</div>"
    return f"<details{' open' if unfolded else ''}><summary>{head}</summary>{body}</details>"


_FILES = 2_000
"""So many files of an array are asked for their sizes."""


def _on_disk(element: Any, path: str) -> str:
    """What an array takes in a local store, by the sizes of its files; they are not opened."""
    session = element._store.session
    if element._store.bridged is not None or "://" in session.url or not os.path.isdir(session.url):
        return "not known"
    try:
        stored = session.stored(path, _FILES)
    except (LazarrError, OSError):
        return "not known"
    return "not known" if stored is None else human_bytes(stored)


def _arrays(element: Any) -> str:
    """The stored arrays of an element."""
    rows = []
    for array in element._native.arrays():
        times = " × ".join
        inner = times(f"{n:,}" for n in array["inner"])
        outer = times(f"{n:,}" for n in array["chunks"]) if array["shards"] else ""
        size = array["decoded_bytes"]
        rows.append(
            [
                array["path"],
                array["dtype"],
                times(f"{n:,}" for n in array["shape"]) or "one value",
                inner,
                outer,
                array["codec"],
                _on_disk(element, array["path"]),
                "" if size is None else human_bytes(size),
            ]
        )
    return (
        table(["array", "dtype", "shape", "chunks", "shards", "codec", "on disk", "in memory"], rows)
        if rows
        else ""
    )


def element(x: Element) -> str:
    """An element."""
    if type(x).__name__ == "Mapping":
        return _page(section(f"lazarr.Mapping {x.path or '/'}", _count(x), _children(x), unfolded=True))
    chosen = x._native.describe_selection()
    selected = "" if x._native.is_whole or not chosen else f"; selected {chosen}"
    title = f"lazarr.{type(x).__name__} {x.path or '/'}"
    return _page(section(title, _repr.line(x) + selected, _inside(x), unfolded=True))


def _inside(x: Any) -> str:
    kind = type(x).__name__
    if kind == "DataFrame":
        rows = [[name, _repr.dtype_name(x._column_dtype(name))] for name in list(x.columns)[: _ROWS + 1]]
        return table(["column", "dtype"], rows) if rows else ""
    if kind in {"Mapping", "Raw", "AnnData"} or x is None or kind == "BrokenElement":
        return ""
    return _arrays(x)


def _count(mapping: Any) -> str:
    unknown = f", {_repr.unknown_keys(len(mapping))}" if mapping._unlisted() else ""
    return f"{len(mapping)} {'element' if len(mapping) == 1 else 'elements'}{unknown}"


def _children(mapping: Any) -> str:
    return "".join(
        f"<div style='margin-left:1.2em'>{section(name, _repr.line(x), _inside(x))}</div>"
        for name, x in ((name, mapping[name]) for name in list(mapping)[:_ROWS])
    )


def anndata(x: AnnData) -> str:
    """A whole object."""
    lines = repr(x).split("\n")
    parts = []
    places = dict(x._places())
    for place in ("X", "obs", "var", "layers", "obsm", "varm", "obsp", "varp", "uns", "raw"):
        value = getattr(x, place) if place in places else None
        if value is None or (type(value).__name__ == "Mapping" and not len(value) and not value._unlisted()):
            continue
        if type(value).__name__ == "Mapping":
            parts.append(section(place, _count(value), _children(value)))
        elif place == "raw":
            parts.append(section(place, _repr.line(value.X), _inside(value.X)))
        else:
            parts.append(section(place, _repr.line(value), _inside(value), unfolded=place == "X"))
    selected = f"<div style='margin-left:1em'>{escape(lines[1].strip())}</div>" if x.is_view else ""
    return _page(f"<div><strong>{escape(lines[0])}</strong></div>{selected}{''.join(parts)}")


def _page(body: str) -> str:
    return f"<div style='font-family:monospace;line-height:1.5'>{body}</div>"

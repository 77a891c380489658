"""How lazy objects show themselves. Nothing here reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._context import human_bytes

if TYPE_CHECKING:
    from . import _lazarr
    from ._anndata import AnnData
    from ._element import Element

_SIGNS = {"exact": "", "upper": "≤ ", "estimate": "≈ "}
_WIDE = 12
"""Columns that are listed one by one."""


def size(native: _lazarr.Lazy) -> str:
    """How large it is once decoded: ``612 MB``."""
    count, mark = native.decoded_bytes()
    return f"{_SIGNS.get(mark, '')}{human_bytes(count)}"


def shape(lengths: tuple[int | None, ...]) -> str:
    """``50,000 × 20,000``; a length that is not known is ``?``."""
    return " × ".join("?" if n is None else f"{n:,}" for n in lengths)


def dtype_name(dtype: Any) -> str:
    """The name of a type, short."""
    if dtype is None:
        return ""
    if isinstance(dtype, str):
        return dtype
    if dtype.names is not None:
        return f"records of {len(dtype.names)}"
    return "str" if dtype.kind == "T" else str(dtype)


def chunks(native: _lazarr.Lazy) -> str:
    """How its largest array is cut."""
    arrays = native.arrays()
    if not arrays:
        return ""
    largest = max(arrays, key=lambda a: a["decoded_bytes"] or 0)
    outer = " × ".join(f"{n:,}" for n in largest["chunks"])
    if not outer:
        return ""
    if largest["shards"]:
        inner = " × ".join(f"{n:,}" for n in largest["inner"])
        return f"chunks {inner} in shards {outer}"
    return f"chunks up to {outer}" if largest["rectilinear"] else f"chunks {outer}"


def line(x: Any) -> str:
    """One line about an element."""
    if x is None:
        return "None"
    native = getattr(x, "_native", None)
    if type(x).__name__ == "BrokenElement":
        return f"cannot be read: {x.error}"
    if type(x).__name__ == "Mapping":
        keys = [repr(name) for name in x]
        keys += [unknown_keys(len(keys))] if x._unlisted() else []  # noqa: SLF001
        return "{" + ", ".join(keys) + "}"
    if type(x).__name__ in {"AnnData", "Raw"}:
        return f"{type(x).__name__} ({shape(x.shape)})"
    parts = [
        getattr(x, "format", None)
        or {"DataFrame": "table", "AwkwardElement": "awkward"}.get(type(x).__name__, "")
    ]
    if x.shape:
        parts.append(f"({shape(x.shape)})")
    parts.append(dtype_name(x.dtype))
    if getattr(x, "nnz", None) is not None:
        parts.append(f"{x.nnz:,} stored")
    text = " ".join(p for p in parts if p)
    if native is None:
        return text
    more = ", ".join(p for p in (chunks(native), size(native)) if p)
    return f"{text}, {more}" if more else text


def element(x: Element) -> str:
    """What an element is, in a line or two."""
    native = x._native  # noqa: SLF001
    head = f"<lazarr.{type(x).__name__} {x.path or '/'}: {line(x)}"
    chosen = native.describe_selection()
    whole = native.is_whole or not chosen
    return f"{head}>" if whole else f"{head}; selected {chosen}>"


def unknown_keys(known: int) -> str:
    """What to say of a mapping whose keys cannot be listed."""
    return f"{'other ' if known else ''}keys not known: pass names=[...] or open by path"


def columns(x: Any) -> str:
    """The columns of a table with their types."""
    names = list(x.columns)
    shown = [f"'{n}' {dtype_name(x._column_dtype(n))}" for n in names[:_WIDE]]  # noqa: SLF001
    rest = [f"'{n}'" for n in names[_WIDE:]]
    return ", ".join(shown + rest)


def anndata(x: AnnData) -> str:
    """As anndata shows an object, with types, chunks and sizes."""
    n_obs, n_vars = x.shape
    head = "View of lazy AnnData object" if x.is_view else "Lazy AnnData object"
    counts = " × ".join("?" if n is None else str(n) for n in (n_obs, n_vars))
    lines = [f"{head} with n_obs × n_vars = {counts}"]
    places = dict(x._places())  # noqa: SLF001
    if x.is_view:
        obs, var = x._describe()  # noqa: SLF001
        lines.append(f"    selected {obs}, {var}")
    for place in ("X", "obs", "var", "uns", "obsm", "varm", "layers", "obsp", "varp", "raw"):
        if place not in places:
            continue
        value = getattr(x, place)
        if place in {"obs", "var"}:
            text = columns(value) if type(value).__name__ == "DataFrame" else line(value)
        elif place == "raw":
            text = "" if value is None else f"{shape(value.shape)}; X {line(value.X)}"
        elif place == "X":
            text = "" if value is None else line(value)
        elif place == "uns":
            keys = [f"'{k}'" for k in value]
            keys += [unknown_keys(len(keys))] if value._unlisted() else []  # noqa: SLF001
            text = ", ".join(keys)
        else:
            text = "".join(f"\n        '{k}': {line(value[k])}" for k in value)
            if value._unlisted():  # noqa: SLF001
                text += f"\n        {unknown_keys(len(value))}" if text else unknown_keys(0)
        if text:
            lines.append(f"    {place}:{'' if text.startswith(chr(10)) else ' '}{text}")
    return "\n".join(lines)


def html(text: str) -> str:
    """A representation for notebooks: the first line, and the rest to unfold."""
    from html import escape  # its tables of entities take longer to import than the rest of the package

    first, _, rest = text.partition("\n")
    if not rest:
        return f"<pre>{escape(first)}</pre>"
    head, body = escape(first), escape(rest)
    return f"<details open><summary><code>{head}</code></summary><pre>{body}</pre></details>"

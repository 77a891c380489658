"""A whole object as anndata.AnnData over arrays of Dask."""

# ruff: noqa: SLF001 - the private half of objects
from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from . import _convert
from ._context import call, note_plan
from ._element import Element, dask_module
from ._errors import type_error
from ._matrix import DenseElement, SparseElement, StringsElement
from ._namespace import register
from ._plan import Plan

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._anndata import AnnData

__all__ = ["plan_to_dask", "to_dask"]

_AXES = ("layers", "obsm", "varm", "obsp", "varp")


def arrays(adata: AnnData) -> dict[str, Element]:
    """The elements that become arrays of Dask, by path: what is numbers along an axis."""
    found = {"X": adata.X} if adata.X is not None else {}
    found |= {f"{place}/{name}": x for place in _AXES for name, x in getattr(adata, place).items()}
    raw = adata.raw
    if raw is not None and getattr(raw, "X", None) is not None:
        found["raw/X"] = raw.X
    return {path: x for path, x in found.items() if _is_array(x)}


def _is_array(x: Any) -> bool:
    return isinstance(x, SparseElement | DenseElement) and not isinstance(x, StringsElement) and x.ndim > 0


def _columns(adata: AnnData, place: str, names: Iterable[str] | None) -> list[str]:
    if isinstance(names, str):
        msg = f"{place} takes a list of columns: {place}=[{names!r}]"
        raise type_error(msg)
    table = getattr(adata, place)
    # A table that cannot be read is its own error.
    chosen = list(table.columns) if names is None else list(table[list(names)].columns)
    return [f"{place}/{name}" for name in chosen]


def _in_memory(
    adata: AnnData, obs: Iterable[str] | None, var: Iterable[str] | None, lazy: dict[str, Element]
) -> list[str]:
    """The elements that are read at once: chosen columns, uns, and what beside the axes is no array."""
    paths = [*_columns(adata, "obs", obs), *_columns(adata, "var", var)]
    if len(adata.uns):
        paths.append("uns")
    paths += [f"{place}/{name}" for place in _AXES for name in getattr(adata, place)]
    return [path for path in paths if path not in lazy]


def _refuse_transposed(adata: AnnData) -> None:
    if adata._transposed:
        msg = (
            "a transposed object is stored the other way round, and blocks are cut along the stored rows: "
            "adata.T.to_dask().T"
        )
        raise type_error(msg)


def plan_to_dask(
    adata: AnnData, obs: Iterable[str] | None, var: Iterable[str] | None, *, resolve: bool
) -> Plan:
    """What calling :func:`to_dask` reads."""
    _refuse_transposed(adata)
    lazy = arrays(adata)
    plan = Plan(*adata._native.plan_cuts(_in_memory(adata, obs, var, lazy), list(lazy), resolve, *call()))
    note_plan(plan)
    return plan


def to_dask(
    adata: AnnData,
    chunk_bytes: int | None,
    obs: Iterable[str] | None,
    var: Iterable[str] | None,
    *,
    load_annotation_index: bool = True,
) -> Any:
    """The object over arrays of Dask; tables and `uns` are read."""
    dask, ad = dask_module(), _convert.anndata()
    register()
    _refuse_transposed(adata)
    adata.resolve()
    lazy = arrays(adata)
    parts = adata._collect_places(_in_memory(adata, obs, var, lazy), nameless=not load_annotation_index)
    adata._trim_parts(parts, None)
    adata._check_tables(parts)
    if not load_annotation_index:
        for place, beside in (("obs", "obsm"), ("var", "varm")):
            tables = [x for x in (parts.get(beside) or {}).values() if hasattr(x, "columns")]
            for table in [parts[place], *tables]:
                table.index = table.index.astype(str)
    for path, element in lazy.items():
        _warn_of_csc(path, element)
        place, _, name = path.partition("/")
        array = dask.to_dask(element, chunk_bytes)
        if place == "X":
            parts["X"] = array
        elif place != "raw":
            parts.setdefault(place, {})[name] = array
        else:
            raw: Any = adata.raw
            varm = {key: raw.varm[key].to_memory() for key in raw.varm}
            parts["raw"] = {"X": array, "var": raw.var.to_memory(), "varm": varm}
    known = {"X", "obs", "var", "uns", "raw", *_AXES}
    return ad.AnnData(**{k: v for k, v in parts.items() if k in known and v is not None})


def _warn_of_csc(path: str, element: Element) -> None:
    if isinstance(element, SparseElement) and element.format == "csc" and path in {"X", "raw/X"}:
        warnings.warn(
            f"{path} is stored as csc: each block of rows goes through all of it. To work on it in blocks, "
            "store it as csr; to work on few genes, read them: adata[:, genes].to_memory()",
            stacklevel=4,
        )

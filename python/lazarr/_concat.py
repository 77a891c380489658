"""Lazy objects one below the other."""

# ruff: noqa: SLF001 - the private half of objects
from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from . import _convert, _lazarr
from ._anndata import AnnData
from ._context import call
from ._errors import type_error
from ._store import Composite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ._store import Store

__all__ = ["concat"]

_How = tuple[bool, str | None, list[str] | None, str | None, float | None]


def concat(
    adatas: Iterable[AnnData] | Mapping[str, AnnData],
    *,
    axis: Literal["obs", 0] = "obs",
    join: Literal["inner", "outer"] = "inner",
    merge: Literal["same", "unique", "first", "only"] | Callable[..., Any] | None = None,
    uns_merge: Literal["same", "unique", "first", "only"] | Callable[..., Any] | None = None,
    label: str | None = None,
    keys: Iterable[Any] | None = None,
    index_unique: str | None = None,
    fill_value: float | None = None,
) -> AnnData:
    """The cells of several lazy objects as one lazy object, as ``anndata.concat`` has them.

    Read now: the names of the genes of each part (those of raw, too), what the parts' selections need, and
    the categories of columns whose categories have an order. With `merge` also var, varm and varp of each
    part, with `uns_merge` uns. Nothing else, until something is asked for.

    Parts may be views, of any stores. What is read of them is read under one plan and one memory limit.

    Parameters
    ----------
    adatas
        Lazy objects; as a mapping, its keys are `keys`.
    axis
        ``"obs"``, or 0: cells below cells. There is no other yet.
    join
        ``"inner"``: the genes, layers, columns and elements of obsm that all parts have; ``"outer"``: that
        any has.
    merge, uns_merge
        What comes of var, varm, varp (of uns), as in anndata: None drops them, ``"same"`` keeps what is the
        same in all parts, ``"unique"`` what has one value, ``"first"`` the first, ``"only"`` what one has.
    label, keys
        The name of a categorical column of obs that says which part a cell is of, and the names of the parts;
        these are 0, 1, 2, … by default.
    index_unique
        What stands between the name of a cell and the key of its part. None: names stay as they are.
    fill_value
        What a matrix has where a part has no such gene. None: NaN, and 0 in what is sparse.

    Returns
    -------
    AnnData
        A lazy object. Sparse matrices are csr, whatever the parts are.
    """
    if axis not in {0, "obs"}:
        msg = f"lazy objects are concatenated along obs: axis='obs' or 0, not {axis!r}"
        raise type_error(msg)
    if join not in {"inner", "outer"}:
        msg = f"join is 'inner' or 'outer', not {join!r}"
        raise ValueError(msg)
    if isinstance(adatas, Mapping):
        if keys is not None:
            msg = "keys are given twice: as those of the mapping, and as keys="
            raise type_error(msg)
        keys, adatas = list(adatas), list(adatas.values())
    parts: list[Any] = list(adatas)
    if not parts:
        msg = "there is nothing to concatenate"
        raise ValueError(msg)
    for k, part in enumerate(parts):
        if not isinstance(part, AnnData):
            msg = (
                f"part {k} is a {type(part).__module__}.{type(part).__name__}, and no lazy object: "
                "anndata.concat concatenates what is in memory"
            )
            raise type_error(msg)
        if part._transposed:
            msg = f"part {k} is transposed, and rows are concatenated as they are stored"
            raise type_error(msg)
    names = None if keys is None else [str(key) for key in keys]
    has_raw = [part.raw is not None for part in parts]
    if any(has_raw) and not all(has_raw):
        warnings.warn("only some parts have raw: it is left out", stacklevel=2)
    how = (join == "outer", label, names, index_unique, None if fill_value is None else float(fill_value))
    natives = [part._native for part in parts]
    native = _lazarr.LazyAnnData.concat(natives, *how, *call())
    states = [native_.state() for native_ in natives]
    stores = tuple(part._store for part in parts)
    store = Composite(stores, _again, (states, how), native.session)
    whole = AnnData(native, store)
    if merge is None and uns_merge is None:
        return whole
    return _merged(whole, parts, join, merge, uns_merge)


def _again(stores: tuple[Store, ...], states: list[str], how: _How) -> Any:
    """The session of a concatenation, in another process."""
    parts = [
        _lazarr.LazyAnnData.from_state(store.session, state)
        for store, state in zip(stores, states, strict=True)
    ]
    return _lazarr.LazyAnnData.concat(parts, *how, *call()).session


def _merged(whole: AnnData, parts: list[AnnData], join: Any, merge: Any, uns_merge: Any) -> AnnData:
    """With what stands beside the genes, as anndata merges it; it is small, and read now."""
    ad, pd = _convert.anndata(), _convert.pandas()
    beside = []
    for part in parts:
        own: dict[str, Any] = {"obs": pd.DataFrame(index=pd.Index([], dtype=str))}
        if merge is None:
            own["var"] = pd.DataFrame(index=pd.Index(part.var_names.to_memory()))
        else:
            # What a view does not show is kept, as in obs.
            own["var"] = part.var.to_memory(remove_unused_categories=False)
            own["varm"] = {name: x.to_memory() for name, x in part.varm.items()}
            own["varp"] = {name: x.to_memory() for name, x in part.varp.items()}
        if uns_merge is not None:
            own["uns"] = part.uns.to_memory()
        beside.append(ad.AnnData(**own))
    merged = ad.concat(beside, join=join, merge=merge, uns_merge=uns_merge)
    out = whole
    if merge is not None:
        out = out.with_var(merged.var) if len(merged.var.columns) else out
        out = out.with_varm(dict(merged.varm)).with_varp(dict(merged.varp))
    return out.with_uns(dict(merged.uns)) if uns_merge is not None else out

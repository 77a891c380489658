"""anndata's references (``A.X[:, "gene"]``, ``A.obs["batch"]``) as indices of a lazy object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._errors import index_error

if TYPE_CHECKING:
    from ._anndata import AnnData

__all__ = ["is_reference", "resolve"]


def is_reference(item: Any) -> bool:
    """Whether this is a reference of anndata.acc; nothing is imported for that."""
    return any(cls.__module__ == "anndata.acc" for cls in type(item).__mro__)


def resolve(adata: AnnData, ref: Any) -> Any:
    """The lazy element, or the part of it, that a reference names."""
    acc = getattr(ref, "acc", ref)
    whole = acc is ref
    index: Any = None if whole else ref.idx
    kinds = {cls.__name__ for cls in type(acc).__mro__}
    if "LayerAcc" in kinds:
        view = adata if whole else adata[index]
        return view.X if acc.k is None else view.layers[acc.k]
    if "MetaAcc" in kinds:
        table = getattr(adata, acc.dim)
        return table if whole else table.index if index is None else table[index]
    if "MultiAcc" in kinds:
        element = getattr(adata, f"{acc.dim}m")[acc.k]
        return element if whole else element[:, index]
    if "GraphAcc" in kinds:
        element = getattr(adata, f"{acc.dim}p")[acc.k]
        # One axis after the other: both are the names of the same cells (or genes).
        return element if whole else element[index[0], :][:, index[1]]
    msg = f"{ref!r} names no element: index one, A.obsm['X_pca'], A.layers['counts']"
    raise index_error(msg)

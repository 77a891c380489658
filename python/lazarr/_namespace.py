"""``adata.lazarr`` of an anndata.AnnData over arrays of lazarr's."""

from __future__ import annotations

import sys
from typing import Any

from ._errors import KeyNotFoundError, type_error

__all__ = ["Namespace", "register"]

_done = False


class Namespace:
    """What lazarr knows of an object that :meth:`lazarr.AnnData.to_dask` made, and of its views."""

    def __init__(self, adata: Any) -> None:
        self._adata = adata

    def element(self, path: str = "X") -> Any:
        """The lazy element of an array, with what is selected of it.

        Parameters
        ----------
        path
            ``"X"``, ``"layers/counts"``, ``"obsm/X_pca"``, ``"raw/X"``.
        """
        place, _, name = path.partition("/")
        found: Any = getattr(self._adata, place, None)
        if place == "raw" and found is not None:
            found = found.X
        elif name:
            found = found.get(name) if hasattr(found, "get") else None
        if found is None:
            msg = f"there is no {path!r} in this object"
            raise KeyNotFoundError(msg, code="LZ0501", element=path)
        element = getattr(found, "element", None)
        if element is None or not hasattr(element, "plan"):
            msg = (
                f"{path} is {type(found).__name__} and not what was read any more: "
                "a plan is of arrays that were only sliced"
            )
            raise type_error(msg)
        return element

    def plan(self, path: str = "X", *, resolve: bool = False) -> Any:
        """What computing an array would read.

        Parameters
        ----------
        path
            ``"X"``, ``"layers/counts"``, ``"obsm/X_pca"``, ``"raw/X"``.
        resolve
            Make the small reads that exact numbers need.
        """
        return self.element(path).plan(resolve=resolve)


def register() -> None:
    """Makes the namespace known to anndata, where it is imported and has namespaces."""
    global _done  # noqa: PLW0603 - once a process
    ad = sys.modules.get("anndata")
    decorate = getattr(ad, "register_anndata_namespace", None)
    if _done or decorate is None:
        return
    _done = True

    # anndata looks at the annotation, which cannot be written down while anndata is not imported.
    Namespace.__init__.__annotations__["adata"] = ad.AnnData  # type: ignore[union-attr]
    decorate("lazarr")(Namespace)

"""Makes anndata treat our arrays of Dask as Dask's own: it finds writers and views by the exact type."""

# ruff: noqa: SLF001 - anndata has no public way to say it
from __future__ import annotations

import sys
from typing import Any

__all__ = ["register"]

_done = False


def register(array: Any, plain: type) -> None:
    """Where anndata is imported, gives `array` what `plain` has there: writers, and a class for views."""
    global _done  # noqa: PLW0603 - once a process
    if _done or "anndata" not in sys.modules:
        return
    _done = True
    try:
        from anndata._core import views
        from anndata._io.specs import registry

        view = _view_class(views.DaskArrayView, array)
        as_view: Any = views.as_view
        as_view.register(array)(view._of)
        known: Any = registry._REGISTRY
        for ours, theirs in ((array, plain), (view, views.DaskArrayView)):
            for source, spec in list(known.write_specs.items()):
                if (own := _own(source, ours, theirs)) is not None:
                    known.write_specs.setdefault(own, spec)
            for (to, source, modifiers), write in list(known.write.items()):
                if (own := _own(source, ours, theirs)) is not None:
                    known.write.setdefault((to, own, modifiers), write)
    except (ImportError, AttributeError, TypeError, ValueError):
        # anndata has moved them: it says itself what it cannot write, and its views are arrays of Dask's own.
        return


def _view_class(theirs: Any, array: Any) -> Any:
    """The array in a view of an object: writing to it makes the view an object of its own."""

    def of(cls: Any, x: Any, view_args: Any) -> Any:
        made = cls(x, view_args)
        made._own = x._own
        return made

    return type("LazyArrayView", (theirs, array), {"_of": classmethod(of), "__module__": __name__})


def _own(source: Any, ours: type, theirs: type) -> Any:
    """The key of our class, where this is one of theirs: the class, or the class and what is in it."""
    if source is theirs:
        return ours
    if isinstance(source, tuple) and source and source[0] is theirs:
        return (ours, *source[1:])
    return None

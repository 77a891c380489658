"""Makes anndata write our arrays of Dask as it writes Dask's own: its writers are found by the exact type."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["register"]

_done = False


def register(array: type, plain: type) -> None:
    """Where anndata is imported, gives `array` the writers that `plain` has there."""
    global _done  # noqa: PLW0603 - once a process
    if _done or "anndata" not in sys.modules:
        return
    _done = True
    try:
        from anndata._io.specs import registry

        known: Any = registry._REGISTRY  # noqa: SLF001 - there is no public way to say it
        for (to, source, modifiers), write in list(known.write.items()):
            if (ours := _ours(source, array, plain)) is not None:
                known.write.setdefault((to, ours, modifiers), write)
        for source, spec in list(known.write_specs.items()):
            if (ours := _ours(source, array, plain)) is not None:
                known.write_specs.setdefault(ours, spec)
    except (ImportError, AttributeError, TypeError, ValueError):
        # anndata has moved them: writing says itself what it cannot, and `x.map_blocks(...)` is Dask's own.
        return


def _ours(source: object, array: type, plain: type) -> object:
    if source is plain:
        return array
    if isinstance(source, tuple) and source and source[0] is plain:
        return (array, *source[1:])
    return None

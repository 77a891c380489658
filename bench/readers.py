"""All readers, in the order of the tables."""

from __future__ import annotations

from engines import PIPELINES, Eager, Engine, Lazarr, LazarrArrow, ReadLazy, SparseDataset
from others import Cellstream


def engines() -> list[Engine]:
    """Each by its name."""
    return [
        Lazarr("lazarr"),
        LazarrArrow("lazarr to_arrow, pyarrow to_pandas"),
        *(ReadLazy(p) for p in PIPELINES),
        *(SparseDataset(p) for p in PIPELINES),
        *(Eager(p) for p in PIPELINES),
        Cellstream("cellstream"),
    ]

"""Stores of zarr-python, as the engine asks them: for stores that it has no reader of its own for.

A local directory that zarr has open is read by the engine itself, from its path.
"""

from __future__ import annotations

import os
from typing import Any

__all__ = ["ZarrStore", "place_of"]

_METADATA = {"zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata"}


def place_of(target: Any) -> str | ZarrStore | None:
    """Where a group, an array or a store of zarr-python is: a path, or a store to ask; else None."""
    store_path = getattr(target, "store_path", None)
    store, path = (target, "") if store_path is None else (store_path.store, store_path.path)
    if not (hasattr(store, "list_dir") and hasattr(store, "get")):
        return None
    if type(store).__module__.startswith("zarr.") and type(store).__name__ == "LocalStore":
        root = os.fspath(store.root)
        return os.path.join(root, path) if path else root
    return ZarrStore(store, path)


class ZarrStore:
    """A store of zarr-python, below a path in it. Equal names are taken for the same store."""

    __slots__ = ("name", "prefix", "store")

    def __init__(self, store: Any, prefix: str = "") -> None:
        self.store, self.prefix = store, prefix.strip("/")
        self.name = f"{store}/{self.prefix}" if self.prefix else str(store)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, ZarrStore) and self.name == other.name and type(self.store) is type(other.store)
        )

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"ZarrStore({self.name})"

    def __reduce__(self) -> tuple[Any, ...]:
        return ZarrStore, (self.store, self.prefix)

    def _key(self, key: str) -> str:
        return f"{self.prefix}/{key}".strip("/") if self.prefix else key

    def get(self, key: str, start: int | None, stop: int | None, suffix: int | None) -> bytes | None:
        """Bytes of a key: all, from `start` to `stop`, or the last `suffix`; None where there is none."""
        from zarr.abc.store import RangeByteRequest, SuffixByteRequest
        from zarr.core.buffer import default_buffer_prototype
        from zarr.core.sync import sync

        ask: Any = None
        if suffix is not None:
            ask = SuffixByteRequest(suffix)
        elif start is not None and stop is not None:
            ask = RangeByteRequest(start, stop)
        try:
            found = sync(self.store.get(self._key(key), default_buffer_prototype(), ask))
        except (KeyError, FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        return None if found is None else found.to_bytes()

    def size(self, key: str) -> int | None:
        """Bytes of a value."""
        from zarr.core.sync import sync

        try:
            return int(sync(self.store.getsize(self._key(key))))
        except (KeyError, FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def list(self, prefix: str) -> tuple[list[str], list[str]] | None:
        """Names below a prefix: those that may have names below them, and documents of metadata."""
        from zarr.core.sync import sync

        if not self.store.supports_listing:
            return None

        async def names() -> list[str]:
            return [name async for name in self.store.list_dir(self._key(prefix))]

        found = sorted({name.rstrip("/") for name in sync(names())})
        return [n for n in found if n not in _METADATA], [n for n in found if n in _METADATA]

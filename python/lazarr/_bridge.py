"""Stores of other packages, behind the calls that the engine makes: bytes, lengths, names below a prefix.

They are called from several threads. What is not there is None; anything else that goes wrong is raised.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

__all__ = ["Bridged", "bridge", "local_path"]

_Answer = tuple[bytes, int | None, str | None]
_DOCUMENTS = frozenset({"zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata"})
_ABSENT = (KeyError, FileNotFoundError, NotADirectoryError, IsADirectoryError)


class Bridged(ABC):
    """A store of another package."""

    def __init__(self, name: str, prefix: str = "") -> None:
        self.name = name if not prefix else f"{name.rstrip('/')}/{prefix}"
        self.prefix = prefix.strip("/")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __dask_tokenize__(self) -> tuple[str, str]:
        return type(self).__name__, self.name

    def __reduce__(self) -> Any:
        msg = (
            f"what was opened from {self.name} cannot be pickled: its store may hold credentials. "
            "Open it by a URL, lz.open('s3://…'), and workers take theirs from the environment"
        )
        raise TypeError(msg)

    def key(self, key: str) -> str:
        """The key in the store behind."""
        return "/".join(part for part in (self.prefix, key) if part)

    @abstractmethod
    def get(self, key: str, start: int | None, end: int | None, last: int | None) -> _Answer | None:
        """Bytes, the length of the whole value and its ETag, where known; None where there is no such key."""

    @abstractmethod
    def size(self, key: str) -> int | None:
        """The length of a value."""

    @abstractmethod
    def names(self, prefix: str) -> tuple[list[str], list[str]] | None:
        """Folders and files below a prefix; None where the store cannot list."""


def _cut(value: bytes, start: int | None, end: int | None, last: int | None) -> _Answer:
    total = len(value)
    if last is not None:
        value = value[max(total - last, 0) :]
    elif start is not None:
        value = value[start:end]
    return bytes(value), total, None


def _children(keys: Any, prefix: str) -> tuple[list[str], list[str]]:
    folders: set[str] = set()
    files: set[str] = set()
    start = f"{prefix}/" if prefix else ""
    for key in keys:
        if isinstance(key, str) and key.startswith(start):
            name, slash, _ = key[len(start) :].partition("/")
            if name:
                (folders if slash else files).add(name)
    return list(folders), list(files)


class _Mapping(Bridged):
    """Any mapping of keys to bytes: values are taken whole."""

    def __init__(self, mapping: Mapping[str, Any]) -> None:
        super().__init__(f"memory://{type(mapping).__name__}-{id(mapping):x}")
        self.mapping = mapping

    def get(self, key: str, start: int | None, end: int | None, last: int | None) -> _Answer | None:
        try:
            value = self.mapping[key]
        except _ABSENT:
            return None
        return _cut(bytes(value), start, end, last)

    def size(self, key: str) -> int | None:
        try:
            return len(self.mapping[key])
        except _ABSENT:
            return None

    def names(self, prefix: str) -> tuple[list[str], list[str]]:
        return _children(list(self.mapping), prefix)


class _Fsspec(Bridged):
    """fsspec's mapping of a file system."""

    def __init__(self, mapping: Any) -> None:
        self.fs = mapping.fs
        protocol = self.fs.protocol
        protocol = protocol if isinstance(protocol, str) else protocol[0]
        self.root = mapping.root.rstrip("/")
        # A mapping over HTTP has URLs as keys.
        shown = self.root if "://" in self.root else f"{protocol}://{self.root.lstrip('/')}"
        super().__init__(_redacted(shown))

    def path(self, key: str) -> str:
        return f"{self.root}/{key}" if key else self.root

    def get(self, key: str, start: int | None, end: int | None, last: int | None) -> _Answer | None:
        path = self.path(key)
        try:
            if last is not None:
                total = self.size(key)
                if total is None:
                    return None
                start, end = max(total - last, 0), total
                return (self.fs.cat_file(path, start, end) if total else b""), total, None
            return bytes(self.fs.cat_file(path, start, end)), None, None
        except _ABSENT:
            return None

    def size(self, key: str) -> int | None:
        try:
            info = self.fs.info(self.path(key))
        except _ABSENT:
            return None
        return info["size"] if info.get("type", "file") == "file" else None

    def names(self, prefix: str) -> tuple[list[str], list[str]] | None:
        try:
            found = self.fs.ls(self.path(prefix), detail=True)
        except NotImplementedError:
            return None
        except _ABSENT:
            return [], []
        here = self.path(prefix).rstrip("/").rpartition("/")[2]
        folders: list[str] = []
        files: list[str] = []
        for entry in found:
            name = entry["name"].rstrip("/").rpartition("/")[2]
            is_folder = entry["type"] == "directory"
            # Some list a folder in itself.
            if not (is_folder and name == here and entry["name"].strip("/") == self.path(prefix).strip("/")):
                (folders if is_folder else files).append(name)
        return folders, files


class _Zarr(Bridged):
    """A store of zarr-python; what a group knows of its metadata is not asked for again."""

    def __init__(self, store: Any, prefix: str = "", group: Any = None) -> None:
        super().__init__(_redacted(str(store)), prefix)
        self.store = store
        self.documents: dict[str, bytes] = {}
        metadata: Any = getattr(group, "metadata", None)
        if getattr(metadata, "consolidated_metadata", None) is not None:
            from zarr.core.buffer import default_buffer_prototype

            found = metadata.to_buffer_dict(default_buffer_prototype())
            self.documents = {name: value.to_bytes() for name, value in found.items()}

    def __reduce__(self) -> Any:
        # What lies in memory has no credentials.
        if type(self.store).__module__.startswith("zarr.") and type(self.store).__name__ == "MemoryStore":
            return _zarr_again, (self.store, self.prefix, self.name, self.documents)
        return super().__reduce__()

    @staticmethod
    def wait(coroutine: Any) -> Any:
        from zarr.core.sync import sync

        return sync(coroutine)

    def get(self, key: str, start: int | None, end: int | None, last: int | None) -> _Answer | None:
        from zarr.abc.store import RangeByteRequest, SuffixByteRequest
        from zarr.core.buffer import default_buffer_prototype

        if key in self.documents:
            return _cut(self.documents[key], start, end, last)
        asked: Any = None
        if last is not None:
            asked = SuffixByteRequest(last)
        elif start is not None and end is not None:
            asked = RangeByteRequest(start, end)
        got = self.wait(self.store.get(self.key(key), default_buffer_prototype(), byte_range=asked))
        return None if got is None else (got.to_bytes(), None, None)

    def size(self, key: str) -> int | None:
        try:
            return int(self.wait(self.store.getsize(self.key(key))))
        except _ABSENT:
            return None

    def names(self, prefix: str) -> tuple[list[str], list[str]] | None:
        if not self.store.supports_listing:
            return None
        below = self.key(prefix)

        async def listed() -> list[str]:
            return [name.strip("/") async for name in self.store.list_dir(below)]

        # Stores do not agree on how to say what is a folder; documents are looked for, and nodes.
        names = self.wait(listed())
        return [n for n in names if n not in _DOCUMENTS], [n for n in names if n in _DOCUMENTS]


def _zarr_again(store: Any, prefix: str, name: str, documents: dict[str, bytes]) -> _Zarr:
    made = _Zarr(store, prefix)
    # The same tasks name the same store in every process.
    made.name, made.documents = name, documents
    return made


class _Obstore(Bridged):
    """A store of obstore."""

    def __init__(self, store: Any) -> None:
        super().__init__(f"obstore://{type(store).__name__}-{id(store):x}")
        self.store = store

    def get(self, key: str, start: int | None, end: int | None, last: int | None) -> _Answer | None:
        import obstore

        options: Any = None
        if last is not None:
            options = {"range": {"suffix": last}}
        elif start is not None:
            options = {"range": (start, end)}
        try:
            got = obstore.get(self.store, key, options=options)
            return bytes(got.bytes()), got.meta["size"], got.meta.get("e_tag")
        except _ABSENT:
            return None

    def size(self, key: str) -> int | None:
        import obstore

        try:
            return int(obstore.head(self.store, key)["size"])
        except _ABSENT:
            return None

    def names(self, prefix: str) -> tuple[list[str], list[str]] | None:
        import obstore

        try:
            found = obstore.list_with_delimiter(self.store, prefix or None)
        except NotImplementedError:
            return None
        last = [p.rstrip("/").rpartition("/")[2] for p in found["common_prefixes"]]
        return last, [o["path"].rpartition("/")[2] for o in found["objects"]]


def _redacted(url: str) -> str:
    """A URL without user, password and query."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        return url
    rest = rest.split("?", 1)[0].split("#", 1)[0]
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def local_path(store: Any) -> str | None:
    """The path of what zarr-python has open in a local directory: the engine reads it by itself."""
    place = getattr(store, "store_path", None)
    inner, path = (store, "") if place is None else (place.store, place.path)
    if type(inner).__module__.startswith("zarr.") and type(inner).__name__ == "LocalStore":
        root = os.fspath(inner.root)
        return os.path.join(root, path) if path else root
    return None


def bridge(store: Any) -> Bridged:
    """The bridge to a store of another package; a TypeError where it is none that is known."""
    module = type(store).__module__.partition(".")[0]
    if module == "obstore":
        return _Obstore(store)
    if module == "fsspec" and hasattr(store, "fs") and hasattr(store, "root"):
        return _Fsspec(store)
    # A group or an array of zarr stands at a path in a store.
    place = getattr(store, "store_path", None)
    if place is not None and hasattr(place, "store"):
        return _Zarr(place.store, place.path, store)
    if callable(getattr(store, "list_dir", None)) and hasattr(store, "supports_listing"):
        return _Zarr(store)
    if isinstance(store, Mapping):
        return _Mapping(store)
    msg = (
        f"a {type(store).__module__}.{type(store).__name__} cannot be opened: a path, a URL, "
        "an obstore store, a zarr store or group, an fsspec mapping, or a mapping of keys to bytes can"
    )
    raise TypeError(msg)

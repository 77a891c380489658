"""Writing by way of a callback that is called for each element, as anndata's ``write_dispatched`` does.

The callback says what is written where; it is collected first, and then written at once, by the writer.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ._errors import type_error
from ._layout import Layout
from ._sources import source_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Collected", "IOSpec", "place_of"]

_PLACES = ("obs", "var", "obsm", "varm", "obsp", "varp", "layers", "uns")


class IOSpec(NamedTuple):
    """The encoding of an element."""

    encoding_type: str
    encoding_version: str


class Group:
    """A group that is going to be written: it has a name, and nothing in it yet."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.name = f"/{path}"
        self.attrs: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"<group {self.name}, not written yet>"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        msg = (
            f"nothing is written while callbacks are called, so that a group has no {name!r}: hand the "
            "element on to the function that the callback was given, changed or under another key"
        )
        raise type_error(msg)


class Collected:
    """What callbacks have said: a tree of sources, and rules of layout."""

    def __init__(self, callback: Callable[..., Any]) -> None:
        self._callback = callback
        self._groups: dict[str, tuple[str, dict[str, Any]]] = {}
        self._root: Any = None
        self.rules: list[dict[str, Any]] = []

    def visit(self, group: Group, key: str, elem: Any, kwargs: Mapping[str, Any]) -> None:
        """Asks the callback for an element."""
        self._callback(self.write, group, key, elem, dataset_kwargs=kwargs, iospec=_spec(elem))

    def write(
        self,
        store: Group,
        k: str,
        elem: Any,
        *,
        dataset_kwargs: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Writes an element, later, and asks for what is in it."""
        path = _join(store.path, k)
        if dataset_kwargs:
            self.rules += _rules(path, dataset_kwargs)
        kind, children = _parts(elem)
        if kind is None:
            self._put(path, source_of(elem, path))
            return
        self._groups[path] = (kind, {})
        self._put(path, self._groups[path])
        below = Group(path)
        for name, child in children:
            self.visit(below, name, child, dataset_kwargs)

    def _put(self, path: str, node: Any) -> None:
        if not path:
            self._root = node
            return
        above, _, name = path.rpartition("/")
        if above not in self._groups:
            msg = f"`{path}` is written before what it is in"
            raise type_error(msg)
        self._groups[above][1][name] = node

    def source(self) -> Any:
        """The tree as the writer takes it."""
        if self._root is None:
            msg = "the callback did not write the whole: nothing would be there"
            raise type_error(msg)
        return self._source("", self._root)

    def _source(self, path: str, node: Any) -> Any:
        found = self._groups.get(path)
        if found is None or found is not node:
            return node
        kind, children = found
        inside = [(name, self._source(_join(path, name), child)) for name, child in children.items()]
        if kind == "dataframe":
            index = next(iter(children), None)
            if index is None:
                msg = f"`{path}` is a table without an index: the callback left it out"
                raise type_error(msg)
            kind = f"dataframe:{index}"
        return ("group", kind, inside)

    def layout(self, base: Layout) -> Layout:
        """The layout with what was said for single elements; of the outer ones first."""
        rules = sorted(self.rules, key=lambda rule: rule["path"].count("/"))
        return Layout([*base.rules, *rules], zarr_format=base.zarr_format, indices=base.indices)


def _join(path: str, key: str) -> str:
    key = key.strip("/")
    # A key may be absolute, as anndata takes it.
    inside = key.removeprefix(f"{path}/") if path else key
    if "/" in inside:
        msg = f"`{inside}`: the key of an element has no slash"
        raise type_error(msg)
    return f"{path}/{inside}" if path and inside else path or inside


def _parts(elem: Any) -> tuple[str | None, Iterator[tuple[str, Any]] | list[tuple[str, Any]]]:
    """What a group is and what is in it; None where it is written as one."""
    if getattr(elem, "_native", None) is not None:
        return None, []
    module = type(elem).__module__.partition(".")[0]
    if module == "anndata" and hasattr(elem, "obs") and hasattr(elem, "uns"):
        return "anndata", _of_object(elem)
    if module == "anndata" and type(elem).__name__ == "Raw":
        return "raw", [("X", elem.X), ("var", elem.var), ("varm", dict(elem.varm))]
    if module == "pandas" and hasattr(elem, "columns"):
        return "dataframe", _of_frame(elem)
    if isinstance(elem, Mapping):
        return "dict", [(str(k), v) for k, v in elem.items() if k is not None]
    return None, []


def _of_object(adata: Any) -> Iterator[tuple[str, Any]]:
    if adata.X is not None:
        yield "X", adata.X
    for place in _PLACES:
        part = getattr(adata, place)
        yield place, part if hasattr(part, "columns") else dict(part)
    if adata.raw is not None:
        yield "raw", adata.raw


def _of_frame(frame: Any) -> list[tuple[str, Any]]:
    # Names and types are judged as those of any table.
    source_of(frame.iloc[:0])
    index = "_index" if frame.index.name is None else str(frame.index.name)
    columns = [(str(name), frame[name]) for name in frame.columns if str(name) != index]
    return [(index, frame.index), *columns]


def _spec(elem: Any) -> IOSpec:
    """The encoding that an element will have."""
    encoding = getattr(elem, "encoding", None)
    if getattr(elem, "_native", None) is not None:
        return IOSpec(*encoding) if encoding is not None else IOSpec("anndata", "0.1.0")
    kind, _ = _parts(elem)
    if kind is not None:
        return IOSpec(kind, "0.2.0" if kind == "dataframe" else "0.1.0")
    if hasattr(elem, "indptr"):
        return IOSpec(f"{elem.format}_matrix", "0.1.0")
    if type(elem).__module__.partition(".")[0] == "awkward":
        return IOSpec("awkward-array", "0.1.0")
    if elem is None:
        return IOSpec("null", "0.1.0")
    if isinstance(elem, str | np.str_):
        return IOSpec("string", "0.2.0")
    if np.ndim(elem) == 0 and not hasattr(elem, "array"):
        return IOSpec("numeric-scalar", "0.2.0")
    found = source_of(elem[:0]) if hasattr(elem, "__getitem__") else None
    names = {"categorical": "categorical", "strings": "string-array"}
    if found is not None and found[0] == "nullable":
        kinds = {"integer": "nullable-integer", "boolean": "nullable-boolean"}
        return IOSpec(kinds.get(found[3], "nullable-string-array"), "0.1.0")
    name = names.get(found[0], "array") if found is not None else "array"
    return IOSpec(name, "0.2.0")


def _rules(path: str, kwargs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What zarr calls `chunks`, `shards`, `compressor` and `compressors`, as rules of layout."""
    rule: dict[str, Any] = {"path": path or "**"}
    for name, value in kwargs.items():
        if name in {"chunks", "shards"}:
            if value is None or value == "auto" or value is True:
                continue
            shape = [value] if isinstance(value, int | np.integer) else list(value)
            rule[name.rstrip("s")] = {"shape": [int(n) for n in shape]}
        elif name in {"compressor", "compressors"}:
            if value != "auto":
                rule["codec"] = _codec(value)
        else:
            msg = (
                f"dataset_kwargs has {name!r}, which lazarr does not take: it takes chunks, shards and "
                "compressors, and a layout says more: lz.write(..., layout=...)"
            )
            raise type_error(msg)
    return [rule] if len(rule) > 1 else []


def _codec(given: Any) -> str:
    """A codec of zarr or numcodecs, in a layout's words."""
    codecs = list(given) if isinstance(given, list | tuple) else [] if given is None else [given]
    if not codecs:
        return "none"
    codec = codecs[0]
    if isinstance(codec, str):
        return codec
    said = codec.to_dict() if hasattr(codec, "to_dict") else codec.get_config()
    name = str(said.get("name", said.get("id"))).removeprefix("numcodecs.")
    more = said.get("configuration", said)
    if len(codecs) == 1 and name == "blosc":
        shuffle = getattr(more["shuffle"], "value", more["shuffle"])
        words = {0: "noshuffle", 1: "shuffle", 2: "bitshuffle", -1: "shuffle"}
        cname = getattr(more["cname"], "value", more["cname"])
        return f"blosc-{cname}:{more['clevel']}+{words.get(shuffle, shuffle)}"
    if len(codecs) == 1 and name in {"zstd", "gzip", "zlib"}:
        # zstd's 0 is its default level.
        return f"{name.replace('zlib', 'gzip')}:{more.get('level') or 3}"
    msg = f"{given!r} is not a codec that lazarr writes: it writes blosc, zstd, gzip and none"
    raise type_error(msg)


def place_of(store: Any) -> str:
    """Where a store lies on this machine: a path, or what zarr-python has open."""
    if isinstance(store, str | os.PathLike):
        return os.fspath(store)
    root = getattr(getattr(store, "store", store), "root", None)
    if root is None:
        msg = f"{store!r} is not on the disk: give a path, or a group of zarr in a local store"
        raise type_error(msg)
    inside = str(getattr(store, "path", "") or "")
    return os.path.join(os.fspath(root), inside) if inside else os.fspath(root)

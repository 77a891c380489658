"""Bounds on what the metadata of a store may ask for."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any, Self

from . import _lazarr

__all__ = ["Limits", "parse_size"]

_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


def parse_size(value: int | str, what: str) -> int:
    """Bytes from ``2_000_000_000``, ``"2GiB"`` (powers of 1024) or ``"2GB"`` (powers of 1000)."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        msg = f"{what} is a number of bytes or a text such as '2GiB', not {type(value).__name__}"
        raise TypeError(msg)
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgtp]?)(i?)b?\s*", value.lower())
        if match is None or (match[3] and not match[2]):
            msg = f"{what} {value!r} is not understood: write 2_000_000_000, '500MB' or '2GiB'"
            raise ValueError(msg)
        value = int(float(match[1]) * (1024 if match[3] else 1000) ** _UNITS[match[2]])
    if value <= 0:
        msg = f"{what} must be more than 0 bytes, not {value}"
        raise ValueError(msg)
    return value


class Limits(Mapping[str, int]):
    """Bounds on what the metadata of a store may ask for; what goes beyond is the error ``LZ0206``.

    Only the limits that are named differ from their defaults.

    Parameters
    ----------
    metadata_bytes
        Bytes of metadata, of all documents together, and of all fill values. Default: 64 MiB.
    json_depth
        Nesting of JSON, and of groups. Default: 64; at most 127.
    nodes
        Groups and arrays in a store. Default: 100,000.
    dimensions
        Dimensions of an array. Default: 32; at most 64.
    chunk_bytes
        Bytes of an inner chunk, decoded and encoded; of a shard's index. Default: 4 GiB.

    Examples
    --------
    >>> lz.open("atlas.zarr", limits=lz.Limits(metadata_bytes="200MB"))  # doctest: +SKIP
    >>> lz.open("atlas.zarr", limits={"nodes": 1_000_000})  # doctest: +SKIP
    """

    __slots__ = ("_values",)
    _values: tuple[tuple[str, int], ...]

    def __init__(self, **limits: int | str | None) -> None:
        known = {name: most for name, _, most in _lazarr.limits()}
        values = []
        for name, value in limits.items():
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f": did you mean {near[0]!r}?" if near else f": the limits are {', '.join(known)}"
                msg = f"there is no limit {name!r}{hint}"
                raise TypeError(msg)
            if value is not None:
                values.append((name, _checked(name, value, known[name])))
        object.__setattr__(self, "_values", tuple(sorted(values)))

    @classmethod
    def of(cls, limits: Limits | Mapping[str, int | str] | None) -> Self:
        """Limits from a dictionary."""
        if limits is None:
            return cls()
        if not isinstance(limits, Mapping) or not all(isinstance(name, str) for name in limits):
            msg = f"limits are lz.Limits(...) or a dict such as {{'nodes': 1_000_000}}, not {limits!r}"
            raise TypeError(msg)
        return cls(**limits)

    def over(self, other: Limits) -> Limits:
        """These, and the other's where these say nothing."""
        return Limits(**{**other, **self})

    def items_given(self) -> tuple[tuple[str, int], ...]:
        """The limits that differ from their defaults."""
        return self._values

    def __getitem__(self, name: str) -> int:
        return dict(self._values)[name]

    def __iter__(self) -> Any:
        return iter(dict(self._values))

    def __len__(self) -> int:
        return len(self._values)

    def __setattr__(self, name: str, _value: object) -> None:
        msg = f"limits do not change: make others, Limits({name}=…)"
        raise AttributeError(msg)

    def __hash__(self) -> int:
        return hash(self._values)

    def __eq__(self, other: object) -> bool:
        return self._values == other._values if isinstance(other, Limits) else NotImplemented

    def __reduce__(self) -> tuple[Any, ...]:
        return Limits.of, (dict(self._values),)

    def __repr__(self) -> str:
        return f"Limits({', '.join(f'{k}={v}' for k, v in self._values)})"


def _checked(name: str, value: int | str, most: int) -> int:
    if name.endswith("_bytes"):
        number = parse_size(value, name)
    elif isinstance(value, bool) or not isinstance(value, int):
        msg = f"{name} is a number, not {type(value).__name__}"
        raise TypeError(msg)
    else:
        number = value
    if not 1 <= number <= most:
        msg = f"{name} is 1 to {most}, not {number}"
        raise ValueError(msg)
    return number

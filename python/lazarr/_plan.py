"""What a read would cost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from . import _repr
from ._context import human_bytes

if TYPE_CHECKING:
    from . import _lazarr

__all__ = ["Amount", "Plan"]

_SIGNS = {"exact": "", "upper": "≤ ", "estimate": "≈ "}


class Amount(NamedTuple):
    """A number, and how far it can be trusted.

    ``mark`` is ``"exact"`` (this is what execution does), ``"upper"`` (never more) or ``"estimate"``.
    """

    value: int
    mark: str

    def as_count(self) -> str:
        """The number for people: ``≤ 1,234``."""
        return f"{_SIGNS.get(self.mark, '')}{self.value:,}"

    def as_bytes(self) -> str:
        """The number as bytes for people: ``≈ 4.7 KB``."""
        return f"{_SIGNS.get(self.mark, '')}{human_bytes(self.value)}"


class Plan:
    """What a read would cost: ``print(plan)`` for people, :meth:`to_dict` and :attr:`json` for programs."""

    __slots__ = ("_data", "_picture", "_text", "json")

    def __init__(self, text: str, json_text: str, picture: _lazarr.Picture | str = "") -> None:
        self._text = text
        self._picture = picture
        self.json: str = json_text
        """The plan as JSON text; its schema is versioned in ``schema``."""
        self._data: dict[str, Any] = json.loads(json_text)

    def _amount(self, name: str) -> Amount:
        amount = self._data[name]
        return Amount(int(amount["value"]), str(amount["mark"]))

    @property
    def requests(self) -> Amount:
        """Calls to the store, after neighbours have been merged."""
        return self._amount("requests")

    @property
    def chunks(self) -> Amount:
        """Inner chunks touched."""
        return self._amount("chunks")

    @property
    def round_trips(self) -> Amount:
        """Requests that wait for each other: the latency of the read is so many times that of the store."""
        return self._amount("round_trips")

    @property
    def fetch_bytes(self) -> Amount:
        """Bytes that the store sends."""
        return self._amount("fetch_bytes")

    @property
    def decode_bytes(self) -> Amount:
        """Bytes that come out of the decoders."""
        return self._amount("decode_bytes")

    @property
    def cached_requests(self) -> Amount:
        """Of the requests, those that the cache on the local disk answers (``cache_dir``)."""
        return self._amount("cached_requests")

    @property
    def cached_bytes(self) -> Amount:
        """Of the bytes, those that it has."""
        return self._amount("cached_bytes")

    @property
    def output_bytes(self) -> Amount:
        """Bytes of the result."""
        return self._amount("output_bytes")

    @property
    def network_seconds(self) -> float | None:
        """About how long the requests take at the distance of the store; None where it is not far.

        Dependent round trips x latency + requests x their cost + bytes / bandwidth.
        """
        distance = self._data.get("distance")
        return None if distance is None else distance["network_ms"]["value"] / 1e3

    @property
    def peak_bytes(self) -> Amount:
        """The most memory at once, the result included."""
        return self._amount("peak_bytes")

    def noted(self, note: str) -> Plan:
        """The same with a note on its first element."""
        data = self.to_dict()
        if data["elements"]:
            data["elements"][0].setdefault("notes", []).append(note)
        return Plan(f"{self!s}\n    note: {note}", json.dumps(data), self._picture)

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain dicts and lists."""
        data: dict[str, Any] = json.loads(self.json)
        return data

    def __str__(self) -> str:
        return self._text.rstrip("\n")

    def __repr__(self) -> str:
        return str(self)

    def svg(self) -> str:
        """The plan as a picture: each array a strip of its chunks, shards outlined, what is fetched filled.

        A notebook shows it under the text; ``open("plan.svg", "w").write(plan.svg())`` keeps it.
        """
        return self._picture if isinstance(self._picture, str) else self._picture.svg()

    def _repr_html_(self) -> str:
        return _repr.html(str(self)) + self.svg()

    def __reduce__(self) -> tuple[Any, ...]:
        return Plan, (self._text, self.json, self.svg())

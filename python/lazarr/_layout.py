"""How a store is laid out, as data."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from . import _lazarr

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Layout", "layout_of"]


class Layout:
    """How arrays are cut into chunks and shards, and how they are compressed: rules by path, later ones win.

    Parameters
    ----------
    rules
        Each a dictionary: ``path`` (``"X"``, ``"X/data"``, ``"obs/*"``, ``"layers/**"``; ``*`` is any name,
        ``**`` any path; what is in a path is meant, too), and of these what is to hold there: ``chunk`` and
        ``shard`` (``{"items": n}``, ``{"rows": n}``, ``{"bytes": n}``, ``{"shape": [...]}``, ``"whole"``; a
        shard also ``"none"``), ``codec`` (``"lz4"``, ``"zstd:9"``, ``"blosc-zstd:5+bitshuffle"``,
        ``"gzip"``, ``"none"``), ``checksum``, ``dtype``, and ``role`` (``"data"``, ``"indices"``,
        ``"indptr"``, ``"column"``, ``"dense"``,
        ``"other"``), which narrows the rule to arrays of one purpose.
        Rows of a sparse matrix are as many stored values as these have on the average.
        ``format`` (``"csr"``, ``"csc"``, ``"dense"``) is what matrices of numbers are stored as; with
        ``role="data"`` only those that are sparse, with ``role="dense"`` those that are dense. Rows become
        columns within the memory limit, by way of a temporary file where they do not fit.
    zarr_format
        3, or 2, which has no shards.
    indices
        ``"scipy"``: int32, or int64 where that is needed; ``"smallest"``: the smallest unsigned integers.

    Examples
    --------
    >>> layout = lz.Layout.preset("rows").with_rule(  # doctest: +SKIP
    ...     "obsm/X_pca", chunk={"rows": 512}, codec="zstd:5"
    ... )
    >>> by_gene = lz.Layout.preset("rows").with_rule("X", format="csc")  # doctest: +SKIP
    """

    PRESETS: ClassVar[dict[str, str]] = dict(_lazarr.presets())
    """The names of the presets, and what each is for."""

    __slots__ = ("indices", "rules", "zarr_format")

    def __init__(
        self,
        rules: list[dict[str, Any]] | None = None,
        *,
        zarr_format: Literal[2, 3] = 3,
        indices: Literal["scipy", "smallest"] = "scipy",
    ) -> None:
        self.rules = [dict(rule) for rule in rules or []]
        self.zarr_format = zarr_format
        self.indices = indices

    @classmethod
    def from_dict(cls, layout: Mapping[str, Any]) -> Self:
        """From what :meth:`to_dict` gives."""
        return cls(**{"rules": None, **layout})

    @classmethod
    def preset(cls, name: str, *, zarr_format: Literal[2, 3] = 3) -> Self:
        """The preset of this name, see :attr:`PRESETS`."""
        return cls.from_dict(json.loads(_lazarr.preset(name, zarr_format)))

    def with_rule(self, path: str, **settings: Any) -> Self:
        """The same with one more rule."""
        return type(self)(
            [*self.rules, {"path": path, **settings}], zarr_format=self.zarr_format, indices=self.indices
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        rules = [{k: v for k, v in rule.items() if v is not None} for rule in self.rules]
        return {"zarr_format": self.zarr_format, "indices": self.indices, "rules": rules}

    def to_json(self) -> str:
        """As JSON, which the command line takes as well."""
        return json.dumps(self.to_dict())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Layout) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Layout({self.rules!r}, zarr_format={self.zarr_format}, indices={self.indices!r})"


def layout_of(layout: Layout | Mapping[str, Any] | str | None, zarr_format: Literal[2, 3] | None) -> Layout:
    """What a caller means by a layout."""
    if layout is None or isinstance(layout, str):
        return Layout.preset(layout or "rows", zarr_format=zarr_format or 3)
    made = layout if isinstance(layout, Layout) else Layout.from_dict(layout)
    if zarr_format in {None, made.zarr_format}:
        return made
    return Layout(made.rules, zarr_format=zarr_format, indices=made.indices)

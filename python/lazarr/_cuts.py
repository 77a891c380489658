"""Where rows are cut into blocks, and what becomes of that when some are selected. Nothing here reads."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

__all__ = ["Cuts"]


class Cuts:
    """Blocks of rows: one past the last row of each, their bytes, and the most that a block may have."""

    __slots__ = ("bytes", "ends", "most")

    def __init__(self, ends: Any, bytes: Any, most: float | None = None) -> None:  # noqa: A002
        self.ends = np.asarray(ends, np.int64)
        self.bytes = np.asarray(bytes, np.float64)
        self.most = float(self.bytes.max(initial=1)) if most is None else most

    def scaled(self, items: int | None, of: int | None) -> Self:
        """Of so many of the items of another axis."""
        return type(self)(self.ends, self.bytes * (items or 0) / max(of or 0, 1), self.most)

    def of(self, item: Any) -> Self:
        """Of some of the rows. Rows that ascend stay apart where they were: a chunk's edge is one still."""
        n = int(self.ends[-1])
        starts = np.concatenate([[0], self.ends[:-1]])
        row = self.bytes / np.maximum(self.ends - starts, 1)
        if isinstance(item, slice) and (item.step or 1) > 0:
            rows = range(*item.indices(n))
            # How many are selected before each end.
            before = np.clip(-(-(self.ends - rows.start) // rows.step), 0, len(rows))
        else:
            at = np.arange(n)[item]
            if len(at) and (np.diff(at) < 0).any():
                return self._of_list(row[np.searchsorted(self.ends, at, side="right")])
            before = np.searchsorted(at, self.ends, side="left")
        counts = np.diff(before, prepend=0)
        return self._merged(counts, counts * row)

    def _merged(self, counts: np.ndarray[Any, Any], sizes: np.ndarray[Any, Any]) -> Self:
        """Neighbours together, where they fit into one block; blocks without rows go."""
        ends: list[int] = []
        bytes_: list[float] = []
        end, block, some = 0, 0.0, False
        for count, size in zip(counts.tolist(), sizes.tolist(), strict=True):
            if not count:
                continue
            if some and block + size > self.most:
                ends.append(end)
                bytes_.append(block)
                block = 0.0
            end, block, some = end + count, block + size, True
        return type(self)([*ends, end], [*bytes_, block], self.most)

    def _of_list(self, sizes: np.ndarray[Any, Any]) -> Self:
        """Rows in another order than the stored one: cut by their bytes alone."""
        total = np.cumsum(sizes)
        ends: list[int] = []
        at = 0
        while at < len(sizes):
            done = float(total[at - 1]) if at else 0.0
            at = max(int(np.searchsorted(total, done + self.most, side="right")), at + 1)
            ends.append(at)
        bounds = np.concatenate([[0.0], total])[ends]
        return type(self)(ends, np.diff(bounds, prepend=0.0), self.most)

    def __reduce__(self) -> tuple[Any, ...]:
        return Cuts, (self.ends.tolist(), self.bytes.tolist(), self.most)

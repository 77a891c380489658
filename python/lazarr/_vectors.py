"""Values of genes and of columns of obs, side by side: what people plot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import _convert
from ._context import call, human_bytes
from ._errors import KeyNotFoundError, make, type_error

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ._store import Store

__all__ = ["Vectors"]


class Vectors:
    """Verbs of an object; each reads the genes, cells and columns that it names, and no more."""

    __slots__ = ()

    if TYPE_CHECKING:
        obs: Any
        var: Any
        obs_names: Any
        var_names: Any
        raw: Any
        X: Any
        layers: Any
        _store: Store

    def obs_df(self, keys: Sequence[str] = (), *, layer: str | None = None, use_raw: bool = False) -> Any:
        """Columns of obs and values of genes, one column each: a pandas.DataFrame, as ``scanpy.get.obs_df``.

        Parameters
        ----------
        keys
            Names of columns of obs, and of genes.
        layer
            The layer that the genes are read from, instead of X.
        use_raw
            Read the genes from ``raw``.
        """
        return self._values("obs", "var", keys, layer, use_raw=use_raw)

    def var_df(self, keys: Sequence[str] = (), *, layer: str | None = None) -> Any:
        """Columns of var and values of cells, one column each: as ``scanpy.get.var_df``."""
        return self._values("var", "obs", keys, layer)

    def obs_vector(self, k: str, *, layer: str | None = None) -> Any:
        """A column of obs, or the values of one gene: a numpy array."""
        return self._values("obs", "var", [k], layer, names=False)[k].to_numpy()

    def var_vector(self, k: str, *, layer: str | None = None) -> Any:
        """A column of var, or the values of one cell: a numpy array."""
        return self._values("var", "obs", [k], layer, names=False)[k].to_numpy()

    def _values(
        self,
        place: str,
        other: str,
        keys: Sequence[str],
        layer: str | None,
        *,
        use_raw: bool = False,
        names: bool = True,
    ) -> Any:
        keys = [keys] if isinstance(keys, str) else list(keys)
        table = getattr(self, place)
        known = set(table.columns)
        columns = [key for key in keys if key in known]
        items = list(dict.fromkeys(key for key in keys if key not in known))
        parts: dict[str, Any] = {name: table[name].to_memory() for name in columns}
        if items:
            matrix = self._matrix(place, items, layer, use_raw=use_raw)
            if matrix.shape[1] != len(items):
                msg = f"a name in {other} stands for several: {', '.join(items)}"
                raise KeyNotFoundError(msg, code="LZ0501", element=other)
            parts |= {item: matrix[:, i] for i, item in enumerate(items)}
        pd = _convert.pandas()
        index = pd.Index(table.index.to_memory()) if names else None
        if index is not None:
            index.name = table.index.name
        plain = {key: getattr(parts[key], "array", parts[key]) for key in keys}
        return pd.DataFrame({key: pd.Series(x, index=index) for key, x in plain.items()}, index=index)

    def _matrix(self, place: str, items: list[str], layer: str | None, *, use_raw: bool) -> Any:
        """The values of some genes (cells), a column each."""
        if use_raw and layer is not None:
            msg = "genes are read from a layer or from raw, not from both"
            raise type_error(msg)
        try:
            if use_raw:
                if self.raw is None:
                    msg = "this object has no raw"
                    raise KeyNotFoundError(msg, code="LZ0501", element="raw")
                positions = _positions(self.raw.var_names.to_memory(), items)
                element = self.raw.X[:, positions]
            else:
                whole: Any = self
                view = whole[:, items] if place == "obs" else whole[items]
                element = view.X if layer is None else view.layers[layer]
            element.resolve()
        except KeyError as e:
            e.add_note(f"a key is a column of {place}, or a name in {'var' if place == 'obs' else 'obs'}")
            raise
        _fits(element, self._store)
        matrix = element.to_memory()
        dense = matrix.toarray() if hasattr(matrix, "toarray") else np.asarray(matrix)
        return dense if place == "obs" else dense.T

    def to_df(self, layer: str | None = None) -> Any:
        """X or a layer as a pandas.DataFrame of cells and genes: as ``anndata.AnnData.to_df``."""
        element = (self.X if layer is None else self.layers[layer]).resolve()
        _fits(element, self._store)
        matrix = element.to_memory()
        dense = matrix.toarray() if hasattr(matrix, "toarray") else matrix
        pd = _convert.pandas()
        obs, var = (pd.Index(names.to_memory()) for names in (self.obs_names, self.var_names))
        obs.name, var.name = self.obs.index.name, self.var.index.name
        return pd.DataFrame(dense, index=obs, columns=var)

    def chunked_X(self, chunk_size: int | None = None) -> Iterator[tuple[Any, int, int]]:
        """Reads X in blocks of cells, in order: as ``anndata.AnnData.chunked_X``.

        Parameters
        ----------
        chunk_size
            Cells in a block. Default: as many as fit well into the memory limit.

        Yields
        ------
        chunk, start, end
            The matrix, its first cell, and one past its last.
        """
        for start, end, block in self.X.iter_rows(chunk_size):
            yield block, start, end


def _positions(names: Any, items: list[str]) -> list[int]:
    index = _convert.pandas().Index(names)
    missing = [item for item in items if item not in index]
    if missing:
        msg = f"there is no {missing[0]!r} in raw/var"
        raise KeyNotFoundError(msg, code="LZ0501", element="raw/var", found=missing[0])
    return index.get_indexer(items).tolist()  # type: ignore[no-any-return]


def _fits(element: Any, store: Store) -> None:
    """Refuses what would not fit into the memory limit once it is dense, before it is read."""
    size = int(np.prod([n or 0 for n in element.shape], dtype=object)) * element.dtype.itemsize
    limit = call()[0] or store.session.memory_limit
    if size > limit:
        allowed = human_bytes(limit)
        text = (
            f"{element.path} as a dense table takes {human_bytes(size)}, the memory limit is {allowed}: "
            "choose cells and genes, adata[cells, genes].to_df(), or raise memory_limit"
        )
        raise make("memory", "LZ0601", text, element.path, None, None, None, None, None, None, text)

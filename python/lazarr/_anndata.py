"""A whole AnnData that is not read yet, and what it is made of."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from collections.abc import Mapping as _Mapping
from typing import TYPE_CHECKING, Any, NoReturn, Self

import numpy as np

from . import _convert, _index, _lazarr, _repr
from ._context import call, note_plan
from ._element import Element, Lazy, Store, wrap
from ._errors import KeyNotFoundError, type_error
from ._frame import Column, DataFrame, removes_unused
from ._plan import Plan

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["AnnData", "Mapping", "Raw"]

_SWAP = {"obs": "var", "var": "obs", "obsm": "varm", "varm": "obsm", "obsp": "varp", "varp": "obsp"}
_MAPPINGS = ("layers", "obsm", "varm", "obsp", "varp", "uns")


class Mapping(Element):
    """Elements by name: ``layers``, ``obsm``, ``uns`` and what is nested in it. Nothing is read by asking for one."""

    __slots__ = ("_parent", "_place")
    _parent: AnnData | None
    _place: str

    def __init__(
        self, native: _lazarr.Lazy | None, store: Store, *, parent: AnnData | None = None, place: str = ""
    ) -> None:
        self._set(_native=native, _store=store, _parent=parent, _place=place)

    def __reduce__(self) -> tuple[Any, ...]:
        if self._parent is not None:
            return getattr, (self._parent, self._place)
        return super().__reduce__()

    @property
    def path(self) -> str:
        """Where it is in the store."""
        return self._place if self._native is None else self._native.path

    @property
    def shape(self) -> tuple[int | None, ...]:
        """A mapping has no axes."""
        return ()

    @property
    def dtype(self) -> None:
        """A mapping has a type for each element."""
        return

    def _names(self) -> list[str]:
        if self._parent is not None:
            return self._parent._keys(self._place)  # noqa: SLF001
        return [name for name, _ in self._native.children()]

    def keys(self) -> KeysView[str]:
        """The names."""
        return dict.fromkeys(self._names()).keys()

    def values(self) -> ValuesView[Any]:
        """The elements."""
        return {name: self[name] for name in self._names()}.values()

    def items(self) -> ItemsView[str, Any]:
        """Names and elements."""
        return {name: self[name] for name in self._names()}.items()

    def get(self, name: str, default: Any = None) -> Any:
        """The element of this name, or `default`."""
        return self[name] if name in self else default

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())

    def __contains__(self, name: object) -> bool:
        return name in self._names()

    def __bool__(self) -> bool:  # type: ignore[override]
        return bool(self._names())

    def __getitem__(self, name: Any) -> Any:
        if not isinstance(name, str):
            msg = f"elements have names: {name!r} is {type(name).__name__}"
            raise KeyNotFoundError(msg, code="LZ0501")
        if self._parent is not None:
            return self._parent._get(self._place, name)  # noqa: SLF001
        return wrap(self._native.child(name), self._store)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._names():
            msg = f"there is no element and no attribute {name!r}"
            raise AttributeError(msg)
        return self[name]

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(name for name in self._names() if name.isidentifier())]

    def resolve(self) -> Self:
        """Reads what the selection needs."""
        if self._parent is not None:
            self._parent.resolve()
        return self

    def plan(self, *, resolve: bool = False) -> Plan:
        """What reading all of it would cost."""
        if self._parent is not None and self._native is None:
            return self._parent.plan([self._place], resolve=resolve)
        return super().plan(resolve=resolve)

    def to_memory(self) -> dict[str, Any]:
        """Reads all of it: a dict."""
        if self._parent is not None and self._native is None:
            value = self._parent._collect_places([self._place])  # noqa: SLF001
            return dict(value.get(self._place) or {})
        data: dict[str, Any] = _convert.convert(self._collect())
        return data

    def __repr__(self) -> str:
        inner = "".join(f"\n    {name!r}: {_repr.line(self[name])}" for name in self._names())
        return f"<lazarr.Mapping {self.path or '/'}: {len(self)} elements>{inner}"


_Mapping.register(Mapping)


class Raw(Element):
    """``raw``: a matrix with genes of its own. It follows the cells of the object, never its genes."""

    __slots__ = ("_parent",)
    _parent: AnnData | None

    def __init__(self, native: _lazarr.Lazy, store: Store, *, parent: AnnData | None = None) -> None:
        super().__init__(native, store)
        self._set(_parent=parent)

    def __reduce__(self) -> tuple[Any, ...]:
        if self._parent is not None:
            return getattr, (self._parent, "raw")
        return super().__reduce__()

    def _child(self, name: str) -> _lazarr.Lazy:
        if self._parent is not None:
            return self._parent._native.get(f"raw/{name}")  # noqa: SLF001
        return self._native.child(name)

    def _has(self, name: str) -> bool:
        return name in [child for child, _ in self._native.children()]

    @property
    def X(self) -> Any:
        """The matrix."""
        return wrap(self._child("X"), self._store) if self._has("X") else None

    @property
    def var(self) -> DataFrame:
        """The table of its genes."""
        table: DataFrame = wrap(self._child("var"), self._store, text_index=True)
        return table

    @property
    def var_names(self) -> Column:
        """The names of its genes."""
        return self.var.index

    @property
    def varm(self) -> Any:
        """Arrays beside its genes."""
        return wrap(self._child("varm"), self._store) if self._has("varm") else {}

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Cells and genes; None for cells that must be counted first."""
        return self._rows(), self.n_vars

    @property
    def n_obs(self) -> int | None:
        """Cells."""
        return self._rows()

    @property
    def n_vars(self) -> int:
        """Genes of its own; 0 where their table cannot be read."""
        return next(iter(self.var.shape), None) or 0

    def _rows(self) -> int | None:
        if self._parent is not None:
            return self._parent.n_obs
        x = self.X
        return None if x is None else x.shape[0]

    @property
    def dtype(self) -> None:
        """It has a type for each element."""
        return

    def __getitem__(self, index: Any) -> NoReturn:
        msg = "index the object, or the matrix: adata[rows].raw, adata.raw.X[rows]"
        raise type_error(msg)

    def plan(self, *, resolve: bool = False) -> Plan:
        """What reading it would cost."""
        if self._parent is not None:
            return self._parent.plan(["raw"], resolve=resolve)
        return super().plan(resolve=resolve)

    def to_memory(self) -> Any:
        """Reads it: an anndata.AnnData of its matrix and its genes."""
        if self._parent is not None:
            value = self._parent._collect_places(["raw"])["raw"]  # noqa: SLF001
        else:
            parts = dict(self._collect()[1])
            value = raw_parts(parts)
        return _convert.anndata().AnnData(X=value.get("X"), var=value["var"], varm=value.get("varm") or None)

    def __repr__(self) -> str:
        return f"<lazarr.Raw {self.path}: {_repr.shape(self.shape)}; X {_repr.line(self.X)}>"


def raw_parts(parts: dict[str, Any]) -> dict[str, Any]:
    """The parts of a raw in memory."""
    out = {k: _convert.convert(v) for k, v in parts.items() if k != "var"}
    if parts.get("var") is not None:
        out["var"] = _convert.frame(parts["var"], text_index=True)
    return out


class AnnData(Lazy):
    """An annotated matrix in a store. Looking at it and indexing it reads nothing but metadata.

    Indexing takes what anndata takes, on one or two axes, and conditions: ``adata[adata.obs["x"] > 3, ["CD3D"]]``.
    :meth:`plan` says what a read would cost, :meth:`to_memory` reads.
    """

    __slots__ = ("_native", "_store", "_transposed", "is_view")
    _native: _lazarr.LazyAnnData
    _store: Store
    _transposed: bool
    is_view: bool

    def __init__(
        self, native: _lazarr.LazyAnnData, store: Store, *, transposed: bool = False, is_view: bool = False
    ) -> None:
        self._set(_native=native, _store=store, _transposed=transposed, is_view=is_view)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self._store, self._native.state(), self._transposed, self.is_view)

    def _stored(self, place: str) -> str:
        """The place in the store of a place of this object: obs and var change sides in a transposed one."""
        return _SWAP.get(place, place) if self._transposed else place

    def _axis(self, axis: int) -> int:
        return 1 - axis if self._transposed else axis

    @property
    def shape(self) -> tuple[int | None, int | None]:
        """Cells and genes; None where names or columns must be read to know: see :meth:`resolve`."""
        n, m = self._native.shape
        return (m, n) if self._transposed else (n, m)

    @property
    def n_obs(self) -> int | None:
        """Cells."""
        return self.shape[0]

    @property
    def n_vars(self) -> int | None:
        """Genes."""
        return self.shape[1]

    @property
    def path(self) -> str:
        """Where it is in the store; empty at the root."""
        return self._native.path

    def __len__(self) -> int:
        n = self.n_obs
        if n is None:
            msg = "the number of cells is known only after the selection has been read: adata.resolve()"
            raise type_error(msg)
        return n

    def __iter__(self) -> NoReturn:
        msg = "a lazy AnnData is not read cell by cell: adata.X.iter_rows() gives blocks of rows"
        raise type_error(msg)

    def _places(self) -> list[tuple[str, str]]:
        return [(self._stored(name), kind) for name, kind in self._native.places()]

    def _has(self, place: str) -> bool:
        stored = self._stored(place)
        return any(name == stored and kind != "null" for name, kind in self._native.places())

    def _describe(self) -> tuple[str, str]:
        obs, var = self._native.describe_selection()
        return (var, obs) if self._transposed else (obs, var)

    def _keys(self, place: str) -> list[str]:
        return self._native.keys(self._stored(place)) if self._has(place) else []

    def _get(self, place: str, name: str) -> Any:
        if name not in (names := self._keys(place)):
            msg = f"there is no {name!r} in {place}: it has {', '.join(map(repr, names)) or 'nothing'}"
            raise KeyNotFoundError(msg, code="LZ0501", element=place, found=name)
        native = self._native.get(f"{self._stored(place)}/{name}")
        return wrap(native, self._store, transposed=self._transposed and place == "layers", trim=self.is_view)

    @property
    def X(self) -> Any:
        """The matrix, or None."""
        if not self._has("X"):
            return None
        return wrap(self._native.get("X"), self._store, transposed=self._transposed)

    def _table(self, place: str) -> Any:
        return wrap(self._native.get(self._stored(place)), self._store, text_index=True, trim=self.is_view)

    @property
    def obs(self) -> DataFrame:
        """The table of the cells."""
        table: DataFrame = self._table("obs")
        return table

    @property
    def var(self) -> DataFrame:
        """The table of the genes."""
        table: DataFrame = self._table("var")
        return table

    @property
    def obs_names(self) -> Column:
        """The names of the cells."""
        return self.obs.index

    @property
    def var_names(self) -> Column:
        """The names of the genes."""
        return self.var.index

    def _mapping(self, place: str) -> Mapping:
        return Mapping(None, self._store, parent=self, place=place)

    @property
    def layers(self) -> Mapping:
        """Matrices of the shape of X."""
        return self._mapping("layers")

    @property
    def obsm(self) -> Mapping:
        """Arrays beside the cells."""
        return self._mapping("obsm")

    @property
    def varm(self) -> Mapping:
        """Arrays beside the genes."""
        return self._mapping("varm")

    @property
    def obsp(self) -> Mapping:
        """Matrices of cells by cells."""
        return self._mapping("obsp")

    @property
    def varp(self) -> Mapping:
        """Matrices of genes by genes."""
        return self._mapping("varp")

    @property
    def uns(self) -> Mapping:
        """Everything that has no axis."""
        return self._mapping("uns")

    @property
    def raw(self) -> Raw | None:
        """The matrix as it was before genes were chosen, or None. A transposed object has none, as in anndata."""
        if self._transposed or not self._has("raw"):
            return None
        native = self._native.get("raw")
        return Raw(native, self._store, parent=self) if native.kind == "raw" else wrap(native, self._store)

    @property
    def T(self) -> Self:
        """The transposed view: cells and genes change sides."""
        return type(self)(self._native, self._store, transposed=not self._transposed, is_view=self.is_view)

    def __getitem__(self, index: Any) -> Self:
        native = self._native
        for axis, item in enumerate(_index.unpack(index, 2)):
            if not (isinstance(item, slice) and item == slice(None)):
                native = _index.select(native, self._axis(axis), item)
        return type(self)(native, self._store, transposed=self._transposed, is_view=True)

    def resolve(self) -> Self:
        """Reads what the selection needs (names, columns of conditions), so that the shape is known."""
        self._native.resolve(*call())
        return self

    def _chosen(self, elements: Sequence[str] | None) -> list[str] | None:
        if elements is None:
            return None
        if isinstance(elements, str):
            elements = [elements]
        parts = [str(path).partition("/") for path in elements]
        return [self._stored(place) + slash + rest for place, slash, rest in parts]

    def plan(self, elements: Sequence[str] | None = None, *, resolve: bool = False) -> Plan:
        """What :meth:`to_memory` would cost.

        Parameters
        ----------
        elements
            What to read, by path: ``["X", "obs/batch", "obsm"]``. None is everything; names are always read.
        resolve
            Whether to read what is small and makes the numbers exact; else nothing is read.
        """
        plan = Plan(*self._native.plan(self._chosen(elements), resolve, *call()))
        note_plan(plan)
        return plan

    def _collect_places(self, elements: Sequence[str] | None) -> dict[str, Any]:
        """What was read, by place, with obs and var where this object has them."""
        _, parts = self._native.collect(self._chosen(elements), *call())
        lengths = dict(zip(("obs", "var"), self._native.stored_shape, strict=True))
        out: dict[str, Any] = {}
        for stored, value in parts:
            place = self._stored(stored)
            if place in {"obs", "var"} and value is not None and value[0] == "table":
                out[place] = _convert.frame(value, text_index=True, cut=bool(lengths[stored]))
            elif place == "raw" and value is not None and value[0] == "map":
                out[place] = raw_parts(dict(value[1]))
            else:
                axis = stored[:3]
                out[place] = _convert.convert(value, cut=bool(lengths.get(axis)))
        if self._transposed:
            out.pop("raw", None)
            if out.get("X") is not None:
                out["X"] = out["X"].T
            if out.get("layers"):
                out["layers"] = {k: v.T for k, v in out["layers"].items()}
        return out

    def to_memory(
        self, elements: Sequence[str] | None = None, *, remove_unused_categories: bool | None = None
    ) -> Any:
        """Reads it: an anndata.AnnData.

        Parameters
        ----------
        elements
            What to read, by path: ``["X", "obs/batch", "obsm"]``. None is everything; names are always read.
        remove_unused_categories
            Of a view, whether categories that no row has are left out, with their colours. None is anndata's setting.
        """
        ad = _convert.anndata()
        parts = self._collect_places(elements)
        trim = removes_unused() if remove_unused_categories is None else remove_unused_categories
        if trim and self.is_view:
            uns = parts.get("uns")
            for place in ("obs", "var"):
                trim_with_colors(parts[place], uns if isinstance(uns, dict) else {})
        known = {"X", "obs", "var", "raw", *_MAPPINGS}
        return ad.AnnData(**{k: v for k, v in parts.items() if k in known and v is not None})

    def __repr__(self) -> str:
        return _repr.anndata(self)


def trim_with_colors(df: Any, uns: dict[str, Any]) -> None:
    """Leaves out categories that no row has, and their colours: what anndata does with a view."""
    pd = _convert.pandas()
    for name in df.columns:
        if not isinstance(df[name].dtype, pd.CategoricalDtype):
            continue
        before = df[name].cat.categories
        df[name] = df[name].cat.remove_unused_categories()
        key = f"{name}_colors"
        if key not in uns:
            continue
        colors = np.array(uns[key])
        if colors.ndim == 0:
            uns[key] = colors[None]
        elif len(colors) != len(before):
            del uns[key]
        else:
            uns[key] = colors[before.isin(df[name].cat.categories)]


def _restore(store: Store, state: str, transposed: bool, is_view: bool) -> AnnData:
    native = _lazarr.LazyAnnData.from_state(store.session, state)
    return AnnData(native, store, transposed=transposed, is_view=is_view)

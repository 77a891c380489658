"""Elements by name, and raw."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from collections.abc import Mapping as _Mapping
from typing import TYPE_CHECKING, Any, NoReturn, Self

from . import _convert, _lazarr, _repr
from ._element import Element, laying
from ._errors import KeyNotFoundError, inside, type_error
from ._kinds import wrap

if TYPE_CHECKING:
    from ._anndata import AnnData
    from ._frame import Column, DataFrame
    from ._plan import Plan
    from ._store import Store

__all__ = ["Mapping", "Raw"]


class Mapping(Element):
    """Elements by name: ``layers``, ``obsm``, ``uns`` and what is in it. Asking for one reads nothing."""

    __slots__ = ("_parent", "_place")
    _native: _lazarr.Lazy
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

    def _instead(self, name: str) -> str | None:
        return laying(self._place, name) if self._parent is not None else None

    @property
    def path(self) -> str:
        """Where it is in the store."""
        return self._place if self._parent is not None else self._native.path

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

    def _unlisted(self) -> bool:
        """Whether there may be keys that are not known, because the store cannot list them."""
        if self._parent is not None:
            return self._parent._unlisted(self._place)  # noqa: SLF001
        return self._store.unlisted(self._native.path)

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
        return self[name] if name in self else default  # noqa: SIM401 - this is get

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
        if self._unlisted() and name not in self._names():
            # The store is asked for the one name.
            return wrap(self._store.session.lazy(f"{self._native.path}/{name}"), self._store)
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
        if self._parent is not None:
            return self._parent.plan([self._place], resolve=resolve)
        return super().plan(resolve=resolve)

    def to_memory(self) -> dict[str, Any]:
        """Reads all of it: a dict."""
        if self._parent is not None:
            value = self._parent._collect_places([self._place])  # noqa: SLF001
            return dict(value.get(self._place) or {})
        with inside(self.path):
            data: dict[str, Any] = _convert.objects(self._native, _convert.convert(self._collect()))
        return data

    def __repr__(self) -> str:
        inner = "".join(f"\n    {name!r}: {_repr.line(self[name])}" for name in self._names())
        if self._unlisted():
            inner += f"\n    {_repr.unknown_keys(len(self))}"
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
            with inside(self.path):
                value = raw_parts(dict(self._collect()[1]))
        return _convert.anndata().AnnData(X=value.get("X"), var=value["var"], varm=value.get("varm") or None)

    def __repr__(self) -> str:
        return f"<lazarr.Raw {self.path}: {_repr.shape(self.shape)}; X {_repr.line(self.X)}>"


def raw_parts(parts: dict[str, Any]) -> dict[str, Any]:
    """The parts of a raw in memory."""
    out = {}
    for k, v in parts.items():
        with inside(k):
            if k != "var":
                out[k] = _convert.convert(v)
            elif v is not None:
                out[k] = _convert.frame(v, text_index=True)
    return out

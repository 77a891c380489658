"""Elements that are not read yet. Indexing makes a new one; only verbs that collect read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self

from . import _convert, _html, _index, _lazarr, _repr
from ._async import AsyncReads
from ._context import call, note_plan
from ._errors import index_error, inside, missing_package, type_error
from ._limits import parse_size
from ._plan import Plan
from ._progress import between, watched

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._store import Store

__all__ = ["Element", "Lazy"]


class Lazy(AsyncReads):
    """What every lazy object has. It is never changed: assignment says what to do instead."""

    __slots__ = ()

    def _set(self, **fields: Any) -> None:
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def _instead(self, _name: str) -> str | None:
        """What lays values over the object, where something is assigned under a name."""
        return None

    def __setattr__(self, name: str, _value: Any) -> NoReturn:
        refuse_assignment(f".{name} = …", self._instead(name))

    def __delattr__(self, name: str) -> NoReturn:
        refuse_assignment(f"del .{name}")

    def __setitem__(self, key: Any, _value: Any) -> NoReturn:
        if isinstance(key, str):
            refuse_assignment(f"[{key!r}] = …", self._instead(key))
        refuse_assignment("[…] = …")

    def __delitem__(self, key: Any) -> NoReturn:
        refuse_assignment(f"del [{key!r}]")

    # `==` on an element is no comparison of objects, and a lazy object is no key.
    def __bool__(self) -> NoReturn:
        msg = f"the truth of a lazy {type(self).__name__} is not known without reading it"
        raise type_error(msg)

    def _repr_html_(self) -> str:
        return _repr.html(repr(self))


def refuse_assignment(what: str, instead: str | None = None) -> NoReturn:
    """A store is never changed through a lazy object."""
    lay = "" if instead is None else f"Lay the values over it: adata = adata.{instead}. "
    msg = (
        f"{what}: a lazy object is a view of a store, and the store is not changed. "
        f"{lay}Load it first and change that: a = adata.to_memory()"
    )
    raise type_error(msg)


def laying(place: str, name: str) -> str:
    """The call that lays values over a place."""
    return f"with_{place}({name}=…)" if name.isidentifier() else f"with_{place}({{{name!r}: …}})"


class Element(Lazy):
    """An element of a store, and what is selected of it."""

    __slots__ = ("_native", "_store")
    _native: _lazarr.Lazy
    _store: Store

    _keeps_axes: ClassVar[bool] = False
    """Whether an integer keeps its axis, as in scipy."""

    def __init__(self, native: _lazarr.Lazy, store: Store) -> None:
        self._set(_native=native, _store=store)

    def _with(self, native: _lazarr.Lazy) -> Self:
        return type(self)(native, self._store)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self._store, self._native.state(), self._extra())

    def _extra(self) -> dict[str, Any]:
        return {}

    @classmethod
    def _rebuild(cls, store: Store, state: str, extra: dict[str, Any]) -> Self:
        return cls(_lazarr.Lazy.from_state(store.session, state), store, **extra)

    @property
    def path(self) -> str:
        """Where it is in the store."""
        return self._native.path

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Its lengths; None where names or columns must be read to know: see :meth:`resolve`."""
        return self._native.shape

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        return len(self.shape)

    @property
    def dtype(self) -> Any:
        """The numpy type of an item, or pandas' name for it."""
        dtype = self._native.dtype
        if dtype is None:
            return None
        return _convert.string_dtype() if dtype == "string" else _convert.numpy_dtype(dtype)

    @property
    def encoding(self) -> tuple[str, str]:
        """AnnData's encoding-type and encoding-version; empty for what is plain Zarr."""
        return self._native.encoding

    @property
    def attrs(self) -> dict[str, Any]:
        """The attributes that are stored with it."""
        import json

        attrs: dict[str, Any] = json.loads(self._native.attributes())
        return attrs

    @property
    def arrays(self) -> list[dict[str, Any]]:
        """The stored arrays: path, shape, dtype, chunks, inner chunks, shards, codec, decoded bytes.

        Where chunks have several shapes (``rectilinear``), they are the longest along each axis.
        """
        return self._native.arrays()

    def __len__(self) -> int:
        shape = self.shape
        if not shape:
            msg = f"{self.path or 'this element'} has no axes, and no length"
            raise type_error(msg)
        if shape[0] is None:
            msg = "the length is known only after its selection has been read: x.resolve()"
            raise type_error(msg)
        return shape[0]

    def __iter__(self) -> Iterator[Any]:
        msg = (
            f"a lazy {type(self).__name__} is not read item by item: "
            "take what you need, x[:100].to_memory(), or all of it, x.to_memory()"
        )
        raise type_error(msg)

    def __getitem__(self, index: Any) -> Self:
        return self._with(self._select(self._native, index))

    def _select(self, native: _lazarr.Lazy, index: Any) -> _lazarr.Lazy:
        items = _index.unpack(index, len(native.shape))
        many = [k for k, item in enumerate(items) if _index.is_array(item)]
        if len(many) > 1:
            msg = (
                "numpy and scipy would take two lists of positions on two axes of an element pairwise. "
                "For rows and columns: adata[rows, cols]"
            )
            raise index_error(msg)
        # From the last axis to the first: one that is dropped moves those behind it.
        for axis in reversed(range(len(items))):
            item = items[axis]
            if isinstance(item, slice) and item == slice(None):
                continue
            if _index.is_integer(item) and not self._keeps_axes:
                native = native.at(axis, int(item))
            else:
                native = _index.select(native, axis, item)
        return native

    def resolve(self) -> Self:
        """Reads what the selection needs (names, columns of conditions), so that the shape is known."""
        self._native.resolve(*call())
        return self

    def plan(self, *, resolve: bool = False) -> Plan:
        """What reading it would cost. Reads nothing, or with `resolve` what is small and makes it exact."""
        plan = Plan(*self._native.plan(resolve, *call()))
        note_plan(plan)
        return plan

    def _to_dask(self, chunk_bytes: int | str | None, rows: int | None = None) -> Any:
        size = None if chunk_bytes is None else parse_size(chunk_bytes, "chunk_bytes")
        self.resolve()
        return dask_module().to_dask(self, size, rows)

    def _collect(self) -> Any:
        with self._watched():
            return self._native.collect(*call())

    def _watched(self, plan: Any = None) -> Any:
        """Says how far a long read of it is."""
        return watched(self.path, *self._measured(call(), plan))

    def _between(self, blocks: Iterator[Any], limits: Any) -> Iterator[Any]:
        """Says how far a long read in blocks is."""
        return between(self.path, *self._measured(limits), blocks)

    def _measured(self, limits: Any, plan: Any = None) -> tuple[Any, Any]:
        """What counts chunks, and how many there are."""
        plan = self._native.plan if plan is None else plan
        meter = limits[2] or self._store.session.meter
        return meter, lambda: Plan(*plan(False, *limits)).chunks.value

    def to_memory(self) -> Any:
        """Reads it."""
        with inside(self.path):
            return _convert.convert(self._collect())

    def __repr__(self) -> str:
        return _repr.element(self)

    def _repr_html_(self) -> str:
        return _html.element(self)


def dask_module() -> Any:
    """What needs Dask, which is imported where it is asked for."""
    try:
        from . import _dask
    except ImportError as e:
        raise missing_package("dask", "dask", "An array of Dask") from e
    return _dask


def _restore(cls: type[Element], store: Store, state: str, extra: dict[str, Any]) -> Element:
    return cls._rebuild(store, state, extra)

"""Elements that are not read yet. Indexing makes a new one; only verbs that collect read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self

import numpy as np

from . import _convert, _html, _index, _lazarr, _repr
from ._context import call, note_plan
from ._errors import index_error, inside, missing_package, type_error
from ._limits import parse_size
from ._plan import Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ._bridge import Bridged

__all__ = [
    "AwkwardElement",
    "BrokenElement",
    "DenseElement",
    "Element",
    "ScalarElement",
    "SparseElement",
    "Store",
    "StringsElement",
    "wrap",
]


HARMLESS = frozenset(
    f"{prefix}{name}"
    for prefix in ("", "aws_", "google_", "azure_", "azure_storage_")
    for name in (
        "account_name",
        "allow_http",
        "allow_invalid_certificates",
        "allow_redirects",
        "bandwidth",
        "connect_timeout",
        "default_region",
        "http1_only",
        "latency",
        "max_retries",
        "read_timeout",
        "region",
        "request_payer",
        "retry_timeout",
        "skip_signature",
        "slots",
        "timeout",
        "use_emulator",
        "user_agent",
        "virtual_hosted_style_request",
    )
)
"""Storage options that are no secret, and go into a pickle."""


class Store:
    """An open store, and how to open it again elsewhere."""

    __slots__ = ("args", "bridged", "session")

    def __init__(
        self,
        path: str | Bridged,
        memory_limit: int | None,
        threads: int | None,
        missing: str,
        audit: bool,
        follow_links: bool = False,
        limits: tuple[tuple[str, int], ...] = (),
        names: tuple[str, ...] = (),
        listing: bool = True,
        storage: tuple[tuple[str, str], ...] = (),
        zarr_format: int | None = None,
    ) -> None:
        self.bridged = None if isinstance(path, str) else path
        # A secret does not travel: who opens the store again has credentials of their own.
        plain = tuple((name, value) for name, value in storage if name in HARMLESS)
        self.args = (
            memory_limit,
            threads,
            missing,
            audit,
            follow_links,
            limits,
            names,
            listing,
            plain,
            zarr_format,
        )
        self.session = _lazarr.Session.open(
            path,
            memory_limit,
            threads,
            missing,
            audit,
            call()[2],
            follow_links,
            limits,
            names,
            listing,
            storage,
            zarr_format,
        )

    @property
    def place(self) -> Any:
        """What another process opens."""
        return self.bridged or self.session.url

    def urls(self) -> list[str]:
        """The stores that it is made of."""
        return [self.session.url]

    def of(self, native: _lazarr.Lazy) -> Store:
        """The store that an element is read from, where that is less than this."""
        del native
        return self

    def unlisted(self, path: str) -> bool:
        """Whether the keys of this mapping are not all known, because the store cannot list them."""
        return self.session.is_unlisted(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return Store, (self.bridged or self.session.url, *self.args)


class Composite(Store):
    """Stores that were joined, and values that were laid over them."""

    __slots__ = ("make", "rest", "under")

    def __init__(
        self,
        under: tuple[Store, ...],
        make: Callable[..., _lazarr.Session],
        rest: tuple[Any, ...],
        session: _lazarr.Session | None = None,
    ) -> None:
        self.under, self.make, self.rest = under, make, rest
        self.args, self.bridged = under[0].args, None
        self.session = make(under, *rest) if session is None else session

    @property
    def place(self) -> Any:
        """What another process makes anew."""
        from ._reader import Place, Reader

        return Place(self.session.identity, tuple(map(Reader.of, self.under)), self.make, self.rest)

    def urls(self) -> list[str]:
        """The stores that it is made of."""
        return [url for store in self.under for url in store.urls()]

    def of(self, native: _lazarr.Lazy) -> Store:
        """Where values are laid over one store, what is not of these values is read from that store."""
        laid_over = self.make.__module__.endswith("._lay")
        return self.under[0].of(native) if laid_over and not native.has_memory else self

    def __reduce__(self) -> tuple[Any, ...]:
        return Composite, (self.under, self.make, self.rest)


class Lazy:
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
        return self._native.collect(*call())

    def to_memory(self) -> Any:
        """Reads it."""
        with inside(self.path):
            return _convert.convert(self._collect())

    def __repr__(self) -> str:
        return _repr.element(self)

    def _repr_html_(self) -> str:
        return _html.element(self)


class _Turnable(Element):
    """An element with a transposed view."""

    __slots__ = ("_transposed",)
    _transposed: bool

    def __init__(self, native: _lazarr.Lazy, store: Store, *, transposed: bool = False) -> None:
        super().__init__(native, store)
        self._set(_transposed=transposed)

    def _extra(self) -> dict[str, Any]:
        return {"transposed": self._transposed}

    def _with(self, native: _lazarr.Lazy) -> Self:
        return type(self)(native, self._store, transposed=self._transposed)

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Its lengths; None where names or columns must be read to know."""
        shape = self._native.shape
        return shape[::-1] if self._transposed else shape

    @property
    def T(self) -> Self:
        """The transposed view."""
        return type(self)(self._native, self._store, transposed=not self._transposed)

    def __getitem__(self, index: Any) -> Self:
        if self._transposed:
            index = tuple(reversed(_index.unpack(index, self.ndim)))
        return super().__getitem__(index)

    def plan(self, *, resolve: bool = False, verb: str = "to_memory", axis: int = 0) -> Plan:
        """What a verb would cost. Reads nothing, or with `resolve` what is small and makes it exact.

        Parameters
        ----------
        resolve
            Make the small reads that exact numbers need.
        verb
            Which one: ``"to_memory"``, or ``"mean_var"`` along `axis`.
        axis
            Of ``"mean_var"``.
        """
        if verb == "to_memory":
            return super().plan(resolve=resolve)
        if verb != "mean_var":
            msg = f"a plan is made for verb='to_memory' or verb='mean_var', not {verb!r}"
            raise type_error(msg)
        plan = Plan(*self._native.plan_mean_var(self._stored_axis(axis), resolve, *call()))
        note_plan(plan)
        return plan

    def to_dask(self, *, chunk_bytes: int | str | None = None) -> Any:
        """It as a dask.array.Array in blocks of rows; a block of a sparse matrix is a csr_matrix.

        Of csr this reads the row starts, to cut blocks by their bytes; what a selection needs is read too.
        While the array is only sliced it stays a selection of this element, and a block reads what the result
        needs.

        Parameters
        ----------
        chunk_bytes
            Bytes of a block, at most (``"64MB"``), but a chunk at least. Default: an eighth of the memory
            limit for each thread, up to 128 MiB.
        """
        if self._transposed:
            msg = f"{self.path} is transposed, and blocks are cut along the stored rows: x.T.to_dask().T"
            raise type_error(msg)
        return self._to_dask(chunk_bytes)

    def mean_var(
        self, axis: int = 0, *, ddof: int = 0
    ) -> tuple[np.ndarray[Any, np.dtype[np.float64]], np.ndarray[Any, np.dtype[np.float64]]]:
        """Mean and variance in float64, from one pass over what is selected; nothing of it is kept.

        What a sparse matrix does not store is 0. The result is the same for any number of threads.

        Parameters
        ----------
        axis
            0 for those of each column over the rows, as of each gene over the cells; 1 for those of each row.
        ddof
            The variance is divided by the number of values less this, as in numpy.
        """
        if isinstance(ddof, bool) or not _index.is_integer(ddof) or ddof < 0:
            msg = f"ddof is an integer from 0 on, not {ddof!r}"
            raise type_error(msg)
        with inside(self.path):
            mean, var = self._native.mean_var(self._stored_axis(axis), ddof, *call())
        return _convert.array(mean), _convert.array(var)

    def _stored_axis(self, axis: int) -> int:
        if isinstance(axis, bool) or not _index.is_integer(axis) or axis not in {-2, -1, 0, 1}:
            msg = f"axis is 0 (over the rows) or 1 (over the columns), not {axis!r}"
            raise index_error(msg)
        axis = int(axis) % 2
        return 1 - axis if self._transposed else axis


class DenseElement(_Turnable):
    """An n-dimensional array. ``np.asarray(x)`` reads it."""

    __slots__ = ()

    def to_memory(self) -> Any:
        """Reads it: a numpy array."""
        array = _convert.array(self._collect())
        return array.T if self._transposed and isinstance(array, np.ndarray) else array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.asarray(self.to_memory(), dtype=dtype)

    def __buffer__(self, flags: int) -> memoryview:
        return memoryview(self.to_memory())

    def __dlpack__(self, **kwargs: Any) -> Any:
        return self.to_memory().__dlpack__(**kwargs)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0  # what is read lies in the memory of the processor

    def iter_rows(
        self,
        rows: int | None = None,
        *,
        bytes: int | None = None,  # noqa: A002 - what it counts
    ) -> Iterator[tuple[int, int, Any]]:
        """Reads it in blocks of rows, in order.

        Parameters
        ----------
        rows
            Rows in a block, at most.
        bytes
            Bytes of a block, at most. Without either, blocks fit well into the memory limit.

        Yields
        ------
        start, stop, block
            The first row, one past the last, and the array between them.
        """
        if self._transposed:
            msg = "a transposed array is not read in blocks of rows: x.T.iter_rows() gives its columns"
            raise type_error(msg)
        for start, stop, value in self._native.stream(rows, bytes, *call()):
            yield start, stop, _convert.array(value)


class StringsElement(DenseElement):
    """An array of strings. ``np.asarray(x)`` reads it."""

    __slots__ = ()


class ScalarElement(Element):
    """A single value."""

    __slots__ = ()

    @property
    def dtype(self) -> Any:
        """The numpy type, or ``"str"``."""
        return "str" if self._native.dtype == "string" else super().dtype

    def item(self) -> Any:
        """Reads it: a Python scalar."""
        return self.to_memory()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.asarray(self.to_memory(), dtype=dtype)


class SparseElement(_Turnable):
    """A compressed sparse matrix."""

    __slots__ = ()
    _keeps_axes = True

    @property
    def format(self) -> str:
        """``"csr"`` or ``"csc"``."""
        stored = self._native.format or "csr"
        return {"csr": "csc", "csc": "csr"}[stored] if self._transposed else stored

    @property
    def nnz(self) -> int | None:
        """Stored values; None where something is selected, for they must be read to be counted."""
        return self._native.nnz

    def to_memory(self, *, array: bool | None = None) -> Any:
        """Reads it: a scipy.sparse matrix, or with `array` a sparse array. None is anndata's setting."""
        matrix = _convert.sparse(self._collect(), as_array=array)
        return matrix.T if self._transposed else matrix

    def iter_rows(
        self,
        rows: int | None = None,
        *,
        bytes: int | None = None,  # noqa: A002 - what it counts
    ) -> Iterator[tuple[int, int, Any]]:
        """Reads it in blocks of rows, in order.

        Parameters
        ----------
        rows
            Rows in a block, at most.
        bytes
            Bytes of a block, at most. Without either, blocks fit well into the memory limit.

        Yields
        ------
        start, stop, block
            The first row, one past the last, and the matrix between them.
        """
        if self._transposed:
            msg = "a transposed matrix is not read in blocks of rows: x.T.iter_rows() gives its columns"
            raise type_error(msg)
        for start, stop, value in self._native.stream(rows, bytes, *call()):
            yield start, stop, _convert.sparse(value, as_array=False)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NoReturn:
        msg = "a sparse matrix does not become a dense array by itself: x.to_memory().toarray()"
        raise type_error(msg)


class AwkwardElement(Element):
    """An awkward array. It is read whole, and cut afterwards."""

    __slots__ = ()


class BrokenElement(Element):
    """Something that is there and cannot be read; ``x.error`` says why."""

    __slots__ = ()

    @property
    def error(self) -> str:
        """Why it cannot be read."""
        return self._native.error or "not known"

    def _raise(self) -> NoReturn:
        self._collect()  # reading what is broken is its error
        raise type_error(self.error)

    def __getitem__(self, index: Any) -> NoReturn:
        """Every use is its error."""
        self._raise()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NoReturn:
        self._raise()

    def __arrow_c_stream__(self, requested_schema: object = None) -> NoReturn:
        self._raise()

    def iter_rows(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Every use is its error."""
        self._raise()

    def mean_var(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Every use is its error."""
        self._raise()

    def __getattr__(self, name: str) -> NoReturn:
        if name in {"index", "columns", "X", "var", "var_names", "varm"}:
            self._raise()
        msg = f"this element cannot be read, and has no {name!r}: {self.error}"
        raise AttributeError(msg)


def dask_module() -> Any:
    """What needs Dask, which is imported where it is asked for."""
    try:
        from . import _dask
    except ImportError as e:
        raise missing_package("dask", "dask", "An array of Dask") from e
    return _dask


def _restore(cls: type[Element], store: Store, state: str, extra: dict[str, Any]) -> Element:
    return cls._rebuild(store, state, extra)


def wrap(
    native: _lazarr.Lazy,
    store: Store,
    *,
    transposed: bool = False,
    text_index: bool = False,
    trim: bool = False,
) -> Any:
    """The lazy object for an element: its class is that of its kind. A stored null is None.

    `text_index` and `trim` are of tables: whether names are spelled, and categories that no row has left out.
    """
    from ._anndata import AnnData
    from ._frame import Column, DataFrame
    from ._mapping import Mapping, Raw

    kind = native.kind
    if kind == "null":
        return None
    if kind == "anndata":
        return AnnData(store.session.anndata(native.path), store)
    if kind in {"dense", "strings", "sparse"}:
        cls = {"dense": DenseElement, "strings": StringsElement, "sparse": SparseElement}[kind]
        return cls(native, store, transposed=transposed)
    if kind == "dataframe":
        return DataFrame(native, store, text_index=text_index, trim=trim)
    if kind in {"categorical", "nullable"}:
        return Column(native, store)
    if kind == "raw":
        return Raw(native, store)
    if kind == "dict":
        return Mapping(native, store)
    simple = {"scalar": ScalarElement, "awkward": AwkwardElement}
    return simple.get(kind, BrokenElement)(native, store)

# ruff: noqa: A002, D400, E501, PYI021 - the contract is also its documentation
"""The native half of lazarr: bindings only. Everything here is private; the public classes are in Python."""

from collections.abc import Callable, Sequence
from typing import Any, Self, final

from ._bridge import Bridged

__all__ = [
    "OPTIMISED",
    "Blocks",
    "Buffer",
    "Lazy",
    "LazyAnnData",
    "Meter",
    "Picture",
    "Predicate",
    "Session",
    "Stop",
    "__version__",
    "append",
    "card",
    "codes",
    "diff",
    "explain",
    "is_clearing",
    "limits",
    "preset",
    "presets",
    "repair",
    "reset_peak",
    "resident",
    "strings",
    "write",
    "write_into",
]

__version__: str
OPTIMISED: bool

@final
class Buffer:
    """Bytes of a result; numpy takes them without a copy through `__array_interface__` (type `|u1`)."""

    def __len__(self) -> int: ...
    @property
    def __array_interface__(self) -> dict[str, Any]: ...

@final
class Meter:
    """Counts what calls do. Shared by all calls that it is passed to."""

    def __new__(cls) -> Meter: ...
    @property
    def requests(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def absent(self) -> int: ...
    @property
    def cached(self) -> int: ...
    @property
    def cached_bytes(self) -> int: ...
    @property
    def chunks(self) -> int: ...
    @property
    def decoded(self) -> int: ...
    @property
    def filled(self) -> int: ...
    @property
    def ledger_peak(self) -> int: ...

@final
class Stop:
    """Ends the calls that are made on another thread, in a `with` block there."""

    def __new__(cls) -> Stop: ...
    def stop(self) -> None: ...
    def __enter__(self) -> None: ...
    def __exit__(self, *_error: object) -> None: ...

@final
class Predicate:
    """A condition on the columns of one axis; nothing is read until it selects something that is collected."""

    @staticmethod
    def from_json(text: str) -> Predicate: ...
    def to_json(self) -> str: ...
    def __and__(self, other: Predicate, /) -> Predicate: ...
    def __rand__(self, other: Predicate, /) -> Predicate: ...
    def __or__(self, other: Predicate, /) -> Predicate: ...
    def __ror__(self, other: Predicate, /) -> Predicate: ...
    def __xor__(self, other: Predicate, /) -> Predicate: ...
    def __rxor__(self, other: Predicate, /) -> Predicate: ...
    def __invert__(self) -> Predicate: ...
    def __bool__(self) -> bool: ...
    def __getstate__(self) -> str: ...
    def __reduce__(self) -> tuple[Any, ...]: ...

@final
class Session:
    """An open store."""

    @staticmethod
    def open(
        path: str | Bridged,
        memory_limit: int | None,
        threads: int | None,
        missing: str,
        audit: bool,
        meter: Meter | None = None,
        follow_links: bool = False,
        limits: Sequence[tuple[str, int]] = ...,
        names: Sequence[str] = ...,
        listing: bool = True,
        storage: Sequence[tuple[str, str]] = ...,
        zarr_format: int | None = None,
    ) -> Session: ...
    @property
    def url(self) -> str: ...
    @property
    def identity(self) -> int:
        """What tells the store, with what is laid over it, from others."""
    @property
    def notices(self) -> list[str]:
        """What a person should know of the store, each with the line that mends it."""
    def is_unlisted(self, path: str) -> bool:
        """Whether the keys of this mapping are not all known, since the store cannot list them."""
    @property
    def zarr_format(self) -> int: ...
    @property
    def consolidated(self) -> bool: ...
    @property
    def memory_limit(self) -> int: ...
    @property
    def threads(self) -> int: ...
    @property
    def meter(self) -> Meter: ...
    def root(self) -> Lazy: ...
    def lazy(self, path: str) -> Lazy: ...
    def anndata(self, path: str) -> LazyAnnData: ...
    def stored(self, path: str, most: int) -> int | None: ...
    def clear_caches(self) -> None: ...

@final
class Lazy:
    """An element and what is selected of it. `axis` counts the axes that are visible (not dropped by an integer)."""

    @property
    def path(self) -> str: ...
    @property
    def kind(self) -> str:
        """Dense strings scalar sparse dataframe categorical nullable awkward dict anndata raw null broken"""
    @property
    def what(self) -> str:
        """One line for people: `csr_matrix float32 (50,000 × 20,000)`."""
    @property
    def encoding(self) -> tuple[str, str]: ...
    @property
    def shape(self) -> tuple[int | None, ...]: ...
    @property
    def stored_shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> Any:
        """Numpy's type string, a list of (name, type string) for structured types, "string", or None."""
    @property
    def format(self) -> str | None:
        """csr, csc"""
    @property
    def nnz(self) -> int | None: ...
    @property
    def ordered(self) -> bool | None: ...
    @property
    def n_categories(self) -> int | None: ...
    @property
    def nullable_kind(self) -> str | None:
        """integer, boolean, string, string-nan"""
    @property
    def has_memory(self) -> bool:
        """Whether some of it is in memory: it was laid over the store."""
    @property
    def is_whole(self) -> bool:
        """Whether nothing has been selected (of any axis)."""
    @property
    def error(self) -> str | None:
        """Why a broken element cannot be read."""
    def arrays(self) -> list[dict[str, Any]]:
        """path, shape, dtype (name), chunks, inner, rectilinear (bool), shards (bool), codec, decoded_bytes of each stored array."""
    def attributes(self) -> str: ...
    def decoded_bytes(self) -> tuple[int, str]:
        """Bytes of all its arrays once decoded, and how far to trust it (exact, upper, estimate)."""
    def children(self) -> list[tuple[str, str]]:
        """Names and kinds of what is below a mapping, raw or AnnData."""
    def child(self, name: str) -> Lazy: ...
    def column_names(self) -> list[str]: ...
    def index_name(self) -> str | None: ...
    def column(self, name: str) -> Lazy: ...
    def names(self) -> Lazy: ...
    def with_columns(self, names: Sequence[str]) -> Lazy: ...
    def slice(self, axis: int, start: int | None, stop: int | None, step: int | None) -> Lazy: ...
    def ints(self, axis: int, items: Any) -> Lazy:
        """`items`: a C-contiguous int64 array."""
    def at(self, axis: int, item: int) -> Lazy: ...
    def mask(self, axis: int, items: Any) -> Lazy:
        """`items`: a C-contiguous bool array."""
    def labels(self, axis: int, items: Sequence[str]) -> Lazy: ...
    def label_slice(self, axis: int, start: str | None, stop: str | None) -> Lazy: ...
    def labelled_mask(self, axis: int, labels: Sequence[str], items: Any) -> Lazy: ...
    def predicate(self, axis: int, predicate: Predicate) -> Lazy: ...
    def is_whole_along(self, axis: int) -> bool: ...
    def query(self, text: str) -> Lazy:
        """The rows of a table where the text of a query is true."""
    def describe_selection(self) -> str: ...
    def same_axis(self, axis: int, other: Lazy, other_axis: int) -> bool: ...
    # Of a 1-d column (of a table): predicates. `value` is None, pd.NA as the string marker via `na=True`, bool, int,
    # float, numpy float64 (as float, float64=True) or str.
    def compare(self, op: str, value: Any, na: bool = False, float64: bool = False) -> Predicate: ...
    def isin(self, values: Sequence[Any]) -> Predicate: ...
    def isna(self) -> Predicate: ...
    def notna(self) -> Predicate: ...
    def between(self, low: Any, high: Any, inclusive: str) -> Predicate: ...
    def startswith(self, prefix: Sequence[str]) -> Predicate: ...
    def endswith(self, suffix: Sequence[str]) -> Predicate: ...
    def contains(self, pattern: str, regex: bool, case: bool) -> Predicate: ...
    def as_predicate(self) -> Predicate:
        """A boolean column itself."""
    def resolve(self, memory_limit: int | None, threads: int | None, meter: Meter | None) -> None: ...
    def plan(
        self, resolve: bool, memory_limit: int | None, threads: int | None, meter: Meter | None
    ) -> tuple[str, str, Picture]:
        """Text and JSON."""
    def collect(self, memory_limit: int | None, threads: int | None, meter: Meter | None) -> Any:
        """See `lazarr._convert`: a tree of tuples."""
    def plan_mean_var(
        self, axis: int, resolve: bool, memory_limit: int | None, threads: int | None, meter: Meter | None
    ) -> tuple[str, str, Picture]: ...
    def mean_var(
        self, axis: int, ddof: int, memory_limit: int | None, threads: int | None, meter: Meter | None
    ) -> tuple[Any, Any]:
        """Two float64 arrays."""
    def value_counts(
        self, memory_limit: int | None, threads: int | None, meter: Meter | None
    ) -> tuple[Any, list[int], int, int]:
        """Values, how often each occurs, rows without a value, rows."""
    def stream(
        self,
        rows: int | None,
        bytes: int | None,
        memory_limit: int | None,
        threads: int | None,
        meter: Meter | None,
    ) -> Blocks:
        """Blocks of rows, in order: first row, one past the last, value."""
    def cuts(
        self, bytes: int | None, memory_limit: int | None, threads: int | None, meter: Meter | None
    ) -> tuple[list[int], list[int]]:
        """Of blocks of rows: one past the last row, and bytes."""
    def plan_cuts(
        self, memory_limit: int | None, threads: int | None, meter: Meter | None
    ) -> tuple[str, str, Picture]: ...
    def block(
        self, start: int, end: int, memory_limit: int | None, threads: int | None, meter: Meter | None
    ) -> Lazy:
        """Rows of what is selected, whose state needs no names and no columns."""
    def arrow(self, memory_limit: int | None, threads: int | None, meter: Meter | None) -> Any:
        """An `ArrowArrayStream` capsule, of a table or a column."""
    def arrow_column(
        self, memory_limit: int | None, threads: int | None, meter: Meter | None
    ) -> tuple[Any, Any]:
        """`ArrowSchema` and `ArrowArray` capsules, of a column."""
    def state(self) -> str: ...
    @staticmethod
    def from_state(session: Session, state: str) -> Lazy: ...

@final
class Picture:
    """A plan that can be drawn."""

    def svg(self) -> str: ...

@final
class Blocks:
    """Blocks of rows, in order: first row, one past the last, value."""

    def __iter__(self) -> Self: ...
    def __next__(self) -> tuple[int, int, Any]: ...

@final
class LazyAnnData:
    """A whole AnnData and what is selected of it; axis 0 is obs, 1 is var."""

    @property
    def path(self) -> str: ...
    @property
    def shape(self) -> tuple[int | None, int | None]: ...
    @property
    def stored_shape(self) -> tuple[int, int]: ...
    @property
    def is_view(self) -> bool: ...
    def places(self) -> list[tuple[str, str]]:
        """Names and kinds of what is at the root: X, obs, var, layers, …, raw."""
    def keys(self, place: str) -> list[str]: ...
    def get(self, path: str) -> Lazy: ...
    def element(self) -> Lazy:
        """The stored element itself (for its arrays and its size)."""
    def slice(self, axis: int, start: int | None, stop: int | None, step: int | None) -> LazyAnnData: ...
    def ints(self, axis: int, items: Any) -> LazyAnnData: ...
    def mask(self, axis: int, items: Any) -> LazyAnnData: ...
    def labels(self, axis: int, items: Sequence[str]) -> LazyAnnData: ...
    def label_slice(self, axis: int, start: str | None, stop: str | None) -> LazyAnnData: ...
    def labelled_mask(self, axis: int, labels: Sequence[str], items: Any) -> LazyAnnData: ...
    def predicate(self, axis: int, predicate: Predicate) -> LazyAnnData: ...
    def describe_selection(self) -> tuple[str, str]: ...
    def resolve(self, memory_limit: int | None, threads: int | None, meter: Meter | None) -> None: ...
    def plan(
        self,
        elements: Sequence[str] | None,
        resolve: bool,
        memory_limit: int | None,
        threads: int | None,
        meter: Meter | None,
    ) -> tuple[str, str, Picture]: ...
    def plan_cuts(
        self,
        elements: Sequence[str],
        cut: Sequence[str],
        resolve: bool,
        memory_limit: int | None,
        threads: int | None,
        meter: Meter | None,
    ) -> tuple[str, str, Picture]: ...
    def collect(
        self,
        elements: Sequence[str] | None,
        memory_limit: int | None,
        threads: int | None,
        meter: Meter | None,
        skip_broken: bool = False,
        nameless: bool = False,
    ) -> Any: ...
    def laid(
        self,
        place: str,
        values: Sequence[tuple[str, Any]],
        memory_limit: int | None,
        threads: int | None,
        meter: Meter | None,
    ) -> LazyAnnData:
        """The object with values laid over it: trees of tuples, as `collect` gives them."""
    @staticmethod
    def concat(
        parts: Sequence[LazyAnnData],
        outer: bool,
        label: str | None,
        keys: Sequence[str] | None,
        index_unique: str | None,
        fill_value: float | None,
        memory_limit: int | None,
        threads: int | None,
        meter: Meter | None,
    ) -> LazyAnnData: ...
    @property
    def session(self) -> Session: ...
    def state(self) -> str: ...
    @staticmethod
    def from_state(session: Session, state: str) -> LazyAnnData: ...

def resident() -> tuple[int, int] | None:
    """Bytes of this process in memory now, and the peak."""

def is_clearing() -> bool:
    """Whether interrupted writes to buckets are still clearing up what they have put there."""

def codes() -> list[tuple[str, str]]:
    """The number and the title of every error code."""

def explain(code: str) -> str | None:
    """The page of an error code; None where there is no such code."""

def limits() -> list[tuple[str, int, int]]:
    """The names of the limits, their defaults, and the most that each can be."""

def reset_peak() -> bool: ...
def strings(offsets: Buffer, data: Buffer, utf8: bool) -> list[str] | list[bytes]: ...

type _How = tuple[
    str,
    tuple[bool, bool, bool],
    Sequence[tuple[str, str]],
    Callable[[str, int], object] | None,
    Callable[[str, str, list[int | None], str], str | None] | None,
]

def write(
    source: Any,
    path: str,
    how: _How,
    memory_limit: int | None,
    threads: int | None,
    meter: Meter | None,
) -> tuple[int, int, int]:
    """Write a source to a path: files, bytes, arrays."""

def write_into(
    path: str,
    put: list[tuple[str, Any]],
    drop: list[str],
    how: _How,
    memory_limit: int | None,
    threads: int | None,
    meter: Meter | None,
) -> tuple[int, int, int]:
    """Put sources into a store at paths, and take elements out."""

def append(
    path: str,
    new: list[LazyAnnData],
    drop: list[str],
    how: _How,
    memory_limit: int | None,
    threads: int | None,
    meter: Meter | None,
) -> tuple[int, int, int]:
    """Append the cells of objects to a store."""

def diff(
    first: Session,
    second: Session,
    strict: bool,
    memory_limit: int | None,
    threads: int | None,
    meter: Meter | None,
) -> list[tuple[str, str, str, str, list[int], int]]:
    """What two stores say that is not the same."""

def preset(name: str, zarr_format: int) -> str:
    """A preset, as the JSON of its layout."""

def presets() -> list[tuple[str, str]]:
    """The names of presets, and what each is for."""

def card(
    object: LazyAnnData, memory_limit: int | None, threads: int | None, meter: Meter | None
) -> tuple[list[tuple[str, float]], tuple[int, int] | None]:
    """Measures what reading an object takes: seconds by what was read; bytes and files where it is on the disk."""

def repair(path: str, clear: bool, discard: bool) -> list[tuple[str, str, bool, bool]]:
    """What dead writers have left: store, leftover, whether it is being written now, and can be resumed."""

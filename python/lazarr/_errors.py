"""What can go wrong, as exceptions that a person would catch: each is also a builtin one."""

from __future__ import annotations

import difflib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

from . import _lazarr

__all__ = [
    "InternalError",
    "InvalidStoreError",
    "KeyNotFoundError",
    "KindError",
    "LazarrError",
    "MemoryLimitError",
    "NotConsolidated",
    "NotFoundError",
    "SelectionError",
    "StoreError",
    "UnsupportedError",
    "explain",
    "make",
]

_FIELDS = ("kind", "code", "message", "element", "key", "start", "end", "expected", "found", "help", "text")


class LazarrError(Exception):
    """Anything that lazarr raises.

    Attributes
    ----------
    code
        A stable number: ``LZ0302``.
    message
        What failed, in short; ``str(error)`` is the whole sentence.
    element, key
        The element (``obs/batch``) and the key in the store (``obs/batch/codes/c/0``), or None.
    byte_range
        First byte and one past the last, or None.
    expected, found, help
        What should have been, what was, and what to do, or None.
    """

    kind = "internal"

    def __init__(self, text: str, **fields: Any) -> None:
        super().__init__(text)
        self.text = text
        self.code: str = fields.get("code") or "LZ0703"
        self.message: str = fields.get("message") or text
        self.element: str | None = fields.get("element")
        self.key: str | None = fields.get("key")
        self.start: int | None = fields.get("start")
        self.end: int | None = fields.get("end")
        self.expected: str | None = fields.get("expected")
        self.found: str | None = fields.get("found")
        self.help: str | None = fields.get("help")
        self.add_note(f'lz.explain("{self.code}") says what it means and what to do')

    @property
    def byte_range(self) -> tuple[int, int] | None:
        """First byte and one past the last."""
        return None if self.start is None or self.end is None else (self.start, self.end)

    def __str__(self) -> str:
        # KeyError would show the text in quotes.
        return self.text

    def __reduce__(self) -> tuple[Any, ...]:
        return make, tuple(getattr(self, name) for name in _FIELDS)


class NotFoundError(LazarrError, FileNotFoundError):
    """There is nothing at this path, or nothing that is Zarr."""

    kind = "notfound"


class KeyNotFoundError(LazarrError, KeyError):
    """No element, column or label has this name."""

    kind = "key"


class SelectionError(LazarrError, IndexError):
    """A position, a mask or a predicate that does not fit."""

    kind = "index"


class KindError(LazarrError, TypeError):
    """Not possible on this kind of element, or with this kind of argument."""

    kind = "type"


class StoreError(LazarrError, OSError):
    """Reading failed below lazarr: permissions, the disk, the network."""

    kind = "io"


class InvalidStoreError(LazarrError, ValueError):
    """The store is broken, or contradicts itself."""

    kind = "invalid"


class UnsupportedError(LazarrError, ValueError):
    """Legal, but not something that this build can read."""

    kind = "unsupported"


class MemoryLimitError(LazarrError, MemoryError):
    """It does not fit into the memory that was allowed."""

    kind = "memory"


class InternalError(LazarrError, RuntimeError):
    """A defect of lazarr."""

    kind = "internal"


_KINDS: dict[str, type[LazarrError]] = {
    cls.kind: cls
    for cls in (
        NotFoundError,
        KeyNotFoundError,
        SelectionError,
        KindError,
        StoreError,
        InvalidStoreError,
        UnsupportedError,
        MemoryLimitError,
        InternalError,
    )
}


def make(  # the native module calls it with all of these
    kind: str,
    code: str,
    message: str,
    element: str | None,
    key: str | None,
    start: int | None,
    end: int | None,
    expected: str | None,
    found: str | None,
    help: str | None,  # noqa: A002 - the field's name
    text: str,
) -> LazarrError:
    """The exception for an error of the engine."""
    cls = _KINDS.get(kind, InternalError)
    return cls(
        text,
        code=code,
        message=message,
        element=element,
        key=key,
        start=start,
        end=end,
        expected=expected,
        found=found,
        help=help,
    )


class NotConsolidated(UserWarning):
    """The metadata of a store is not consolidated: it opens slowly or, where it cannot be listed, in part.

    Given once for each store; it names the line that mends it.
    """


class Page(str):
    """A text that shows itself as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def explain(code: str | LazarrError | None = None) -> Page:
    """What an error means, how it looks, likely causes, what to do, and what can still be read.

    Parameters
    ----------
    code
        What the error ends with (``"LZ0302"``), or the exception itself. None lists all codes.

    Examples
    --------
    >>> print(lz.explain("LZ0302"))  # doctest: +SKIP
    """
    if code is None:
        return Page("\n".join(f"{number}  {title}" for number, title in _lazarr.codes()))
    name: Any = code.code if isinstance(code, LazarrError) else code
    if not isinstance(name, str):
        msg = f"a code is a text such as 'LZ0302', not {type(code).__name__}"
        raise TypeError(msg)
    page = _lazarr.explain(name)
    if page is None:
        near = difflib.get_close_matches(name.strip().upper(), [number for number, _ in _lazarr.codes()], 3)
        msg = f"there is no error code {name!r}: {', '.join(near) or 'lz.explain() lists them all'}"
        raise ValueError(msg)
    return Page(page)


class _RefusedError(InvalidStoreError):
    """What a conversion refuses. Where it stands is known to its callers, from the inside out."""


def refused(message: str) -> InvalidStoreError:
    """Values that pandas or awkward would not take; :func:`inside` says where they are."""
    return _RefusedError(f"{message} [LZ0402]", code="LZ0402", message=message)


@contextmanager
def inside(path: str) -> Iterator[None]:
    """Names the place of what a conversion refuses."""
    try:
        yield
    except _RefusedError as e:
        if path:
            e.element = path if e.element is None else f"{path}/{e.element}"
            e.text = f"`{e.element}`: {e.message} [{e.code}]"
            e.args = (e.text,)
        raise


def misaligned(element: str, message: str, expected: str, found: str) -> InvalidStoreError:
    """Parts of an object that do not belong together."""
    text = f"`{element}`: {message}: expected {expected}, found {found} [LZ0407]"
    return InvalidStoreError(
        text, code="LZ0407", message=message, element=element, expected=expected, found=found
    )


def index_error(text: str) -> SelectionError:
    """An index that is not understood."""
    return SelectionError(text, code="LZ0504")


def type_error(text: str) -> KindError:
    """Something that this kind of object cannot do."""
    return KindError(text, code="LZ0507")


def missing_package(name: str, extra: str, what: str) -> ImportError:
    """A conversion needs a package that is not there."""
    return ImportError(f"{what} needs {name}: pip install 'lazarr[{extra}]'", name=name)

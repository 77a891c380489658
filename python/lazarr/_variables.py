"""Variables in a query: ``@name`` becomes the value, written as the query's language has it."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from ._errors import KeyNotFoundError, type_error

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["with_variables"]

# Text and names in backticks stay as they are.
_PLACES = re.compile(
    r"""(?P<quoted>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)|@(?P<name>[^\W\d]\w*(?:\.[^\W\d]\w*)*)"""
)
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"})


def with_variables(expr: str, names: Mapping[str, Any]) -> str:
    """The text of a query with its variables put in."""

    def put(match: re.Match[str]) -> str:
        name = match["name"]
        return match[0] if name is None else _written(name, _value(name, names))

    return _PLACES.sub(put, expr)


def _value(name: str, names: Mapping[str, Any]) -> Any:
    first, *attributes = name.split(".")
    if first not in names:
        msg = f"the query names the variable @{first}, which is not there"
        raise KeyNotFoundError(msg, code="LZ0501", found=f"@{first}")
    value = names[first]
    for attribute in attributes:
        value = getattr(value, attribute)
    return value


def _written(name: str, value: Any) -> str:
    if hasattr(value, "_native"):
        msg = f"@{name} is not read yet: read it first, {name}.to_memory()"
        raise type_error(msg)
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple | set | frozenset | range):
        return "[" + ", ".join(_written(name, item) for item in value) + "]"
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return repr(value)
    if isinstance(value, str):
        return f'"{value.translate(_ESCAPES)}"'
    msg = f"@{name} is {type(value).__name__}: a query compares with numbers, text, bools, and lists of these"
    raise type_error(msg)

"""Strict reading of JSON: each field once, with its type, and no unknown fields.

Each reader takes a decoded JSON value and returns it typed, or raises ValueError with a message
that continues "field 'x' ...". :class:`Fields` adds the place and converts the error to
NetworkError.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar

import numpy as np

from ..dtypes import Integers, IntType
from ..layers import NetworkError

__all__ = ["Fields", "array", "decode", "integer", "items", "member", "number", "text", "type_name"]

T = TypeVar("T")
E = TypeVar("E", bound=Enum)


def decode(document: str) -> object:
    """Decode JSON. Raises NetworkError for invalid JSON, NaN, infinities and repeated keys."""
    try:
        return json.loads(
            document, parse_constant=_refuse_constant, object_pairs_hook=_unique_object
        )
    except (ValueError, RecursionError) as error:
        raise NetworkError(f"not JSON: {error}") from None


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number; every number must be finite")


def _unique_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {max(names, key=names.count)!r} stands twice")
    return values


class Fields:
    """One JSON object while it is read; every error message about it begins with ``where``."""

    def __init__(self, where: str, value: object) -> None:
        if not isinstance(value, dict):
            raise NetworkError(f"{where} must be an object, not {_shown(value)}")
        self.where = where
        self.left = dict(value)

    def take(self, name: str, read: Callable[[object], T]) -> T:
        """The field ``name``, converted by ``read``. Raises NetworkError."""
        if name not in self.left:
            raise NetworkError(f"{self.where}: the field {name!r} is missing")
        try:
            return read(self.left.pop(name))
        except NetworkError:
            raise
        except ValueError as error:
            raise NetworkError(f"{self.where}: field {name!r} {error}") from None

    def done(self) -> None:
        """Refuse fields that were not taken. Raises NetworkError."""
        if self.left:
            raise NetworkError(f"{self.where}: the field {min(self.left)!r} is unknown")


def _shown(value: object) -> str:
    shown = json.dumps(value)
    return shown if len(shown) <= 40 else f"{shown[:37]}..."


def text(value: object) -> str:
    """A string."""
    if not isinstance(value, str):
        raise ValueError(f"must be a text, not {_shown(value)}")
    return value


def integer(value: object) -> int:
    """An integer; not 1.0, not true."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"must be an integer, not {_shown(value)}")
    return value


def number(value: object) -> float:
    """A float64; an integer is converted."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"must be a number, not {_shown(value)}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"must fit a float64, not {_shown(value)}") from None


def items(read: Callable[[object], T], length: int | None = None) -> Callable[[object], list[T]]:
    """A reader of lists: ``read`` converts each item; ``length``, if given, is their number."""

    def read_items(value: object) -> list[T]:
        if not isinstance(value, list) or (length is not None and len(value) != length):
            count = "" if length is None else f" of {length}"
            raise ValueError(f"must be a list{count}, not {_shown(value)}")
        return [read(item) for item in value]

    return read_items


def array(ndim: int) -> Callable[[object], Integers]:
    """A reader of nested lists of integers, ``ndim`` deep; the result is an array."""
    read: Callable[[object], Any] = integer
    for _ in range(ndim):
        read = items(read)

    def read_array(value: object) -> Integers:
        nested = read(value)
        try:
            return np.array(nested, dtype=np.int64)
        except OverflowError:
            raise ValueError("must hold integers of at most 64 bits") from None
        except ValueError:
            raise ValueError("must be lists of equal length") from None

    return read_array


def member(enum: type[E]) -> Callable[[object], E]:
    """A reader of the members of ``enum`` by value."""

    def read_member(value: object) -> E:
        names = {item.value: item for item in enum}
        if text(value) not in names:
            raise ValueError(f"must be one of {', '.join(names)}, not {value!r}")
        return names[text(value)]

    return read_member


def type_name(value: object) -> IntType:
    """An integer type from its name, such as uint8."""
    try:
        return IntType.parse(text(value))
    except ValueError as error:
        raise ValueError(f"is wrong: {error}") from None

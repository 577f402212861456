"""The fields of ``text_file.py`` by kind of layer, with their readers and writers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..layers import NetworkError
from .json_layers import KINDS

__all__ = [
    "FIELDS",
    "LINEAR_AXES",
    "REQUANT",
    "TENSOR",
    "TextError",
    "TextField",
    "fields_of",
    "word",
]

LINEAR_AXES = 2  # of a linear layer's weights in a network file: (OC, IC)
PLAIN = re.compile(r"[A-Za-z0-9_.+:/-]+")
INTEGER = re.compile(r"-?[0-9]{1,30}")
NUMBER = re.compile(r"-?[0-9]{1,400}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,4})?")


class TextError(NetworkError):
    """An error in a text, with its line number."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}")


@dataclass(frozen=True)
class TextField:
    """The reader and the writer of a field.

    read : (the words after its name) -> the JSON value; the ValueError's text continues "field ..."
    write : (the JSON value) -> the words
    """

    read: Callable[[list[str]], Any]
    write: Callable[[Any], str]


def word(text: str) -> str:
    """A word, in quotation marks if necessary."""
    return text if PLAIN.fullmatch(text) else json.dumps(text)


def _integer(text: str) -> int:
    if not INTEGER.fullmatch(text):
        raise ValueError(f"must be integers, not {_shown(text)}")
    return int(text)


def _number(text: str) -> int | float:
    if not NUMBER.fullmatch(text):
        raise ValueError(f"must be decimal numbers, not {_shown(text)}")
    return int(text) if INTEGER.fullmatch(text) else float(text)


def _name(text: str) -> str:
    return text


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:37]}...")


def _list(item: Callable[[str], Any], count: int | None = None) -> TextField:
    """A field of several words, read one by one; ``count`` of them, or at least one."""

    def read(words: list[str]) -> list[Any]:
        if len(words) != count if count is not None else not words:
            wanted = count if count is not None else "at least one"
            raise ValueError(f"takes {wanted} of them, not {len(words)}")
        return [item(text) for text in words]

    return TextField(read, lambda value: " ".join(map(_written, value)))


def _one(item: Callable[[str], Any], none: bool = False) -> TextField:
    """A field of a single word; if ``none`` is true, the word ``none`` means no value."""

    def read(words: list[str]) -> Any:
        if len(words) != 1:
            raise ValueError(f"takes one word, not {len(words)}")
        return None if none and words == ["none"] else item(words[0])

    return TextField(read, lambda value: "none" if value is None else _written(value))


def _written(value: Any) -> str:
    return word(value) if isinstance(value, str) else json.dumps(value)


def _read_reference(words: list[str]) -> Any:
    """``none``, a name, or the numbers of a requantization; each list follows its field's name."""
    if words[:1] != ["multipliers"] or len(words) < 2:
        return _one(_name, none=True).read(words)
    found: dict[str, list[str]] = {}
    for text in words:
        if text in NUMBERS:
            if text in found:
                raise ValueError(f"has {text!r} twice")
            found[text] = []
        else:
            found[next(reversed(found))].append(text)
    return {name: NUMBERS[name].read(values) for name, values in found.items()}


def _write_reference(value: Any) -> str:
    if not isinstance(value, dict):
        return _one(_name, none=True).write(value)
    return " ".join(f"{name} {NUMBERS[name].write(numbers)}" for name, numbers in value.items())


TENSOR = {
    "shape": _list(_integer, 3),
    "type": _one(_name),
    "scale": _one(_number),
    "zero_point": _one(_integer),
}
WEIGHTS = {
    "weight_type": _one(_name),
    "weight_scales": _list(_number),
    "weight_zero_points": _list(_integer),
    "weight_shape": _list(_integer),
    "channel": _list(_integer),
}
NUMBERS = {
    "multipliers": _list(_integer),
    "shift": _one(_integer),
    "rounding": _one(_name),
    "offsets": _list(_integer),
}
REQUANT = {
    **{name: NUMBERS[name] for name in ("multipliers", "shift", "rounding")},
    "clamp": _list(_integer, 2),
    "reference": TextField(_read_reference, _write_reference),
    "offsets": NUMBERS["offsets"],
}
FIELDS: dict[str, TextField] = {
    "network": _one(_name),
    "input": _one(_name),
    "output": _one(_name),
    "other": _one(_name),
    "others": _list(_name),
    "stride": _list(_integer, 2),
    "dilation": _list(_integer, 2),
    "kernel": _list(_integer, 2),
    "padding": _list(_integer, 4),
    "groups": _one(_integer),
    "low": _one(_integer),
    "high": _one(_integer),
    "first": _one(_integer),
    "values": _list(_integer),
    "factor": _list(_integer, 2),
    "bias": _list(_integer),
    **TENSOR,
    **WEIGHTS,
    **REQUANT,
}


def fields_of(kind: str, line: int) -> dict[str, bool]:
    """The fields of a kind of layer, and whether each is mandatory. Raises TextError."""
    if kind not in KINDS:
        raise TextError(line, f"there is no layer kind {kind!r}; there are {', '.join(KINDS)}")
    names = ["input", "output"]
    for name in KINDS[kind][1]:
        parts = {"weights": WEIGHTS, "requant": REQUANT}.get(name)
        names += [name] if parts is None else list(parts)
    return {name: name != "offsets" for name in names}

"""Names of layers and tensors: allowed characters, and numbers that make names unique."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import TypeVar

__all__ = ["distinct", "free_name", "identifier"]

K = TypeVar("K")


def identifier(name: str) -> str:
    """Make a layer's name from a module's or node's name: letters, digits and underscores."""
    text = "".join(c if c.isascii() and c.isalnum() else "_" for c in name).strip("_")
    return text if text.isidentifier() else f"layer_{text}"


def free_name(name: str, taken: Container[str]) -> str:
    """The name itself, or with a suffix _2, _3, ... if it is taken."""
    free, number = name, 2
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    return free


def distinct(wanted: Iterable[tuple[K, str]], taken: Iterable[str] = ()) -> dict[K, str]:
    """A unique name for each key: the wanted one, with a number if it is taken already."""
    used = set(taken)
    result = {}
    for key, name in wanted:
        result[key] = free_name(name, used)
        used.add(result[key])
    return result

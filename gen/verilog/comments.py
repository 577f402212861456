"""The comment of a Verilog module: the start of its component's docstring, and its latency."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

from amaranth.hdl import Fragment
from amaranth.lib import wiring

__all__ = ["comments_of"]

LATENCIES = ("latency", "read_cycles", "lead", "LATENCY")  # of a component or its spec
REFERENCE = re.compile(r",? (?:see|as) (?::class:`[^`]*`|``[^`]*``)")
ROLE = re.compile(r":class:`([^`]*)`|``([^`]*)``")


def comments_of(fragment: Fragment, path: str) -> Iterator[tuple[str, str]]:
    """(path, comment) of a fragment's module and all modules below it; a path is joined by dots."""
    for origin in fragment.origins or ():
        if isinstance(origin, wiring.Component):
            yield path, _comment(origin)
            break
    for child, name, _ in fragment.subfragments:
        if name is not None:
            yield from comments_of(child, f"{path}.{name}")


def _comment(component: wiring.Component) -> str:
    """The first paragraph of a docstring, the formula that may follow it, and the latency."""
    first, second, *_ = [*(inspect.getdoc(type(component)) or "").split("\n\n"), ""]
    formula = f": {second.strip()}" if second.startswith("    ") else ""
    said = ROLE.sub(lambda match: match[1] or match[2], REFERENCE.sub("", _line(first)))
    said = f"{type(component).__name__}: {said.rstrip('.:')}{_line(formula)}"
    numbers = getattr(component, "spec", component)
    latency = next((getattr(numbers, name) for name in LATENCIES if hasattr(numbers, name)), 0)
    cycles = f"latency {latency} cycle{'' if latency == 1 else 's'}"
    return f"{said}; {cycles}."


def _line(text: str) -> str:
    return " ".join(text.split())

"""Plans of a network from the smallest to the fastest: multipliers against cycles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from ..model.network import QNetwork
from .choose import front
from .forms import Choice
from .plan import forms_of
from .tables import table

__all__ = ["Point", "sweep", "sweep_picture", "sweep_table"]

STEP = 0.85  # each plan takes at most this share of the cycles of the one before
ROWS = 12  # of the picture


@dataclass(frozen=True)
class Point:
    """A plan that none is both smaller and faster than.

    cycles : of the slowest layer, which sets the pace unless layers wait for each other
    slowest : its name
    utilization : multiplications over multipliers times cycles
    """

    multipliers: int
    cycles: int
    utilization: float
    slowest: str

    @classmethod
    def of(cls, choice: Choice) -> Point:
        """The point of a plan."""
        slowest = max(choice.forms, key=lambda form: form.busy_cycles)
        multiplies = sum(form.part.multiplies for form in choice.forms)
        share = multiplies / max(choice.multipliers * choice.cycles, 1)
        return cls(choice.multipliers, choice.cycles, round(share, 4), slowest.part.name)

    def facts(self) -> dict[str, Any]:
        """The point, as a plain dict."""
        return asdict(self)


def sweep(network: QNetwork) -> list[Point]:
    """The plans that none beats, thinned to steps of ``STEP`` in cycles, the smallest first."""
    return [Point.of(choice) for choice in front(forms_of(network), STEP)]


def sweep_table(name: str, points: Sequence[Point]) -> Table:
    """A row for each plan."""
    return table(
        f"{name}: sweep",
        ["multi-\npliers>", "cycles between\nimages>", "utili-\nzation>", "slowest layer"],
        ((p.multipliers, p.cycles, f"{p.utilization:.0%}", p.slowest) for p in points),
    )


def sweep_picture(points: Sequence[Point], width: int) -> list[str]:
    """Cycles, upward, against multipliers, to the right, both in logarithms; lines of text."""
    cycles = [point.cycles for point in points]
    multipliers = [max(point.multipliers, 1) for point in points]
    labels = [f"{max(cycles)} ", f"{min(cycles)} "]
    margin = max(map(len, labels))
    columns = width - margin - 2
    grid = [[" "] * columns for _ in range(ROWS)]
    for x, y in zip(multipliers, cycles, strict=True):
        row = _place(y, min(cycles), max(cycles), ROWS)
        grid[ROWS - 1 - row][_place(x, min(multipliers), max(multipliers), columns)] = "●"
    sides = [labels[0], *[""] * (ROWS - 2), labels[1]]
    lines = [
        f"{side:>{margin}}│{''.join(row)}".rstrip() for side, row in zip(sides, grid, strict=True)
    ]
    least, most = f"{min(multipliers)}", f"{max(multipliers)} multipliers"
    axis = f"{'':{margin}}└{'─' * columns}"
    return [
        "cycles between images",
        *lines,
        axis,
        f"{'':{margin}} {least}{most:>{columns - len(least)}}",
    ]


def _place(value: int, least: int, most: int, places: int) -> int:
    """Where a value stands between two others by its logarithm."""
    if least == most:
        return 0
    return round((places - 1) * math.log(value / least) / math.log(most / least))

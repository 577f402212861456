"""A sweep as a table and as a text plot."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.table import Table

from ...model.terminal import table
from ..plan.sweep import Point

__all__ = ["sweep_picture", "sweep_table"]

ROWS = 12  # lines of the plot


def sweep_table(name: str, points: Sequence[Point]) -> Table:
    """A table with a row for each plan."""
    return table(
        f"{name}: sweep",
        ["multi-\npliers>", "cycles between\nimages>", "utili-\nzation>", "slowest layer"],
        ((p.multipliers, p.cycles, f"{p.utilization:.0%}", p.slowest) for p in points),
    )


def sweep_picture(points: Sequence[Point], width: int) -> list[str]:
    """A log-log plot as lines of text: cycles (upward) against multipliers (to the right)."""
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
    """The position of a value between two limits on a logarithmic scale, 0 to places - 1."""
    if least == most:
        return 0
    return round((places - 1) * math.log(value / least) / math.log(most / least))

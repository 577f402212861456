"""The geometry of the report's drawings; the templates draw what these functions return.

Coordinates are SVG user units, y downwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ...model.studies.rows import Facts

__all__ = ["Box", "Edge", "Wave", "boxes_and_edges", "ticks", "waves"]

ROW = 44  # from one layer to the next
BOX = 30  # height of a box
LANE = 14  # between the vertical parts of edges that pass other layers
STEP = 26  # width of a cycle in the timing diagram


@dataclass(frozen=True)
class Box:
    """A layer: the top of its box, and its facts."""

    y: int
    layer: Mapping[str, Any]


@dataclass(frozen=True)
class Edge:
    """A stream between boxes; ``lane`` is 0 for neighbours, else its place at the side."""

    start: int
    end: int
    lane: int


def boxes_and_edges(layers: Sequence[Facts]) -> tuple[list[Box], list[Edge]]:
    """The picture of a network: its layers from top to bottom, and what each reads.

    layers : facts with ``name`` and ``reads`` (names of layers; the input is the first entry)
    """
    at = {layer["name"]: index for index, layer in enumerate(layers)}
    boxes = [Box(ROW * index, layer) for index, layer in enumerate(layers)]
    edges, ends = [], [0] * len(layers)  # by lane: the row at which it is free again
    for layer in layers:
        for name in layer["reads"]:
            start, end = at[name], at[layer["name"]]
            lane = 0
            if end - start > 1:
                lane = next(n for n, free in enumerate(ends, 1) if free <= start)
                ends[lane - 1] = end
            edges.append(Edge(ROW * start + BOX, ROW * end, lane))
    return boxes, edges


def ticks(most: int, count: int = 5) -> list[int]:
    """Round numbers from 0 to at most ``most``, about ``count`` of them."""
    rough = max(most / count, 1)
    power = 10 ** (len(str(int(rough))) - 1)
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough)
    return list(range(0, most + 1, step))


@dataclass(frozen=True)
class Wave:
    """A signal of the timing diagram.

    points : of its polyline; empty for a bus
    cells : of a bus, (x, width, text)
    """

    name: str
    points: str
    cells: Sequence[tuple[int, int, str]]


# One frame: two beats, a pause of the source, more beats, the last one; then the results. Each
# entry is a cycle, which begins with a rising edge; "~" stands for beats that are left out.
FRAME: dict[str, Sequence[Any]] = {
    "s_axis_tdata": ["", "0", "1", "", "2", "~", "{last}", "", "", "", "", "", ""],
    "s_axis_tvalid": [0, 1, 1, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0],
    "s_axis_tready": [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
    "s_axis_tlast": [0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0],
    "frame_good": [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0],
    "m_axis_tdata": ["", "", "", "", "", "", "", "", "", "0", "~", "{results}", ""],
    "m_axis_tvalid": [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0],
    "m_axis_tlast": [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0],
}


def waves(beats: int, results: int) -> list[Wave]:
    """The timing diagram of one frame of ``beats`` beats in and ``results`` beats out."""
    texts = {"{last}": str(beats - 1), "{results}": str(results - 1)}
    drawn = [Wave("clk", _line([1, 0] * len(FRAME["s_axis_tvalid"]), STEP // 2), ())]
    for name, cycles in FRAME.items():
        if isinstance(cycles[0], str):
            cells = [
                (STEP * index, STEP, "…" if text == "~" else texts.get(text, text))
                for index, text in enumerate(cycles)
                if text
            ]
            drawn.append(Wave(name, "", cells))
        else:
            drawn.append(Wave(name, _line(cycles, STEP), ()))
    return drawn


def _line(levels: Sequence[int], step: int) -> str:
    """The points of a signal between 0 (y = 16) and 1 (y = 2)."""
    heights = [2 if level else 16 for level in levels]
    points = [(0, heights[0])]
    for index, (before, after) in enumerate(pairwise(heights), 1):
        points += [(step * index, before), (step * index, after)] if before != after else []
    points.append((step * len(heights), heights[-1]))
    return " ".join(f"{x},{y}" for x, y in points)

"""The steps of an engine: its slots and results for each beat."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter

from ...hw.geometry import PatchGeometry
from ..timing.processes import Step

__all__ = ["engine_steps"]


def engine_steps(geometry: PatchGeometry) -> list[Step]:
    """The steps of one image; equal consecutive beats are one entry.

    A beat of a patch takes one cycle for each slot of its group. The last beat of a patch and group
    makes the group's sums. Other beats take one cycle and make nothing.
    """
    g = geometry
    adds, closes, drops = (g.slots, 0), (g.slots, g.slots), (1, 0)
    ends = [(g.channel_steps - 1, *adds), (1, *closes)] * g.group_steps
    tail = (g.tail_steps * g.pixel_steps, *drops)
    row = [(g.column_steps * g.kx_steps * g.pixel_steps, *adds), tail]
    last = [((g.kx_steps - 1) * g.pixel_steps, *adds), *ends] * g.column_steps + [tail]
    rows = (row * (g.kernel[0] - 1) + last) * g.rows
    rows.append((g.tail_rows * g.row_beats * g.pixel_steps, *drops))
    steps = []
    for kind, alike in groupby(filter(itemgetter(0), rows), itemgetter(1, 2)):
        steps.append((sum(count for count, _, _ in alike), *kind))
    return steps

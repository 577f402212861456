"""The number of credits of an engine (``hw/credits.py``)."""

from __future__ import annotations

from collections.abc import Sequence

from ...hw.geometry import PatchGeometry
from ...hw.patch import MOST_LATE, patch_latency

__all__ = ["CREDITS", "MANY_MULTIPLIERS", "credits_for", "keeps_up"]

MANY_MULTIPLIERS = 7  # or adders of an average: too many for one enable signal in a cycle
CREDITS = 17  # 16 rows of LUT RAM, and the next result in a register


def credits_for(
    geometry: PatchGeometry, sent: Sequence[int], *, windows: bool, spread: bool = False
) -> int:
    """How many credits an engine gets.

    A small engine gets none: one enable can stall it. A larger one gets the fewest (1 or 17) that
    never delay a result. If 17 are not enough either, it gets 17 after a window reader and else
    none: only after a window reader are the engine's cycles computed result by result.

    sent : cycles in which the sums of a group are drained, slot by slot
    windows : whether a window reader precedes the engine
    spread : whether its weights are in block RAMs that are far from each other
    """
    if geometry.multipliers < MANY_MULTIPLIERS and not spread:
        return 0
    enough = (credits for credits in (1, CREDITS) if keeps_up(geometry, sent, credits))
    return next(enough, CREDITS if windows else 0)


def keeps_up(geometry: PatchGeometry, sent: Sequence[int], credits: int) -> bool:
    """Whether no result waits for a credit.

    Groups follow each other as fast as they can, the sums of a slot take ``sent`` cycles to drain,
    and nothing else stalls.
    """
    g, free = geometry, 0
    apart = (g.kx_steps if g.group_steps == 1 else 1) * g.channel_steps * g.slots
    if sum(sent) > apart:
        return False
    way = patch_latency(g, MOST_LATE, credits)
    taken: list[int] = []
    for group in range(2 + 3 * credits // g.slots):
        for slot, parts in enumerate(sent):
            step = group * apart + slot
            if len(taken) >= credits and taken[-credits] >= step:
                return False
            taken.append(max(step + way, free))
            free = taken[-1] + parts
    return True

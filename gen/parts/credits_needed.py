"""How many credits an engine gets (``hw/credits.py``)."""

from __future__ import annotations

from collections.abc import Sequence

from ...hw.geometry import PatchGeometry
from ...hw.patch import MOST_LATE, patch_latency

__all__ = ["CREDITS", "MANY_MULTIPLIERS", "credits_for", "keeps_up"]

MANY_MULTIPLIERS = 7  # or adders of an average: what one enable can no longer reach in a cycle
CREDITS = 17  # 16 rows of LUT RAM, and the one that is next


def credits_for(
    geometry: PatchGeometry, sent: Sequence[int], *, windows: bool, spread: bool = False
) -> int:
    """Credits of an engine: 0 where it is small enough to stand still as one, else as few as hold
    nothing up. Where none do that, again 0 but behind a window reader, since only there the
    engine's cycles are told result by result.

    sent : cycles in which a group's sums are sent on, slot by slot
    windows : whether a window reader stands before it
    spread : whether its weights lie in block RAMs apart from each other
    """
    if geometry.multipliers < MANY_MULTIPLIERS and not spread:
        return 0
    enough = (credits for credits in (1, CREDITS) if keeps_up(geometry, sent, credits))
    return next(enough, CREDITS if windows else 0)


def keeps_up(geometry: PatchGeometry, sent: Sequence[int], credits: int) -> bool:
    """Whether no result waits for a credit where groups follow each other as fast as they can, each
    result is sent on in as many cycles as beats, and nobody else waits."""
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

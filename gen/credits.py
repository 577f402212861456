"""Engines with credits (``hw/credits.py``): how many they get, and when they take what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..hw.geometry import PatchGeometry
from ..hw.patch import PatchEngine
from .channel import Channel, Process, Wait, even
from .timing import Step

__all__ = ["credited", "credits_for", "keeps_up"]

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
    way = PatchEngine.most_latency(g, credits)
    taken: list[int] = []
    for group in range(2 + 3 * credits // g.slots):
        for slot, parts in enumerate(sent):
            step = group * apart + slot
            if len(taken) >= credits and taken[-credits] >= step:
                return False
            taken.append(max(step + way, free))
            free = taken[-1] + parts
    return True


def credited(i: Channel, o: Channel, latency: int, credits: int, steps: Iterable[Step]) -> Process:
    """A pipeline that never stalls, with credits for its results: one sets out from the cycle after
    that in which the one so many before it was taken; a step without a result waits for nothing.

    i, o : its channels
    latency : cycles from a step to its result offered, behind the queue
    credits : results on their way or waiting, at most
    steps : runs of activations alike
    """
    free = 0  # the cycle from which it can take a step
    singly = 0  # activations to come that take one cycle each
    i.room = lambda cycle: len(i.takes) + (singly if cycle >= free else 0)
    for count, slots, made in steps:
        while count:
            singly = count if (slots, made) == (1, 0) else 0
            offer = yield from i.next()
            start = max(offer.cycle, free) + slots - 1
            if made:
                run = 1, (yield from _results(o, start, made, latency, credits)), 1
            else:
                lines = [(cycle + slots - 1, stride) for cycle, stride in offer.lines]
                run = even(start, offer.pace + slots - 1, lines, min(count, offer.count))
            count -= run[0]
            free = run[1] + (run[0] - 1) * run[2] + 1
            singly = max(singly - run[0], 0)
            i.taken(run)


def _results(o: Channel, last: int, made: int, latency: int, credits: int) -> Wait[int]:
    """Results in the last slots of an activation, the last of them in the cycle ``last`` if none
    waits for a credit; return the cycle in which it is."""
    cycle = last - made
    for _ in range(made):
        cycle += 1
        taken = o.offered - credits
        if taken >= 0:
            while len(o.takes) <= taken:
                yield o.takes
            cycle = max(cycle, o.takes[taken] + 1)
        o.offer(1, cycle + latency, 1)
    return cycle

"""Engines with credits (``hw/credits.py``): when they take what."""

from __future__ import annotations

from collections.abc import Iterable

from .channel import Channel, Process, Wait, even
from .processes import Step

__all__ = ["credited"]


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

"""The timing of engines with credits (``hw/credits.py``)."""

from __future__ import annotations

from collections.abc import Iterable

from .channel import Channel, Process, Wait, even
from .processes import Step

__all__ = ["credited"]


def credited(i: Channel, o: Channel, latency: int, credits: int, steps: Iterable[Step]) -> Process:
    """A pipeline that never stalls, with credits for its results.

    A result may enter the pipeline from the cycle after the transfer of the result ``credits``
    before it. A step without a result waits for no credit.

    i, o : input and output channels
    latency : cycles from a step to the offer of its result, the queue included
    credits : the most results that are in the pipeline or in the queue
    steps : runs of equal activations
    """
    free = 0  # the first cycle in which it can take a step
    singly = 0  # next activations that take one cycle each
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
                run = even(start, offer.interval + slots - 1, lines, min(count, offer.count))
            count -= run[0]
            free = run[1] + (run[0] - 1) * run[2] + 1
            singly = max(singly - run[0], 0)
            i.taken(run)


def _results(o: Channel, last: int, made: int, latency: int, credits: int) -> Wait[int]:
    """Make the results of the last slots of an activation; return the cycle of the last one.

    last : the cycle of the last result if none waits for a credit
    """
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

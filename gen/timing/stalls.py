"""A pipeline that stalls as one, in time."""

from __future__ import annotations

from collections import deque

from .channel import Channel, Offer, Run, Wait, even

__all__ = ["Slots"]

MANY = 1 << 62  # more activations than there are


class Slots:
    """The slots of a pipeline that stalls as one while its result waits.

    It moves, by one slot, in every cycle in which no result waits: slot s is the cycle s plus the
    stalls so far. A result leaves ``latency`` slots after its step, whatever comes in meanwhile.
    """

    def __init__(self, o: Channel, latency: int) -> None:
        self._o, self._latency = o, latency
        self._slot, self._stalled = -1, 0
        self._leaving: deque[Run] = deque()  # slots of results whose wait is not known yet
        self._left = 0  # results before those
        o.rigid = True

    def take(self, offer: Offer, most: int, slots: int, made: int) -> Wait[Run]:
        """Work on activations, at most ``most``; return the cycles of their last slots, in which
        they are taken. Each takes ``slots``, and makes a result in each of the last ``made``."""
        slot = max(self._slot + 1, offer.cycle - self._stalled)
        if self._leaving and self._leaving[0][1] <= slot:
            slot = yield from self._started(offer.cycle)
        free = min(most, offer.count, self.free(slot + self._stalled, slots, made))
        if free < 1:
            return (yield from self._one(slot, slots, made))
        lines = [(cycle + slots - 1, stride) for cycle, stride in offer.lines]
        run = even(slot + self._stalled + slots - 1, offer.pace + slots - 1, lines, free)
        count, first, stride = run
        self._slot = first - self._stalled + (count - 1) * stride
        start = first - self._stalled - made + 1
        if made == 1:
            self._make(count, start, stride)
        elif made == stride:
            self._make(count * made, start, 1)
        elif made:
            for slot in range(start, start + count * stride, stride):
                self._make(made, slot, 1)
        self._forget(self._slot)
        return run

    def free(self, cycle: int, slots: int, made: int) -> int:
        """How many activations from ``cycle`` on, at best, are known to find no slot stalled."""
        if self._late():
            return 0
        if self._leaving:
            cycle = self._leaving[0][1] + self._stalled
        elif made:
            cycle += slots - made + self._latency
        else:
            return MANY
        known = self._o.room(cycle) - self._o.offered
        if known < 0:
            return 0
        return known // made if made else MANY

    def _late(self) -> bool:
        """Whether the next result is known to wait. Those that are known not to are forgotten."""
        while self._leaving and len(self._o.takes) > self._left:
            count, leaves, stride = self._leaving[0]
            alike, taken, step = self._o.takes.run_from(self._left)
            if taken - leaves != self._stalled:
                return True
            same = min(count, alike) if step == stride else 1
            self._forget(leaves + (same - 1) * stride, same)
        return False

    def next_slot(self, cycle: int) -> int:
        """The cycle in which an activation offered in ``cycle`` begins if nothing more stalls."""
        return max(self._slot + 1 + self._stalled, cycle)

    def _started(self, cycle: int) -> Wait[int]:
        """Wait for the first slot of an activation that is offered from ``cycle`` on."""
        slot = max(self._slot + 1, cycle - self._stalled)
        while self._leaving and self._leaving[0][1] <= slot:
            leaves = yield from self._wait()
            slot = max(leaves, cycle - self._stalled)
        return slot

    def _one(self, slot: int, slots: int, made: int) -> Wait[Run]:
        """One activation, whatever stalls."""
        for last in range(slots):
            slot += last > 0
            while self._leaving and self._leaving[0][1] <= slot:
                yield from self._wait()
            if last >= slots - made:
                self._make(1, slot, 1)
        self._slot = slot
        return 1, slot + self._stalled, 1

    def _make(self, count: int, slot: int, stride: int) -> None:
        """Results of steps in every ``stride``-th slot from ``slot`` on."""
        run = (count, slot + self._latency, stride)
        self._leaving.append(run)
        self._o.offer(*run)

    def _wait(self) -> Wait[int]:
        """Wait until it is known when the next result is taken; return its slot."""
        index, (_, leaves, _) = self._left, self._leaving[0]
        while len(self._o.takes) <= index:
            if self._o.room(leaves + self._stalled) > index:
                break
            yield self._o.takes
        else:
            self._stalled = self._o.takes[index] - leaves
        if self._left == index:
            self._forget(leaves, 1)
        return leaves

    def _forget(self, slot: int, most: int = MANY) -> None:
        """Results have left by ``slot``, at most so many."""
        while most and self._leaving and self._leaving[0][1] <= slot:
            count, leaves, stride = self._leaving.popleft()
            gone = min(most, count, (slot - leaves) // stride + 1)
            self._left += gone
            most -= gone
            if gone < count:
                self._leaving.appendleft((count - gone, leaves + gone * stride, stride))

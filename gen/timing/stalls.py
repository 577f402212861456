"""The timing of a pipeline that stalls as one."""

from __future__ import annotations

from collections import deque

from .channel import Channel, Offer, Run, Wait, even

__all__ = ["Slots"]

MANY = 1 << 62  # more activations than there are


class Slots:
    """The slots of a pipeline that stalls as one while its result waits.

    The pipeline advances by one slot in every cycle in which no result waits: slot s is the cycle s
    plus the stalls so far. A result leaves ``latency`` slots after its step; later inputs do not
    change this.
    """

    def __init__(self, o: Channel, latency: int) -> None:
        self._o, self._latency = o, latency
        self._slot, self._stalled = -1, 0
        self._leaving: deque[Run] = deque()  # slots of results whose transfer is not known yet
        self._left = 0  # number of results before these
        o.rigid = True

    def take(self, offer: Offer, most: int, slots: int, made: int) -> Wait[Run]:
        """Process up to ``most`` activations; return the cycles in which they are taken.

        Each activation takes ``slots`` slots and is taken in the last of them. It makes a result in
        each of its last ``made`` slots.
        """
        slot = max(self._slot + 1, offer.cycle - self._stalled)
        if self._leaving and self._leaving[0][1] <= slot:
            slot = yield from self._started(offer.cycle)
        free = min(most, offer.count, self.free(slot + self._stalled, slots, made))
        if free < 1:
            return (yield from self._one(slot, slots, made))
        lines = [(cycle + slots - 1, stride) for cycle, stride in offer.lines]
        run = even(slot + self._stalled + slots - 1, offer.interval + slots - 1, lines, free)
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
        """The number of activations from ``cycle`` on that are known to meet no stall."""
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
        """Whether the next result is known to wait. Results known not to wait are dropped."""
        while self._leaving and len(self._o.takes) > self._left:
            count, leaves, stride = self._leaving[0]
            alike, taken, step = self._o.takes.run_from(self._left)
            if taken - leaves != self._stalled:
                return True
            same = min(count, alike) if step == stride else 1
            self._forget(leaves + (same - 1) * stride, same)
        return False

    def next_slot(self, cycle: int) -> int:
        """The first cycle of an activation offered in ``cycle`` if there are no further stalls."""
        return max(self._slot + 1 + self._stalled, cycle)

    def _started(self, cycle: int) -> Wait[int]:
        """Wait until the first slot of an activation offered from ``cycle`` on is known."""
        slot = max(self._slot + 1, cycle - self._stalled)
        while self._leaving and self._leaving[0][1] <= slot:
            leaves = yield from self._wait()
            slot = max(leaves, cycle - self._stalled)
        return slot

    def _one(self, slot: int, slots: int, made: int) -> Wait[Run]:
        """Process one activation, with any stalls."""
        for last in range(slots):
            slot += last > 0
            while self._leaving and self._leaving[0][1] <= slot:
                yield from self._wait()
            if last >= slots - made:
                self._make(1, slot, 1)
        self._slot = slot
        return 1, slot + self._stalled, 1

    def _make(self, count: int, slot: int, stride: int) -> None:
        """Offer the results of ``count`` steps, in every ``stride``-th slot from ``slot`` on."""
        run = (count, slot + self._latency, stride)
        self._leaving.append(run)
        self._o.offer(*run)

    def _wait(self) -> Wait[int]:
        """Wait until the transfer of the next result is known; return its slot."""
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
        """Drop results that have left by ``slot``, at most ``most``."""
        while most and self._leaving and self._leaving[0][1] <= slot:
            count, leaves, stride = self._leaving.popleft()
            gone = min(most, count, (slot - leaves) // stride + 1)
            self._left += gone
            most -= gone
            if gone < count:
                self._leaving.appendleft((count - gone, leaves + gone * stride, stride))

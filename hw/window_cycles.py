"""The cycles in which a window reader writes and reads, to compute its cycles per image."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque

__all__ = ["Reads", "Writes"]


class Writes:
    """The cycles of writes: one element per ``interval`` cycles, as far as elements are allowed."""

    def __init__(self, interval: int) -> None:
        self._interval = interval
        self._elements, self._cycles = [0], [0]  # runs without a wait: first element and its cycle
        self._limit = 0

    def allow(self, limit: int, cycle: int) -> None:
        """Allow the elements below ``limit`` from ``cycle`` on."""
        if limit > self._limit:
            self._cycles.append(max(self.cycle(self._limit), cycle))
            self._elements.append(self._limit)
            self._limit = limit

    def cycle(self, element: int) -> int:
        """The cycle in which an element is written.

        For an element that is not allowed yet, this assumes that the last run continues.
        """
        run = bisect_right(self._elements, element) - 1
        return self._cycles[run] + (element - self._elements[run]) * self._interval


class Reads:
    """The cycles of reads.

    The pipeline advances as a whole, if there is no beat at its end or if that beat is taken. It is
    taken ``slots`` cycles after it came there.
    """

    def __init__(self, slots: int, ahead: int) -> None:
        self._slots = slots
        self._waits = deque([1] * ahead)  # of each beat in the pipeline: cycles at its end
        self.last = -1  # cycle in which the pipeline last advanced

    @property
    def taken(self) -> int:
        """The cycle in which the last beat read is taken."""
        return self.last + sum(self._waits)

    def window(self, complete: int, beats: int) -> None:
        """Read a window's beats, the first not before the cycle ``complete``."""
        while self.last + self._waits[0] < complete:
            if self.taken == self.last + len(self._waits):  # the pipeline is empty
                self.last = complete - 1
            else:
                self._move(1)
        singly = min(beats, len(self._waits) + 1)
        for _ in range(singly):
            self._move(self._slots)
        self.last += (beats - singly) * self._slots

    def _move(self, wait: int) -> None:
        self.last += self._waits.popleft()
        self._waits.append(wait)

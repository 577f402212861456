"""Channels: the cycles in which the beats between two processes are offered and taken.

Times are stored as runs with a constant stride. Most beats are evenly spaced, so a process handles
hundreds of them in one step. It handles single beats only if something makes them wait.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from ...model.dtypes import Integers

__all__ = ["Channel", "Offer", "Process", "Run", "StuckError", "Times", "Wait", "even", "run"]

Run = tuple[int, int, int]  # count, cycle of the first, cycles from one to the next
Line = tuple[int, int]  # a cycle, and cycles from one to the next

Result = TypeVar("Result")


class StuckError(RuntimeError):
    """A deadlock: the processes of a timing model wait for each other forever."""


@dataclass(eq=False)
class _Event:
    """An event: a process that yields it is resumed when it happens."""

    _parked: list[tuple[Process, deque[Process]]] = field(default_factory=list, init=False)

    def park(self, process: Process, ready: deque[Process]) -> None:
        """Append ``process`` to ``ready`` when the event happens."""
        self._parked.append((process, ready))

    def happens(self) -> None:
        """Resume all processes that wait for this event."""
        for process, ready in self._parked:
            ready.append(process)
        self._parked.clear()


Process = Generator[_Event, None, None]
Wait = Generator[_Event, None, Result]


class Times(_Event):
    """The cycles of consecutive transfers or other occurrences, ascending."""

    def __init__(self) -> None:
        super().__init__()
        self._count = 0
        self._indices: list[int] = []  # index of each run's first element
        self._cycles: list[int] = []
        self._strides: list[int] = []

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> int:
        if not -self._count <= index < self._count:
            raise IndexError(index)
        return self.run_from(index % self._count)[1]

    def __iter__(self) -> Iterator[int]:
        return iter(self.array().tolist())

    def add(self, count: int, cycle: int, stride: int) -> None:
        """Append a run."""
        if not self._extends(count, cycle, stride):
            self._indices.append(self._count)
            self._cycles.append(cycle)
            self._strides.append(stride)
        self._count += count
        if self._parked:
            self.happens()

    def _extends(self, count: int, cycle: int, stride: int) -> bool:
        """Whether a run continues the last one; a last run of length 1 takes any stride."""
        if not self._indices:
            return False
        length = self._count - self._indices[-1]
        gap = cycle - self._cycles[-1] - (length - 1) * self._strides[-1]
        if count > 1 and stride != gap:
            return False
        if length == 1:
            self._strides[-1] = gap
        return gap == self._strides[-1]

    def run_from(self, index: int) -> Run:
        """The rest of a run, from the element at ``index`` on."""
        run = bisect_right(self._indices, index) - 1
        ends = self._indices[run + 1] if run + 1 < len(self._indices) else self._count
        skipped = index - self._indices[run]
        return ends - index, self._cycles[run] + skipped * self._strides[run], self._strides[run]

    def before(self, cycle: int) -> int:
        """The number of elements before ``cycle``."""
        run = bisect_left(self._cycles, cycle) - 1
        if run < 0:
            return 0
        ends = self._indices[run + 1] if run + 1 < len(self._indices) else self._count
        elapsed = -(-(cycle - self._cycles[run]) // self._strides[run])
        return min(ends, self._indices[run] + elapsed)

    def array(self) -> Integers:
        """All cycles, int64 (count,)."""
        indices, first, stride = np.array(
            [self._indices, self._cycles, self._strides], dtype=np.int64
        ).reshape(3, -1)
        counts = np.diff(indices, append=self._count)
        within = np.arange(self._count) - np.repeat(indices, counts)
        cycles: Integers = np.repeat(first, counts)
        return cycles + within * np.repeat(stride, counts)


@dataclass(slots=True)
class Offer:
    """The beats that a channel offers next.

    count : the number of beats that this offer describes
    cycle : the first cycle in which the first beat is offered
    interval : the fewest cycles from the transfer of a beat to the offer of the next
    lines : further lower bounds on the cycles of the offers
    """

    count: int
    cycle: int
    interval: int
    lines: tuple[Line, ...]


def even(start: int, interval: int, lines: Sequence[Line], most: int) -> Run:
    """The longest even run at the start of t[k]; it has at most ``most`` beats.

    t[0] = start and t[k] = max(t[k - 1] + interval, lines at k). Each line (cycle, stride) is at or
    below ``start`` for k = 0.
    """
    if most == 1:
        return 1, start, 1
    stride = max(interval, *(cycle + step - start for cycle, step in lines)) if lines else interval
    follows = stride == interval or any(line == (start, stride) for line in lines)
    count = most if follows else 2
    for cycle, step in lines:
        if step > stride:  # this bound takes over there
            count = min(count, (start - cycle) // (step - stride) + 1)
    return count, start, stride


class Channel(_Event):
    """The beats between two processes, in order.

    takes : the cycles of the transfers
    offered : the number of beats that were offered
    rigid : the producer stalls while a beat waits, which delays all later beats equally. It then
        offers beats in its own time, which does not advance during a stall. A producer that is not
        rigid offers each beat when it is due, but not before the cycle after the last transfer
    room : the consumer's promise before it sees the beats. Given a cycle, the number of beats that
        were taken or will be taken as soon as they are offered, if that is in this cycle or later,
        at one beat per cycle
    """

    def __init__(self) -> None:
        super().__init__()
        self.takes = Times()
        self.rigid = False
        self.room: Callable[[int], int] = lambda cycle: 0
        self._offers: deque[Run] = deque()
        self.offered = 0
        self._lag = 0  # cycles from a rigid producer's own time to the clock
        self._last = -1  # cycle of the last transfer

    def offer(self, count: int, cycle: int, stride: int) -> None:
        """Offer beats; the cycles are in the producer's own time if it is rigid."""
        self.offered += count
        if self._offers:  # merge with the last run if this continues it
            before, first, step = self._offers[-1]
            gap = cycle - first - (before - 1) * step
            if (before == 1 or gap == step) and (count == 1 or gap == stride):
                self._offers.pop()
                count, cycle, stride = before + count, first, gap
        self._offers.append((count, cycle, stride))
        if self._parked:
            self.happens()

    def next(self) -> Wait[Offer]:
        """Wait for the next beats that are not yet taken."""
        while not self._offers:
            yield self
        count, cycle, stride = self._offers[0]
        if self.rigid:
            return Offer(count, cycle + self._lag, stride, ())
        return Offer(count, max(cycle, self._last + 1), 1, ((cycle, stride),))

    def taken(self, run: Run) -> None:
        """Take beats of the offer that :meth:`next` returned."""
        count, first, stride = run
        offered, cycle, step = self._offers[0]
        self._last = first + (count - 1) * stride
        self._lag = self._last - (cycle + (count - 1) * step)
        if count == offered:
            self._offers.popleft()
        else:
            self._offers[0] = (offered - count, cycle + count * step, step)
        self.takes.add(count, first, stride)

    def put(self, cycle: int) -> Wait[int]:
        """Offer one beat from ``cycle`` on; wait for its transfer and return the cycle."""
        self.offer(1, cycle, 1)
        index = self.offered - 1
        while len(self.takes) <= index:
            yield self.takes
        return self.takes[index]

    def get(self) -> Wait[int]:
        """Wait for the next beat that is not yet taken; return the first cycle of its offer."""
        return (yield from self.next()).cycle

    def take(self, cycle: int) -> None:
        """Take the beat that :meth:`get` returned."""
        self.taken((1, cycle, 1))


def run(processes: Iterable[Process]) -> None:
    """Run until all processes end. Raises :class:`StuckError` if they wait for each other."""
    ready = deque(processes)
    running = len(ready)
    while ready:
        process = ready.popleft()
        event = next(process, None)
        if event is None:
            running -= 1
        else:
            event.park(process, ready)
    if running:
        raise StuckError(f"{running} processes of the timing model wait for one another")

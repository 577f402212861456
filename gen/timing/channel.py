"""Streams in time: when the beats between two processes are offered and taken, and who waits.

Times are kept as runs of a constant stride: most beats follow one another evenly, so a process
works on hundreds of them in one step, and on single ones only where something makes them wait.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt

__all__ = ["Channel", "Offer", "Process", "Run", "StuckError", "Times", "Wait", "even", "run"]

Run = tuple[int, int, int]  # count, the first's cycle, cycles from one to the next
Line = tuple[int, int]  # a cycle, and how much later each next one is

Result = TypeVar("Result")


class StuckError(RuntimeError):
    """The processes of a timing model wait for one another for ever."""


@dataclass(eq=False)
class _Event:
    """What a process can wait for: it yields the event, and is resumed when the event happens."""

    _parked: list[tuple[Process, deque[Process]]] = field(default_factory=list, init=False)

    def park(self, process: Process, ready: deque[Process]) -> None:
        """Put ``process`` among the ready ones once this happens."""
        self._parked.append((process, ready))

    def happens(self) -> None:
        """Wake who waits."""
        for process, ready in self._parked:
            ready.append(process)
        self._parked.clear()


Process = Generator[_Event, None, None]
Wait = Generator[_Event, None, Result]


class Times(_Event):
    """The cycles of consecutive happenings, ascending."""

    def __init__(self) -> None:
        super().__init__()
        self._count = 0
        self._indices: list[int] = []  # of each run's first
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
        """Whether a run continues the last one, which a single one does at any stride."""
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
        """What is left of its run from the one at ``index`` on."""
        run = bisect_right(self._indices, index) - 1
        ends = self._indices[run + 1] if run + 1 < len(self._indices) else self._count
        skipped = index - self._indices[run]
        return ends - index, self._cycles[run] + skipped * self._strides[run], self._strides[run]

    def before(self, cycle: int) -> int:
        """How many lie before ``cycle``."""
        run = bisect_left(self._cycles, cycle) - 1
        if run < 0:
            return 0
        ends = self._indices[run + 1] if run + 1 < len(self._indices) else self._count
        elapsed = -(-(cycle - self._cycles[run]) // self._strides[run])
        return min(ends, self._indices[run] + elapsed)

    def array(self) -> npt.NDArray[np.int64]:
        """All of them."""
        indices, first, stride = np.array(
            [self._indices, self._cycles, self._strides], dtype=np.int64
        ).reshape(3, -1)
        counts = np.diff(indices, append=self._count)
        within = np.arange(self._count) - np.repeat(indices, counts)
        cycles: npt.NDArray[np.int64] = np.repeat(first, counts)
        return cycles + within * np.repeat(stride, counts)


@dataclass(slots=True)
class Offer:
    """Beats that a channel offers next.

    count : how many at most are told of here
    cycle : from which on the first is offered
    pace : cycles from the transfer of one to the offer of the next, at least
    lines : lower bounds of the offers beside that
    """

    count: int
    cycle: int
    pace: int
    lines: tuple[Line, ...]


def even(start: int, pace: int, lines: Sequence[Line], most: int) -> Run:
    """The longest even run at the start of t[k] = max(t[k - 1] + pace, lines at k), t[0] = start.

    Each line (cycle, stride) is at or below ``start`` for k = 0. At most ``most`` beats.
    """
    if most == 1:
        return 1, start, 1
    stride = max(pace, *(cycle + step - start for cycle, step in lines)) if lines else pace
    follows = stride == pace or any(line == (start, stride) for line in lines)
    count = most if follows else 2
    for cycle, step in lines:
        if step > stride:  # this one will be above
            count = min(count, (start - cycle) // (step - stride) + 1)
    return count, start, stride


class Channel(_Event):
    """The beats between two processes, in order.

    takes : the cycles of the transfers
    offered : how many beats were offered
    rigid : the producer stands still while a beat waits, so that all its later ones come as much
        later; it offers in its own time then, which stands still too. Else each beat is offered
        when it is due, at best in the cycle after the transfer of the one before
    room : given a cycle, the beats that were taken or will be: each as soon as it is offered, in
        that cycle or later, at one a cycle. What the consumer can promise before it sees them
    """

    def __init__(self) -> None:
        super().__init__()
        self.takes = Times()
        self.rigid = False
        self.room: Callable[[int], int] = lambda cycle: 0
        self._offers: deque[Run] = deque()
        self.offered = 0
        self._lag = 0  # of the clock behind a rigid producer's own time
        self._last = -1  # cycle of the last transfer

    def offer(self, count: int, cycle: int, stride: int) -> None:
        """Offer beats, in the producer's own time where it is rigid."""
        self.offered += count
        if self._offers:  # what continues the last run is one with it
            before, first, step = self._offers[-1]
            gap = cycle - first - (before - 1) * step
            if (before == 1 or gap == step) and (count == 1 or gap == stride):
                self._offers.pop()
                count, cycle, stride = before + count, first, gap
        self._offers.append((count, cycle, stride))
        if self._parked:
            self.happens()

    def next(self) -> Wait[Offer]:
        """Wait for the next beats not yet taken."""
        while not self._offers:
            yield self
        count, cycle, stride = self._offers[0]
        if self.rigid:
            return Offer(count, cycle + self._lag, stride, ())
        return Offer(count, max(cycle, self._last + 1), 1, ((cycle, stride),))

    def taken(self, run: Run) -> None:
        """Take beats of those that :meth:`next` returned."""
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
        """Offer one beat from ``cycle`` on; wait for the cycle of its transfer."""
        self.offer(1, cycle, 1)
        index = self.offered - 1
        while len(self.takes) <= index:
            yield self.takes
        return self.takes[index]

    def get(self) -> Wait[int]:
        """Wait for the next beat not yet taken; return the cycle from which it is offered."""
        return (yield from self.next()).cycle

    def take(self, cycle: int) -> None:
        """Take the beat that :meth:`get` returned."""
        self.taken((1, cycle, 1))


def run(processes: Iterable[Process]) -> None:
    """Run until all processes end. Raises :class:`StuckError` where they wait for one another."""
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

"""Exact cycles, before any simulation: the handshakes of a core as a timed process network.

Each component is a process that knows only its own rule of time; channels between them carry, for
each beat, the cycle from which it is offered and the cycle in which it is taken. A process runs
until it needs a time that its neighbour has not worked out yet. That gives the same cycles as the
RTL, stalls included, at the cost of one step per beat instead of one per clock and gate (Kahn
process networks, 1974, with max-plus times).

Time 0 is the first cycle in which the source offers; cycles are integers.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence

__all__ = ["Channel", "Fifo", "Pipeline", "Process", "run", "serializer"]

DONE = object()

Wait = Generator[None, None, int]
Process = Generator[None, None, None]


class Channel:
    """The beats between two processes: ``offers`` and ``takes`` are cycles, in order of beats."""

    def __init__(self) -> None:
        self.offers: list[int] = []
        self.takes: list[int] = []

    def put(self, cycle: int) -> Wait:
        """Offer the next beat from ``cycle`` on; wait for the cycle of its transfer."""
        self.offers.append(cycle)
        index = len(self.offers) - 1
        while len(self.takes) <= index:
            yield
        return self.takes[index]

    def get(self) -> Wait:
        """Wait for the next beat not yet taken; return the cycle from which it is offered."""
        index = len(self.takes)
        while len(self.offers) <= index:
            yield
        return self.offers[index]

    def take(self, cycle: int) -> None:
        """Take the beat that :meth:`get` returned."""
        self.takes.append(cycle)


class Pipeline:
    """A pipeline that stalls as one while its result waits.

    It moves, by one slot, in every cycle in which no result waits: slot s is the cycle s plus the
    stalls so far. A result leaves ``latency`` slots after its step, whatever comes in meanwhile.

    Parameters
    ----------
    i, o : its channels
    latency : slots from a step to its result
    steps : for each activation, (slots it takes, results it makes in the last of them)
    """

    def __init__(
        self, i: Channel, o: Channel, latency: int, steps: Iterable[tuple[int, int]]
    ) -> None:
        self._i, self._o = i, o
        self._latency, self._steps = latency, steps
        self._leaves: list[int] = []  # the slots in which results leave
        self._ended = False

    def processes(self) -> list[Process]:
        """The side that takes and the side that gives."""
        return [self._take(), self._give()]

    def _take(self) -> Process:
        slot, stalled, seen = -1, 0, 0
        for slots, made in self._steps:
            offered = yield from self._i.get()
            for step in range(slots):
                slot = max(slot + 1, offered - stalled)
                while seen < len(self._leaves) and self._leaves[seen] <= slot:
                    while len(self._o.takes) <= seen:
                        yield
                    stalled = self._o.takes[seen] - self._leaves[seen]
                    slot = max(self._leaves[seen], offered - stalled)
                    seen += 1
                if step >= slots - made:
                    self._leaves.append(slot + self._latency)
            self._i.take(slot + stalled)
        self._ended = True

    def _give(self) -> Process:
        stalled = given = 0
        while not self._ended or given < len(self._leaves):
            if given == len(self._leaves):
                yield
                continue
            taken = yield from self._o.put(self._leaves[given] + stalled)
            stalled = taken - self._leaves[given]
            given += 1


def serializer(i: Channel, o: Channel, lanes: Iterable[int]) -> Process:
    """Beats of several lanes become beats of one; ``lanes`` gives the lanes of each beat."""
    cycle = -1
    for count in lanes:
        cycle = max(cycle, (yield from i.get()))
        i.take(cycle)
        for _ in range(count):
            cycle = yield from o.put(cycle + 1)


class Fifo:
    """``amaranth.lib.fifo.SyncFIFOBuffered``: a memory of depth - 1 entries and an output register.

    Parameters
    ----------
    i, o : its channels
    beats : how many pass in all
    depth : its entries; None never fills
    """

    LATENCY = 2

    def __init__(self, i: Channel, o: Channel, beats: int, depth: int | None = None) -> None:
        self.i, self.o = i, o
        self._beats, self._depth = beats, depth
        self._moves: list[int] = []  # cycles in which beats go from the memory to the register

    def processes(self) -> list[Process]:
        """The write side and the read side."""
        return [self._write(), self._read()]

    def writable(self, beat: int) -> Wait:
        """Wait for the cycle from which there is room for ``beat``, and return it."""
        blocking = -1 if self._depth is None else beat - self._depth + 1
        if blocking < 0:
            return 0
        while len(self._moves) <= blocking:
            yield
        return self._moves[blocking] + 1

    def _write(self) -> Process:
        written = -1
        for beat in range(self._beats):
            offered = yield from self.i.get()
            written = max(written + 1, offered, (yield from self.writable(beat)))
            self.i.take(written)

    def _read(self) -> Process:
        moved = taken = -1
        for beat in range(self._beats):
            while len(self.i.takes) <= beat:
                yield
            moved = max(self.i.takes[beat] + 1, moved + 1, taken)
            self._moves.append(moved)
            taken = yield from self.o.put(moved + 1)

    @property
    def depth_used(self) -> int:
        """After a run: the least depth with which no write would have waited longer."""
        fullest = moved = 0
        for beat, written in enumerate(self.i.takes):
            while self._moves[moved] < written:
                moved += 1
            fullest = max(fullest, beat - moved)
        return fullest + 2

    @property
    def waits(self) -> bool:
        """After a run: whether a wire in its place would make a beat wait, and so stall the
        producer. On a wire the consumer has each beat ``LATENCY`` cycles sooner."""
        passed = zip(self.i.takes, self.o.takes, strict=True)
        return any(taken - written > self.LATENCY for written, taken in passed)


def run(processes: Sequence[Process], channels: Sequence[Channel]) -> None:
    """Run until all processes end. Raises RuntimeError where they wait for one another for ever."""
    waiting = list(processes)
    progress = -1
    while waiting:
        waiting = [process for process in waiting if next(process, DONE) is not DONE]
        known = sum(len(channel.offers) + len(channel.takes) for channel in channels)
        if waiting and known == progress:
            raise RuntimeError("The timing model is stuck: its processes wait for one another")
        progress = known

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

from ..hw.window import WindowReader
from ..hw.window_geometry import WindowGeometry

__all__ = [
    "Channel",
    "Fifo",
    "Pipeline",
    "Process",
    "Windows",
    "fork",
    "join",
    "run",
    "serializer",
    "take_turns",
]

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


class _Slots:
    """The slots of a pipeline that stalls as one while its result waits.

    It moves, by one slot, in every cycle in which no result waits: slot s is the cycle s plus the
    stalls so far. A result leaves ``latency`` slots after its step, whatever comes in meanwhile.
    """

    def __init__(self, o: Channel, latency: int) -> None:
        self._o, self._latency = o, latency
        self._slot, self._stalled, self._seen = -1, 0, 0
        self._leaves: list[int] = []  # the slots in which results leave
        self._ended = False

    def step(self, offered: int, makes: bool, slots: int = 1) -> Wait:
        """Wait for the next steps, the first in ``offered`` or later, each other in the slot after;
        return the cycle of the last one. ``makes`` says whether a result comes of that one."""
        slot = max(self._slot + 1, offered - self._stalled)
        while self._seen < len(self._leaves) and self._leaves[self._seen] <= slot:
            left = yield from self._left()
            slot = max(left, offered - self._stalled)
        slot += slots - 1
        while self._seen < len(self._leaves) and self._leaves[self._seen] <= slot:
            yield from self._left()
        if makes:
            self._leaves.append(slot + self._latency)
        self._slot = slot
        return slot + self._stalled

    def _left(self) -> Wait:
        """Wait for the next result to be taken; return the slot in which it left."""
        while len(self._o.takes) <= self._seen:
            yield
        leaves = self._leaves[self._seen]
        self._stalled = self._o.takes[self._seen] - leaves
        self._seen += 1
        return leaves

    def end(self) -> None:
        """No step comes any more."""
        self._ended = True

    def give(self) -> Process:
        """Offer the results."""
        stalled = given = 0
        while not self._ended or given < len(self._leaves):
            if given == len(self._leaves):
                yield
                continue
            taken = yield from self._o.put(self._leaves[given] + stalled)
            stalled = taken - self._leaves[given]
            given += 1


class Pipeline:
    """A pipeline that stalls as one: steps for each activation, results of some of them.

    Parameters
    ----------
    i, o : its channels
    latency : slots from a step to its result
    steps : for each activation, (slots it takes, results it makes in the last of them)
    """

    def __init__(
        self, i: Channel, o: Channel, latency: int, steps: Iterable[tuple[int, int]]
    ) -> None:
        self._i, self._steps = i, steps
        self._slots = _Slots(o, latency)

    def processes(self) -> list[Process]:
        """The side that takes and the side that gives."""
        return [self._take(), self._slots.give()]

    def _take(self) -> Process:
        for slots, made in self._steps:
            cycle = yield from self._i.get()
            if made < slots:
                cycle = yield from self._slots.step(cycle, False, slots - made)
            for _ in range(made):
                cycle = yield from self._slots.step(cycle, True)
            self._i.take(cycle)
        self._slots.end()


class Windows:
    """``hw.window.WindowReader``: a circular buffer between a write side and a read pipeline.

    An element is written when it has room: the window before those that leave it so has been read.
    A window is read from the cycle after its last element's on, one element a slot.

    Parameters
    ----------
    i, o : its channels
    geometry : of the windows
    images : how many pass in all
    """

    def __init__(self, i: Channel, o: Channel, geometry: WindowGeometry, images: int) -> None:
        self._i, self._geometry, self._images = i, geometry, images
        self._slots = _Slots(o, WindowReader.LATENCY - 1)
        self._ends: list[int] = []  # the cycles of the windows' last steps

    def processes(self) -> list[Process]:
        """The write side, the read side and the side that gives."""
        return [self._write(), self._read(), self._slots.give()]

    def _write(self) -> Process:
        g = self._geometry
        room = (g.lowest + g.capacity).reshape(-1).tolist()  # elements of its image, as each begins
        written, window = -1, 0
        for element in range(self._images * g.elements):
            while element >= window // len(room) * g.elements + room[window % len(room)]:
                while len(self._ends) <= window:
                    yield
                written = max(written, self._ends[window])
                window += 1
            written = max(written + 1, (yield from self._i.get()))
            self._i.take(written)

    def _read(self) -> Process:
        g = self._geometry
        needed = g.needed.reshape(-1).tolist()
        for image in range(self._images):
            for need in needed:
                last = image * g.elements + need - 1
                while len(self._i.takes) <= last:
                    yield
                cycle = self._i.takes[last] + 1
                for _ in range(g.window):
                    cycle = yield from self._slots.step(cycle, True)
                self._ends.append(cycle)
        self._slots.end()


def fork(i: Channel, outputs: Sequence[Channel], beats: int) -> Process:
    """``hw.fork.Fork``: a beat is taken when all have it."""
    for _ in range(beats):
        offered = yield from i.get()
        for o in outputs:
            o.offers.append(offered)
        for o in outputs:
            while len(o.takes) < len(o.offers):
                yield
        i.take(max(o.takes[-1] for o in outputs))


def join(inputs: Sequence[Channel], o: Channel, beats: int) -> Process:
    """A beat of each input is taken at once, when all are there; a wire behind it carries them."""
    for _ in range(beats):
        offered = 0
        for i in inputs:
            offered = max(offered, (yield from i.get()))
        taken = yield from o.put(offered)
        for i in inputs:
            i.take(taken)


def take_turns(inputs: Sequence[Channel], o: Channel, turns: Iterable[int]) -> Process:
    """``hw.concat.Turns``: a beat of the input whose turn it is, a wire behind it; ``turns`` gives
    the input of each beat."""
    taken = -1
    for turn in turns:
        offered = yield from inputs[turn].get()
        taken = yield from o.put(max(offered, taken + 1))
        inputs[turn].take(taken)


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

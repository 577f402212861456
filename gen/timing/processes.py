"""Exact cycles without simulation: the handshakes of a core as a timed process network.

Each component is a process that knows only its own timing rule. The channels between processes
carry, for each beat, the first cycle of its offer and the cycle of its transfer. A process runs
until it needs a time that its neighbour has not computed yet. The result is the same cycles as in
the RTL, stalls included. The cost is one step per run of beats instead of one per clock and gate
(Kahn process networks, 1974, with max-plus times).

Time 0 is the first cycle in which the source offers; cycles are integers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain, repeat

import numpy as np

from ...hw.stream import StreamFifo
from ...hw.upsample import UpsampleSpec
from ...hw.window_geometry import WindowGeometry
from .channel import Channel, Offer, Process, Run, Times, Wait, even
from .stalls import Slots

__all__ = ["Fifo", "Pipeline", "Step", "Windows", "fork", "join", "take_turns"]

Step = tuple[int, int, int]  # activations, slots of each, results in the last of these slots


class Pipeline:
    """A pipeline that stalls as one: one or more steps for each activation, results for some steps.

    Parameters
    ----------
    i, o : input and output channels
    latency : slots from a step to its result
    steps : runs of equal activations
    """

    def __init__(self, i: Channel, o: Channel, latency: int, steps: Iterable[Step]) -> None:
        self._i, self._steps = i, steps
        self._slots = Slots(o, latency)
        self._step = (0, 1, 0)
        i.room = self._room

    def processes(self) -> list[Process]:
        """The single process."""
        return [self._take()]

    def _take(self) -> Process:
        for count, slots, made in self._steps:
            while count:
                self._step = count, slots, made
                offer = yield from self._i.next()
                run = yield from self._slots.take(offer, count, slots, made)
                count -= run[0]
                self._step = count, slots, made
                self._i.taken(run)

    def _room(self, cycle: int) -> int:
        count, slots, made = self._step
        if slots > 1:
            return 0
        free = self._slots.free(self._slots.next_slot(cycle), slots, made)
        return len(self._i.takes) + min(count, free)


class Windows:
    """A circular buffer between a write side and a read pipeline: ``hw.window.WindowReader`` and
    ``hw.upsample.Upsample``.

    An element is written as soon as the windows that need the element it overwrites have been read.
    A window is read from the cycle after its last element was written, one element per slot.

    Parameters
    ----------
    i, o : input and output channels
    geometry : the windows
    images : the number of images in all
    latency : cycles from the last element that a window needs to its first beat
    """

    def __init__(
        self,
        i: Channel,
        o: Channel,
        geometry: WindowGeometry | UpsampleSpec,
        images: int,
        latency: int,
    ) -> None:
        self._i, self._geometry, self._images = i, geometry, images
        self._slots = Slots(o, latency - 1)
        self._ends = Times()  # the cycle of each window's last step
        # for each window, the elements of its image that may be written before it has been read
        self._limits = (geometry.lowest + geometry.capacity).reshape(-1).tolist()
        i.room = lambda cycle: self._limit(self._ends.before(cycle))

    def processes(self) -> list[Process]:
        """The write side and the read side."""
        return [self._write(), self._read()]

    def _limit(self, windows: int) -> int:
        """The elements that may be written when ``windows`` windows have been read."""
        images, window = divmod(windows, len(self._limits))
        return images * self._geometry.elements + int(self._limits[window])

    def _write(self) -> Process:
        element = window = 0
        start = 0
        last = self._images * self._geometry.elements
        while element < last:
            while element >= self._limit(window):
                while len(self._ends) <= window:
                    yield self._ends
                start = self._ends[window] + 1
                window += 1
            offer = yield from self._i.next()
            most = min(offer.count, self._limit(window) - element, last - element)
            run = even(max(offer.cycle, start), offer.interval, offer.lines, most)
            self._i.taken(run)
            element += run[0]

    def _read(self) -> Process:
        g = self._geometry
        needed = g.needed.reshape(-1).tolist()
        for image in range(self._images):
            for need in needed:
                last = image * g.elements + need - 1
                while len(self._i.takes) <= last:
                    yield self._i.takes
                cycle = self._i.takes[last] + 1
                left = g.window
                while left:
                    offer = Offer(left, cycle, 1, ())
                    count, first, stride = yield from self._slots.take(offer, left, 1, 1)
                    left -= count
                    cycle = first + count * stride
                self._ends.add(1, cycle - 1, 1)


def fork(i: Channel, outputs: Sequence[Channel], beats: int) -> Process:
    """``hw.fork.Fork``: a beat is taken when all readers have taken it."""
    i.room = lambda cycle: min(o.room(cycle) for o in outputs)
    taken = 0
    while taken < beats:
        offer = yield from i.next()
        free = min(offer.count, i.room(offer.cycle) - taken)
        run = even(offer.cycle, offer.interval, offer.lines, max(free, 1))
        for o in outputs:
            o.offer(*run)
        if free < 1:
            for o in outputs:
                while len(o.takes) <= taken:
                    yield o.takes
            run = 1, max(o.takes[taken] for o in outputs), 1
        i.taken(run)
        taken += run[0]


def join(inputs: Sequence[Channel], o: Channel, beats: int) -> Process:
    """A join: takes a beat of each input at once, when all are offered; its output is a wire."""
    taken = 0
    while taken < beats:
        offers = []
        for i in inputs:
            offers.append((yield from i.next()))
        run = yield from _carry(o, offers, 0)
        for i in inputs:
            i.taken(run)
        taken += run[0]


def take_turns(
    inputs: Sequence[Channel], o: Channel, counts: Sequence[int], pixels: int
) -> Process:
    """``hw.concat.Turns``: takes the beats of each pixel from the inputs in turn; output is a wire.

    counts : for each input, beats of a pixel
    """
    free = 0
    for turn in chain.from_iterable(repeat(range(len(inputs)), pixels)):
        left = counts[turn]
        while left:
            offer = yield from inputs[turn].next()
            run = yield from _carry(o, [replace(offer, count=min(offer.count, left))], free)
            inputs[turn].taken(run)
            left -= run[0]
            free = run[1] + (run[0] - 1) * run[2] + 1


def _carry(o: Channel, offers: Sequence[Offer], free: int) -> Wait[Run]:
    """Offer the beats that all ``offers`` have, from cycle ``free`` on; wait for the transfers."""
    start = max(free, *(offer.cycle for offer in offers))
    count = min(o.room(start) - o.offered, *(offer.count for offer in offers))
    if count < 1:
        return 1, (yield from o.put(start)), 1
    interval = max(offer.interval for offer in offers)
    run = even(start, interval, [line for offer in offers for line in offer.lines], count)
    o.offer(*run)
    return run


class Fifo:
    """``hw.stream.StreamFifo``: a beat is offered ``latency`` cycles after it was written.

    Parameters
    ----------
    i, o : input and output channels
    beats : the number of beats in all
    depth : entries, at least 3; None for an unbounded queue
    latency : cycles from write to offer
    """

    def __init__(
        self,
        i: Channel,
        o: Channel,
        beats: int,
        depth: int | None = None,
        latency: int = StreamFifo.LATENCY,
    ) -> None:
        self.i, self.o = i, o
        self._latency = latency
        self._beats, self._depth = beats, beats if depth is None else depth
        i.room = lambda cycle: self._depth + o.takes.before(cycle)

    def processes(self) -> list[Process]:
        """The single process."""
        return [self._write()]

    def writable(self, beat: int) -> Wait[int]:
        """Wait until the first cycle with room for ``beat`` is known, and return it."""
        leaves = beat - self._depth
        if leaves < 0:
            return 0
        while len(self.o.takes) <= leaves:
            yield self.o.takes
        return self.o.takes[leaves] + 1

    def _write(self) -> Process:
        beat = 0
        while beat < self._beats:
            offer = yield from self.i.next()
            start = max(offer.cycle, (yield from self.writable(beat)))
            lines, most = offer.lines, min(offer.count, self._depth - beat)
            if beat >= self._depth:
                count, cycle, stride = self.o.takes.run_from(beat - self._depth)
                lines, most = (*lines, (cycle + 1, stride)), min(offer.count, count)
            run = even(start, offer.interval, lines, most)
            self.o.offer(run[0], run[1] + self._latency, run[2])
            self.i.taken(run)
            beat += run[0]

    @property
    def depth_used(self) -> int:
        """After a run: the smallest depth that would have delayed no write."""
        written, taken = self.i.takes.array(), self.o.takes.array()
        return int((np.arange(len(written)) - np.searchsorted(taken, written)).max()) + 1

    @property
    def waits(self) -> bool:
        """After a run: whether a beat would wait, and so stall the producer, on a wire instead.

        On a wire the consumer gets each beat ``latency`` cycles earlier.
        """
        return bool((self.o.takes.array() - self.i.takes.array() > self._latency).any())

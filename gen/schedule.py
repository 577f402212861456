"""The schedule of a core: the processes of its components, joined as ``assemble.py`` joins them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, repeat

from ..hw.argmax import Argmax
from ..hw.stream import StreamFifo
from .parts import Part
from .timing import Channel, Fifo, Pipeline, Process, run

__all__ = ["Schedule", "schedule"]

IMAGES = 4  # beyond those that are in the core at once
MOST_IMAGES = 256  # a distance that does not settle is given as the greatest of the later half


@dataclass(frozen=True)
class Schedule:
    """Cycles of a core that is fed and drained without pauses.

    cycles_per_image : between the last results of consecutive images, once settled
    latency_cycles : from the first value taken to the last result sent, of the first image
    fifo_depths : beats of the queue behind each layer, 0 for none
    verdict_depth : entries of the queue of verdicts, one for each image in the core
    """

    cycles_per_image: int
    latency_cycles: int
    fifo_depths: tuple[int, ...]
    verdict_depth: int


class _Core:
    """One run of the timing model over a number of images."""

    def __init__(
        self,
        parts: Sequence[Part],
        argmax: bool,
        depths: Sequence[int | None],
        verdict_depth: int | None,
        *,
        images: int,
        spacing: int = 0,
    ) -> None:
        self.images = images
        self.channels: list[Channel] = []
        self.processes: list[Process] = []
        self.beats = math.prod(parts[0].x.shape)
        self.results = parts[-1].results
        self.verdicts = Fifo(self._channel(), self._channel(), images, verdict_depth)
        self.entry = stream = self._channel()
        self.processes.append(self._source(stream, spacing))
        self.fifos: list[Fifo | None] = []
        for part, depth in zip(parts, depths, strict=True):
            processes, stream = part.processes(stream, self._channel, images)
            self.processes += processes
            stream = self._queue(stream, part, depth)
        if argmax:
            scores, stream = stream, self._channel()
            steps = repeat((1, 1), images * self.results)
            self.processes += Pipeline(scores, stream, Argmax.LATENCY, steps).processes()
        self.exit = stream
        self.processes += [*self.verdicts.processes(), self._sink(stream)]
        run(self.processes, self.channels)

    def _channel(self) -> Channel:
        self.channels.append(Channel())
        return self.channels[-1]

    def _source(self, o: Channel, spacing: int) -> Process:
        """FrameIn: values as fast as they are taken, images at least ``spacing`` cycles apart,
        evenly; a frame's last value waits for room for the verdict."""
        taken = -1
        for image in range(self.images):
            for beat in range(self.beats):
                start = image * spacing + beat * spacing // self.beats
                if beat == self.beats - 1:
                    start = max(start, (yield from self.verdicts.writable(image)))
                taken = yield from o.put(max(taken + 1, start))
            yield from self.verdicts.i.put(taken)

    def _sink(self, i: Channel) -> Process:
        """FrameOut: results wait for the verdict, which leaves with the last of them."""
        cycle = -1
        for _ in range(self.images):
            known = yield from self.verdicts.o.get()
            for _ in range(self.results):
                cycle = max(known, (yield from i.get()))
                i.take(cycle)
            self.verdicts.o.take(cycle)

    def _queue(self, i: Channel, part: Part, depth: int | None) -> Channel:
        """The queue behind a layer; a wire where ``depth`` is 0."""
        if depth == 0:
            self.fifos.append(None)
            return i
        fifo = Fifo(i, self._channel(), self.images * part.results, depth)
        self.fifos.append(fifo)
        self.processes += fifo.processes()
        return fifo.o

    @property
    def periods(self) -> list[int]:
        """Cycles between the last results of consecutive images."""
        return [after - before for before, after in pairwise(self._ends)]

    @property
    def latency(self) -> int:
        """Cycles from the first value taken to the first image's last result."""
        return self._ends[0] - self.entry.takes[0]

    @property
    def _ends(self) -> list[int]:
        return self.exit.takes[self.results - 1 :: self.results]


def schedule(parts: Sequence[Part], argmax: bool) -> Schedule:
    """Work out a core's cycles and the queues it needs.

    Queues are first left unbounded, with images as far apart as the slowest layer needs, to see how
    deep each gets; one in which no beat ever waits becomes a wire. The final figures come from runs
    with those depths and a source that never pauses, over as many images as it takes until the
    distance between them stays the same.
    """
    spacing = max(max(part.busy_cycles, part.results) for part in parts)
    endless = [None] * len(parts)
    alone = _Core(parts, argmax, endless, None, images=1)
    images = IMAGES + 2 * -(-alone.latency // spacing)  # the core fills up, and then some
    free = _Core(parts, argmax, endless, None, images=images, spacing=spacing)
    depths = _depths(free, parts[-1])
    verdict_depth = max(free.verdicts.depth_used, StreamFifo.MIN_DEPTH)
    while True:
        core = _Core(parts, argmax, depths, verdict_depth, images=images)
        later = core.periods[len(core.periods) // 2 :]
        if len(set(later)) == 1 or images > MOST_IMAGES:
            return Schedule(max(later), core.latency, depths, verdict_depth)
        images *= 2


def _depths(free: _Core, last: Part) -> tuple[int, ...]:
    """The queues behind the layers, from a run in which none of them filled."""
    depths = [
        max(fifo.depth_used, StreamFifo.MIN_DEPTH) if fifo is not None and fifo.waits else 0
        for fifo in free.fifos
    ]
    if last.y.shape[:2] != (1, 1):
        # Results wait for the frame's verdict: room for all of them, or the frame could not end.
        depths[-1] = max(free.results, StreamFifo.MIN_DEPTH)
    return tuple(depths)

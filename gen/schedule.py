"""The schedule of a core: the processes of its components, joined as ``assemble.py`` joins them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..hw.argmax import Argmax
from ..hw.stream import StreamFifo
from .channel import Channel, Process, run
from .links import Link, Links
from .parts import Part
from .timing import Fifo, Pipeline, fork

__all__ = ["Schedule", "schedule"]

IMAGES = 4  # beyond those that are in the core at once
MOST_IMAGES = 256  # a distance that does not settle is given as the greatest of the later half


@dataclass(frozen=True)
class Schedule:
    """Cycles of a core that is fed and drained without pauses.

    cycles_per_image : between the last results of consecutive images, once settled
    first_cycles : the same between the first images, one by one, until it is settled
    latency_cycles : from the first value taken to the last result sent, of the first image
    fifo_depths : beats of the queue in each link, 0 for none
    verdict_depth : entries of the queue of verdicts, one for each image in the core
    """

    cycles_per_image: int
    first_cycles: tuple[int, ...]
    latency_cycles: int
    fifo_depths: Mapping[Link, int]
    verdict_depth: int


class _Core:
    """One run of the timing model over a number of images."""

    def __init__(
        self,
        parts: Sequence[Part],
        links: Links,
        argmax: bool,
        depths: Mapping[Link, int] | None,
        verdict_depth: int | None,
        *,
        images: int,
        spacing: int = 0,
    ) -> None:
        self.images, self.depths, self.links = images, depths, links
        self.channels: list[Channel] = []
        self.processes: list[Process] = []
        self.beats = math.prod(parts[0].x.shape)
        self.results = parts[-1].results
        self.verdicts = Fifo(self._channel(), self._channel(), images, verdict_depth)
        self.entry = self._channel()
        self.processes.append(self._source(self.entry, spacing))
        self.fifos: dict[Link, Fifo] = {}
        self.streams: dict[Link, Channel] = {}
        self._spread(self.entry, links.readers[""], self.beats)
        for part in parts:
            inputs = [self.streams[link] for link in links.into(part.layer)]
            processes, o = part.processes(inputs, self._channel, images)
            self.processes += processes
            self._spread(o, links.readers[part.name], part.results)
        self.exit = self._classified(argmax)
        self.processes += [*self.verdicts.processes(), self._sink(self.exit)]
        run(self.processes)

    def _classified(self, argmax: bool) -> Channel:
        """The way out, behind the argmax where there is one."""
        scores = next(stream for link, stream in self.streams.items() if not link.target)
        if not argmax:
            return scores
        o, steps = self._channel(), [(self.images * self.results, 1, 1)]
        self.processes += Pipeline(scores, o, Argmax.LATENCY, steps).processes()
        return o

    def _spread(self, o: Channel, readers: Sequence[Link], beats: int) -> None:
        """A stream to its readers, forked where there are several, each way with its queue."""
        for index, link in enumerate(readers):
            way = o
            if index < len(readers) - 1:
                way, rest = self._channel(), self._channel()
                self.processes.append(fork(o, [way, rest], beats * self.images))
                o = rest
            self.streams[link] = self._queue(way, link, beats)

    def _channel(self) -> Channel:
        self.channels.append(Channel())
        return self.channels[-1]

    def _source(self, o: Channel, spacing: int) -> Process:
        """FrameIn: values as fast as they are taken, images at least ``spacing`` cycles apart,
        evenly; a frame's last value waits for room for the verdict."""
        taken = -1
        for image in range(self.images):
            for beat in range(self.beats - 1):
                start = image * spacing + beat * spacing // self.beats
                o.offer(1, max(taken + 1, start), 1)
            start = image * spacing + (self.beats - 1) * spacing // self.beats
            while len(o.takes) < (image + 1) * self.beats - 1:
                yield o.takes
            start = max(start, (yield from self.verdicts.writable(image)))
            taken = yield from o.put(start)
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

    def _queue(self, i: Channel, link: Link, beats: int) -> Channel:
        """The queue of a link; a wire where its depth is 0."""
        depth = None if self.depths is None else self.depths[link]
        if depth == 0 or not self.links.queued(link):
            return i
        fifo = self.fifos[link] = Fifo(i, self._channel(), self.images * beats, depth)
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
        return list(self.exit.takes)[self.results - 1 :: self.results]


def schedule(parts: Sequence[Part], links: Links, argmax: bool) -> Schedule:
    """Work out a core's cycles and the queues it needs.

    Queues are first left unbounded, with images as far apart as the slowest layer needs, to see how
    deep each gets; one in which no beat ever waits becomes a wire. Where streams part and meet
    again, a second such run takes one value at a time, see :func:`_depths`. The final figures come
    from runs with those depths and a source that never pauses, over as many images as it takes
    until the distance between them stays the same.
    """
    spacing = max(max(part.busy_cycles, part.results) for part in parts)
    alone = _Core(parts, links, argmax, None, None, images=1)
    images = IMAGES + 2 * -(-alone.latency // spacing)  # the core fills up, and then some
    free = _Core(parts, links, argmax, None, None, images=images, spacing=spacing)
    runs = [free]
    if any(len(readers) > 1 for readers in links.readers.values()):
        apart = free.beats * alone.latency
        runs.append(_Core(parts, links, argmax, None, None, images=2, spacing=apart))
    depths = _depths(runs, parts[-1])
    verdict_depth = max(free.verdicts.depth_used, StreamFifo.MIN_DEPTH)
    while True:
        core = _Core(parts, links, argmax, depths, verdict_depth, images=images)
        later = core.periods[len(core.periods) // 2 :]
        if len(set(later)) == 1 or images > MOST_IMAGES:
            first = _before(core.periods, max(later))
            return Schedule(max(later), first, core.latency, depths, verdict_depth)
        images *= 2


def _before(periods: Sequence[int], settled: int) -> tuple[int, ...]:
    """The periods without those at the end that are ``settled``."""
    count = len(periods)
    while count and periods[count - 1] == settled:
        count -= 1
    return tuple(periods[:count])


def _depths(runs: Sequence[_Core], last: Part) -> dict[Link, int]:
    """The links' queues, from runs in which none of them filled.

    A run that takes a value only when all that comes of the ones before has come shows what a queue
    must hold where streams meet again: all that one way makes of the values that the other needs
    for its next result. A queue as deep cannot deadlock, whoever pauses. Fewer entries could: at
    full pace the pipelines of the longer way hold results too, but only while values follow.
    """
    free, depths = runs[0], {}
    for link in free.streams:
        fifos = [run.fifos[link] for run in runs if link in run.fifos]
        forked = len(free.links.readers[link.source]) > 1
        needed = any(forked or fifo.waits for fifo in fifos)
        deepest = max((fifo.depth_used for fifo in fifos), default=0)
        depths[link] = max(deepest, StreamFifo.MIN_DEPTH) if needed else 0
        if not link.target and last.y.shape[:2] != (1, 1):
            # Results wait for the verdict: room for all of them, or the frame could not end.
            depths[link] = max(free.results, StreamFifo.MIN_DEPTH)
    return depths

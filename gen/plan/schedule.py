"""The schedule of a core: its components' processes, joined as ``verilog/core.py`` joins them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np

from ...hw.argmax import Argmax
from ...hw.rows import RowGeometry
from ...hw.stream import QueueSpec, StreamFifo
from ..parts.part import Part
from ..timing.channel import Channel, Process, StuckError, run
from ..timing.converters import convert, row_buffer
from ..timing.processes import Fifo, Pipeline, fork
from .deadlock import holds_results, least_depths
from .links import Link, Links

__all__ = ["Schedule", "schedule"]

IMAGES = 4  # beyond twice those that are in the core at once
MEMORY = 2  # images that a window reader may hold
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
        depths: Mapping[Link, int] | None = None,
        verdict_depth: int | None = None,
        *,
        images: int,
        lanes: int = 1,
        taken: int | None = None,
        spacing: int = 0,
        slow: Collection[Link] = (),
    ) -> None:
        self.images, self.depths, self.links = images, depths, links
        self.verdict_depth = verdict_depth
        self._slow = slow  # of the queues without a depth, those in block RAM
        bits = {part.name: part.output_lanes * part.y.dtype.bits for part in parts}
        self._beat_bits = {"": lanes * parts[0].x.dtype.bits} | bits
        self.channels: list[Channel] = []
        self.processes: list[Process] = []
        height, width, channels = parts[0].x.shape
        row = RowGeometry(width * channels, taken or lanes, lanes)
        self.beats = height * row.results
        self.taken = height * (row.beats if row.taken != lanes else row.results)
        self.results = math.prod(parts[-1].y.shape)
        self.wanted = {part.name: part.input_lanes for part in parts} | {"": 1}
        self.verdicts = Fifo(self._channel(), self._channel(), images, verdict_depth)
        self.entry = self._channel()
        self.processes.append(self._source(self.entry, spacing))
        self.fifos: dict[Link, Fifo] = {}
        self.ways: dict[Link, Channel] = {}  # behind their queues
        self.streams: dict[Link, Channel] = {}  # behind the converters that follow
        first = self.entry
        if row.taken != lanes:
            first = self._channel()
            self.processes.append(row_buffer(self.entry, first, row, height * images))
        self._spread(first, links.readers[""], self.beats, lanes)
        for part in parts:
            inputs = [self.streams[link] for link in links.into(part.layer)]
            processes, o = part.processes(inputs, self._channel, images)
            self.processes += processes
            self._spread(o, links.readers[part.name], part.results, part.output_lanes)
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

    def _spread(self, o: Channel, readers: Sequence[Link], beats: int, lanes: int) -> None:
        """A stream to its readers, forked where there are several, each way with its queue, and
        with a converter to the reader's beats."""
        for index, link in enumerate(readers):
            way = o
            if index < len(readers) - 1:
                way, rest = self._channel(), self._channel()
                self.processes.append(fork(o, [way, rest], beats * self.images))
                o = rest
            way = self.ways[link] = self._queue(way, link, beats)
            wanted, values = self.wanted[link.target], self.images * beats * lanes
            processes, self.streams[link] = convert(way, self._channel, lanes, wanted, values)
            self.processes += processes

    def _channel(self) -> Channel:
        self.channels.append(Channel())
        return self.channels[-1]

    def _source(self, o: Channel, spacing: int) -> Process:
        """FrameIn: values as fast as they are taken, images at least ``spacing`` cycles apart,
        evenly; a frame's last value waits for room for the verdict."""
        pace = max(spacing // self.taken, 1)
        for image in range(self.images):
            start, last = image * spacing, (image + 1) * self.taken - 1
            if self.taken > 1:
                o.offer(self.taken - 1, start, pace)
            while len(o.takes) < last:
                yield o.takes
            room = yield from self.verdicts.writable(image)
            taken = yield from o.put(max(start + (self.taken - 1) * pace, room))
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
        slow = link in self._slow if depth is None else self.is_slow(link, depth)
        latency = StreamFifo.LATENCY + slow
        fifo = self.fifos[link] = Fifo(i, self._channel(), self.images * beats, depth, latency)
        self.processes += fifo.processes()
        return fifo.o

    def is_slow(self, link: Link, depth: int) -> bool:
        """Whether a link's queue of so many beats is in block RAM."""
        return QueueSpec(depth, self._beat_bits[link.source]).in_blocks

    def repeats(self, images: int = MEMORY) -> bool:
        """Whether every beat of the last ``images`` came as long after that of the image before.

        Later images will do the same if no beat waits for one further back.
        """
        gaps: set[int] = set()
        for channel in self.channels:
            cycles = channel.takes.array().reshape(self.images, -1)
            gaps.update(np.unique(np.diff(cycles[-images - 1 :], axis=0)).tolist())
        return self.images > images and len(gaps) == 1

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


def schedule(
    parts: Sequence[Part],
    links: Links,
    argmax: bool,
    lanes: int = 1,
    *,
    taken: int | None = None,
) -> Schedule:
    """Work out a core's cycles and the queues it needs; ``lanes`` are the values of a beat of the
    first layers' input, ``taken`` those of a beat of the core's, by default the same.

    Queues are first left unbounded, with images as far apart as the slowest layer needs, to see how
    deep each gets; one in which no beat ever waits becomes a wire. None holds less than what keeps
    the core from stopping whoever pauses, see ``deadlock.py``. The final figures come from runs
    with those depths and a source that never pauses, over as many images as it takes until the
    distance between them stays the same.
    """
    spacing = max(max(part.busy_cycles, part.results) for part in parts)
    core = partial(_Core, parts, links, argmax, lanes=lanes, taken=taken)
    alone = core(images=1)
    inside = -(-alone.latency // spacing)  # images in the core at once
    images = IMAGES + 2 * inside  # the core fills up, and then some
    least = least_depths(parts, links, alone.beats, lanes)
    spaced = partial(core, spacing=spacing)
    free, depths = _unbounded(spaced, alone, (2 + inside, images), least)
    verdicts = max(free.verdicts.depth_used, StreamFifo.MIN_DEPTH)
    pause = free.beats * alone.latency
    if holds_results(parts, links, free.beats, lanes) and _stops(core, depths, verdicts, pause):
        results = free.results // parts[-1].output_lanes
        depths[links.out] = max(results, StreamFifo.MIN_DEPTH)  # all that wait for a verdict
    memory = max(MEMORY, *(_images(free, link, depths[link]) for link in depths))
    fed = core(depths, verdicts, images=max(inside, memory) + 2)
    later = fed.periods[-1:]
    while not fed.repeats(_memory(fed, memory)):
        fed = core(depths, verdicts, images=images)
        later = fed.periods[len(fed.periods) // 2 :]
        if len(set(later)) == 1 or images > MOST_IMAGES:
            break
        images *= 2
    first = _before(fed.periods, max(later))
    return Schedule(max(later), first, fed.latency, depths, verdicts)


def _unbounded(
    core: Callable[..., _Core], alone: _Core, images: tuple[int, int], least: Mapping[Link, int]
) -> tuple[_Core, dict[Link, int]]:
    """A run whose queues never fill, and how deep they get; with those in block RAM slower, as far
    as an image ``alone`` tells which, or else again. One that then gets along without block RAM is
    a cycle faster in the core, so that depths beside it may be a beat off; what that costs, if
    anything, is in the final figures.

    images : of a run, and of the longer one where those do not repeat
    """
    few, many = images
    slow = _deep(alone, _depths(alone, least))
    while True:
        free = core(images=few, slow=slow)
        if not free.repeats():
            free = core(images=many, slow=slow)
        depths = _depths(free, least)
        deep = _deep(free, depths)
        if deep <= slow:
            return free, depths
        slow |= deep


def _deep(free: _Core, depths: Mapping[Link, int]) -> set[Link]:
    """The links whose queues go into block RAM."""
    return {link for link, depth in depths.items() if depth and free.is_slow(link, depth)}


def _memory(fed: _Core, memory: int) -> int:
    """Images that one may wait for: those that queues and window readers hold, ``memory``, or as
    many as there are verdicts where their queue was full."""
    depth = fed.verdicts.depth_used
    return max(memory, depth if depth == fed.verdict_depth else 0)


def _before(periods: Sequence[int], settled: int) -> tuple[int, ...]:
    """The periods without those at the end that are ``settled``."""
    count = len(periods)
    while count and periods[count - 1] == settled:
        count -= 1
    return tuple(periods[:count])


def _stops(
    core: Callable[..., _Core], depths: Mapping[Link, int], verdicts: int, pause: int
) -> bool:
    """Whether a core stops for ever when each value comes ``pause`` cycles after the last, with
    everything at rest by then. Then it may stop at any pace, and else at none; see ``deadlock.py``.
    """
    try:
        core(depths, verdicts, images=1, spacing=pause)
    except StuckError:
        return True
    return False


def _images(free: _Core, link: Link, depth: int) -> int:
    """Images that a queue can hold, the last one in part."""
    return -(-depth * free.images // max(len(free.ways[link].takes), 1))


def _depths(free: _Core, least: Mapping[Link, int]) -> dict[Link, int]:
    """The links' queues, from a run in which none of them filled, and the least they must hold."""
    depths = {}
    for link in free.ways:
        fifo, held = free.fifos.get(link), least.get(link, 0)
        forked = len(free.links.readers[link.source]) > 1
        needed = held or (fifo and (forked or fifo.waits))
        deepest = fifo.depth_used if fifo else 0
        depths[link] = max(deepest, held, StreamFifo.MIN_DEPTH) if needed else 0
    return depths

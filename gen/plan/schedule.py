"""The schedule of a core: a timing process for each node, connected as in ``verilog/core.py``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np

from ...hw.argmax import Argmax as ArgmaxComponent
from ...hw.stream import QueueSpec, StreamFifo
from ...model.layers import Argmax
from ..parts.part import Part
from ..timing.channel import Channel, Process, StuckError, run
from ..timing.converters import converter, row_buffer
from ..timing.processes import Fifo, Pipeline, fork
from . import topology as t
from .deadlock import holds_results, least_depths
from .links import Link, Links

__all__ = ["Schedule", "schedule"]

IMAGES = 4  # of a run, in addition to twice the images that are in the core at once
MEMORY = 2  # images that a window reader may hold
MOST_IMAGES = 256  # if periods have not settled by then, the greatest of the later half counts


@dataclass(frozen=True)
class Schedule:
    """Cycles of a core whose input and output never pause.

    cycles_per_image : between the last results of consecutive images, once settled
    first_cycles : the same for the first images, one entry each, until it is settled
    latency_cycles : from the first value taken to the last result sent, of the first image
    fifo_depths : beats of the queue in each link, 0 for a wire
    verdict_depth : entries of the queue of verdicts, one for each image in the core
    spans : by layer, the cycle of the first beat in and of the last beat out, for the first image,
        counted from the first value taken
    """

    cycles_per_image: int
    first_cycles: tuple[int, ...]
    latency_cycles: int
    fifo_depths: Mapping[Link, int]
    verdict_depth: int
    spans: Mapping[str, tuple[int, int]]


class _Core:
    """One run of the timing model over a number of images."""

    def __init__(
        self,
        parts: Sequence[Part],
        links: Links,
        argmax: Argmax | None,
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
        self._slow = slow  # links of unbounded queues that are in block RAM
        self._spacing = spacing
        self.channels: list[Channel] = []
        self.processes: list[Process] = []
        self.fifos: dict[Link, Fifo] = {}
        self._of_layers: dict[str, tuple[list[Channel], Channel]] = {}  # inputs and output
        self.verdicts = Fifo(self._channel(), self._channel(), images, verdict_depth)
        self._by_stream: dict[t.Stream, Channel] = {}
        whole = t.Topology(parts, links, argmax, parts[0].x, (taken or lanes, lanes), depths)
        for node in whole.nodes:
            self.processes += self._processes(node)
        self.bits = {link: stream.bits for link, stream in whole.ways.items()}
        self.ways = {link: self._by_stream[stream] for link, stream in whole.ways.items()}
        self.processes += self.verdicts.processes()
        run(self.processes)

    def _processes(self, node: t.Node) -> list[Process]:
        """The processes of a node; also makes the channels of the streams that it writes."""
        images, of = self.images, self._by_stream
        match node:
            case t.FrameInNode():
                self.taken = self.beats = node.o.beats
                self.entry = of[node.o] = self._channel()
                return [self._source(self.entry, self._spacing)]
            case t.RowsNode():
                self.beats = node.o.beats
                of[node.o] = self._channel()
                rows = images * (node.o.beats // node.geometry.results)
                return [row_buffer(of[node.i], of[node.o], node.geometry, rows)]
            case t.ForkNode():
                of[node.a], of[node.b] = self._channel(), self._channel()
                return [fork(of[node.i], [of[node.a], of[node.b]], images * node.i.beats)]
            case t.QueueNode():
                slow = node.link in self._slow if node.depth is None else node.spec.in_blocks
                latency = StreamFifo.LATENCY + slow
                o, beats = self._channel(), images * node.i.beats
                fifo = Fifo(of[node.i], o, beats, node.depth, latency)
                of[node.o], self.fifos[node.link] = o, fifo
                return fifo.processes()
            case t.ConverterNode(i=i, o=o):
                of[o] = self._channel()
                return [converter(of[i], of[o], i.lanes, o.lanes, images * i.beats * i.lanes)]
            case t.LayerNode():
                inputs = [of[stream] for stream in node.inputs]
                processes, of[node.o] = node.part.processes(inputs, self._channel, images)
                self._of_layers[node.part.name] = inputs, of[node.o]
                return processes
            case t.ArgmaxNode():
                of[node.o] = self._channel()
                steps = [(images * node.i.beats, 1, 1)]
                return Pipeline(of[node.i], of[node.o], ArgmaxComponent.LATENCY, steps).processes()
            case t.FrameOutNode():
                self.results = node.i.beats
                self.exit = of[node.i]
                return [self._sink(self.exit)]
        raise AssertionError(node)

    def _channel(self) -> Channel:
        self.channels.append(Channel())
        return self.channels[-1]

    def _source(self, o: Channel, spacing: int) -> Process:
        """FrameIn: offers values as fast as they are taken.

        Images begin at least ``spacing`` cycles apart, with their beats evenly spaced. The last
        value of a frame waits for room in the queue of verdicts.
        """
        interval = max(spacing // self.taken, 1)
        for image in range(self.images):
            start, last = image * spacing, (image + 1) * self.taken - 1
            if self.taken > 1:
                o.offer(self.taken - 1, start, interval)
            while len(o.takes) < last:
                yield o.takes
            room = yield from self.verdicts.writable(image)
            taken = yield from o.put(max(start + (self.taken - 1) * interval, room))
            yield from self.verdicts.i.put(taken)

    def _sink(self, i: Channel) -> Process:
        """FrameOut: results wait for their verdict, which is removed with the last of them."""
        cycle = -1
        for _ in range(self.images):
            known = yield from self.verdicts.o.get()
            for _ in range(self.results):
                cycle = max(known, (yield from i.get()))
                i.take(cycle)
            self.verdicts.o.take(cycle)

    def repeats(self, images: int = MEMORY) -> bool:
        """Whether all beats of the last ``images`` came one common period after the image before.

        Later images will do the same if no beat waits for a beat that is further back.
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
    def spans(self) -> dict[str, tuple[int, int]]:
        """See ``Schedule``."""
        start = self.entry.takes[0]
        return {
            name: (
                min(i.takes[0] for i in inputs) - start,
                o.takes[len(o.takes) // self.images - 1] - start,
            )
            for name, (inputs, o) in self._of_layers.items()
        }

    @property
    def _ends(self) -> list[int]:
        return list(self.exit.takes)[self.results - 1 :: self.results]


def schedule(
    parts: Sequence[Part],
    links: Links,
    argmax: Argmax | None,
    lanes: int = 1,
    *,
    taken: int | None = None,
) -> Schedule:
    """Compute a core's cycles and the depths of its queues.

    Parameters
    ----------
    lanes : values in a beat of the first layers' input
    taken : values in a beat of the core's input; the same by default

    The first run has unbounded queues, and images as far apart as the slowest layer needs. It gives
    the depth of each queue; a queue in which no beat ever waits becomes a wire. Each queue is deep
    enough to prevent deadlock with any pauses, see ``deadlock.py``. The final cycles come from runs
    with these depths and a source that never pauses. The number of images is increased until the
    period between images stays the same.
    """
    spacing = max(max(part.cycles, part.results) for part in parts)
    core = partial(_Core, parts, links, argmax, lanes=lanes, taken=taken)
    alone = core(images=1)
    inside = -(-alone.latency // spacing)  # images in the core at once
    images = IMAGES + 2 * inside  # enough to fill the core, and more
    least = least_depths(parts, links, alone.beats, lanes)
    spaced = partial(core, spacing=spacing)
    free, depths = _unbounded(spaced, alone, (2 + inside, images), least)
    verdicts = max(free.verdicts.depth_used, StreamFifo.MIN_DEPTH)
    pause = free.beats * alone.latency
    if holds_results(parts, links, free.beats, lanes) and _stops(core, depths, verdicts, pause):
        results = free.results // parts[-1].output_lanes
        depths[links.out] = max(results, StreamFifo.MIN_DEPTH)  # all may wait for a verdict
    memory = max(MEMORY, *(_images(free, link, depths[link]) for link in depths))
    fed = core(depths, verdicts, images=max(inside, memory) + 2)
    later = fed.periods[-1:]
    while not fed.repeats(_memory(fed, memory)):
        fed = core(depths, verdicts, images=images)
        later = fed.periods[len(fed.periods) // 2 :]
        if len(set(later)) == 1 or images > MOST_IMAGES:
            break
        images *= 2
    # a run whose last images repeat may have slower ones in its later half
    settled = fed.periods[-1] if fed.repeats(_memory(fed, memory)) else max(later)
    first = _before(fed.periods, settled)
    return Schedule(settled, first, fed.latency, depths, verdicts, fed.spans)


def _unbounded(
    core: Callable[..., _Core], alone: _Core, images: tuple[int, int], least: Mapping[Link, int]
) -> tuple[_Core, dict[Link, int]]:
    """Run with unbounded queues and record their depths.

    Queues deep enough for block RAM are a cycle slower. Guess them from the run of a single image,
    ``alone``, and repeat the run if the guess was wrong. A queue that was guessed to be in block
    RAM but does not need it is a cycle faster in the core. Depths near it may then be a beat off;
    the final cycles include any cost of this.

    images : of a run, and of the longer run if the images of the first do not repeat
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
    """The links whose queues are in block RAM."""
    return {
        link
        for link, depth in depths.items()
        if depth and QueueSpec(depth, free.bits[link]).in_blocks
    }


def _memory(fed: _Core, memory: int) -> int:
    """The most images between a beat and another beat that it waits for.

    ``memory`` is the number of images that queues and window readers hold. If the queue of verdicts
    was full, its depth counts too.
    """
    depth = fed.verdicts.depth_used
    return max(memory, depth if depth == fed.verdict_depth else 0)


def _before(periods: Sequence[int], settled: int) -> tuple[int, ...]:
    """The periods without the final ones that equal ``settled``."""
    count = len(periods)
    while count and periods[count - 1] == settled:
        count -= 1
    return tuple(periods[:count])


def _stops(
    core: Callable[..., _Core], depths: Mapping[Link, int], verdicts: int, pause: int
) -> bool:
    """Whether the core deadlocks when inputs are so far apart that it settles between them.

    If it does not, it deadlocks at no input rate; see ``deadlock.py``.

    pause : cycles from one input to the next
    """
    try:
        core(depths, verdicts, images=1, spacing=pause)
    except StuckError:
        return True
    return False


def _images(free: _Core, link: Link, depth: int) -> int:
    """Images that a queue can hold, rounded up."""
    return -(-depth * free.images // max(len(free.ways[link].takes), 1))


def _depths(free: _Core, least: Mapping[Link, int]) -> dict[Link, int]:
    """The depth of each link's queue, from a run with unbounded queues and the least depths."""
    depths = {}
    for link in free.ways:
        fifo, held = free.fifos.get(link), least.get(link, 0)
        forked = len(free.links.readers[link.source]) > 1
        needed = held or (fifo and (forked or fifo.waits))
        deepest = fifo.depth_used if fifo else 0
        depths[link] = max(deepest, held, StreamFifo.MIN_DEPTH) if needed else 0
    return depths

"""The schedule of a core: the processes of its components, joined as ``assemble.py`` joins them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise, repeat

from ..hw.argmax import Argmax
from ..hw.geometry import PatchGeometry
from ..hw.patch import PatchEngine
from ..hw.requant import Requantizer
from ..hw.stream import StreamFifo
from .timing import Channel, Fifo, Process, pipeline, run, serializer

__all__ = ["Schedule", "schedule"]

IMAGES = 4  # enough for the distance between images to settle; checked
VERDICT_DEPTH = StreamFifo.MIN_DEPTH


@dataclass(frozen=True)
class Schedule:
    """Cycles of a core that is fed and drained without pauses.

    cycles_per_image : between the last results of consecutive images, once settled
    latency_cycles : from the first value taken to the last result sent, of the first image
    fifo_depths : beats of the queue behind each layer, 0 for none
    """

    cycles_per_image: int
    latency_cycles: int
    fifo_depths: tuple[int, ...]


def engine_steps(geometry: PatchGeometry) -> list[tuple[int, int]]:
    """For each activation of an image, (cycles it takes, beats of sums it makes)."""
    g = geometry
    steps = []
    for row in range(g.height):
        in_rows = row < g.rows * g.kernel[0]
        for column in range(g.width):
            used = in_rows and column < g.columns * g.kernel[1]
            closes = row % g.kernel[0] == g.kernel[0] - 1 and column % g.kernel[1] == (
                g.kernel[1] - 1
            )
            for channel in range(g.in_channels):
                ends_group = channel % g.channels_per_group == g.channels_per_group - 1
                made = g.slots if used and closes and ends_group else 0
                steps.append((g.slots if used else 1, made))
    return steps


class _Core:
    """One run of the timing model."""

    def __init__(
        self,
        geometries: Sequence[PatchGeometry],
        argmax: bool,
        depths: Sequence[int | None],
        spacing: int,
    ) -> None:
        self.channels: list[Channel] = []
        self.processes: list[Process] = []
        first = geometries[0]
        self.beats = first.height * first.width * first.in_channels
        last = geometries[-1]
        self.results = last.rows * last.columns * last.out_channels
        verdicts_in, verdicts_out = self._channel(), self._channel()
        self.entry = stream = self._channel()
        self.processes.append(self._source(stream, verdicts_in, spacing))
        self.fifos: list[Fifo | None] = []
        for geometry, depth in zip(geometries, depths, strict=True):
            stream = self._layer(stream, geometry)
            self.fifos.append(None)
            if depth != 0:
                beats = IMAGES * geometry.rows * geometry.columns * geometry.out_channels
                stream = self._fifo(stream, beats, depth)
        if argmax:
            scores, stream = stream, self._channel()
            steps = repeat((1, 1), IMAGES * self.results)
            self.processes.append(pipeline(scores, stream, Argmax.LATENCY, steps))
        self.exit = stream
        verdicts = Fifo(verdicts_in, verdicts_out, IMAGES, VERDICT_DEPTH)
        self.processes += [*verdicts.processes(), self._sink(stream, verdicts_out)]
        run(self.processes, self.channels)

    def _channel(self) -> Channel:
        self.channels.append(Channel())
        return self.channels[-1]

    def _source(self, o: Channel, verdicts: Channel, spacing: int) -> Process:
        """Values as fast as they are taken, images at least ``spacing`` cycles apart, evenly."""
        taken = -1
        for image in range(IMAGES):
            for beat in range(self.beats):
                start = image * spacing + beat * spacing // self.beats
                taken = yield from o.put(max(taken + 1, start))
            yield from verdicts.put(taken)

    def _sink(self, i: Channel, verdicts: Channel) -> Process:
        """FrameOut: results wait for the verdict, which leaves with the last of them."""
        for _ in range(IMAGES):
            known = yield from verdicts.get()
            for _ in range(self.results):
                cycle = max(known, (yield from i.get()))
                i.take(cycle)
            verdicts.take(cycle)

    def _layer(self, i: Channel, geometry: PatchGeometry) -> Channel:
        sums = self._channel()
        steps = chain.from_iterable(repeat(engine_steps(geometry), IMAGES))
        self.processes.append(pipeline(i, sums, PatchEngine.LATENCY, steps))
        if geometry.lanes > 1:
            beats, sums = sums, self._channel()
            self.processes.append(serializer(beats, sums, self._lanes(geometry)))
        o = self._channel()
        count = IMAGES * geometry.rows * geometry.columns * geometry.out_channels
        results = repeat((1, 1), count)
        self.processes.append(pipeline(sums, o, Requantizer.LATENCY, results))
        return o

    @staticmethod
    def _lanes(geometry: PatchGeometry) -> Iterator[int]:
        per_group = [geometry.lanes] * (geometry.slots - 1) + [geometry.last_lanes]
        periods = IMAGES * geometry.rows * geometry.columns * geometry.groups
        return chain.from_iterable(repeat(per_group, periods))

    def _fifo(self, i: Channel, beats: int, depth: int | None) -> Channel:
        o = self._channel()
        self.fifos[-1] = fifo = Fifo(i, o, beats, depth)
        self.processes += fifo.processes()
        return o

    @property
    def periods(self) -> list[int]:
        """Cycles between the last results of consecutive images."""
        ends = self.exit.takes[self.results - 1 :: self.results]
        return [after - before for before, after in pairwise(ends)]

    @property
    def latency(self) -> int:
        return self.exit.takes[self.results - 1] - self.entry.takes[0]


def schedule(geometries: Sequence[PatchGeometry], argmax: bool) -> Schedule:
    """Work out a core's cycles and the queues it needs.

    Queues are first left unbounded, with images as far apart as the slowest layer needs, to see how
    deep each gets; one that never holds two beats becomes a wire. The final figures come from a run
    with those depths and a source that never pauses.
    """
    spacing = max(geometry.busy_cycles for geometry in geometries)
    free = _Core(geometries, argmax, [None] * len(geometries), spacing)
    depths = [
        max(fifo.depth_used, StreamFifo.MIN_DEPTH) if fifo is not None and fifo.queues else 0
        for fifo in free.fifos
    ]
    last = geometries[-1]
    if last.rows * last.columns > 1:
        # Results wait for the frame's verdict: room for all of them, or the frame could not end.
        depths[-1] = max(free.results, StreamFifo.MIN_DEPTH)
    core = _Core(geometries, argmax, depths, spacing=0)
    return Schedule(core.periods[-1], core.latency, tuple(depths))

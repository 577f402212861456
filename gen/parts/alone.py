"""The cycles of a part on its own, by the timing model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ..timing.channel import Channel, Process, even, run
from ..timing.converters import convert

__all__ = ["simulated_cycles"]

IMAGES = 3  # doubled until the period has settled, up to MOST_IMAGES
FILLING = 400  # cycles until buffers and queues are full; an image may fill just one entry
MOST_IMAGES = 200


class Timed(Protocol):
    """The attributes of a part that are used here; see ``part.py``."""

    @property
    def input_lanes(self) -> int:
        """Activations in a beat of the input."""

    @property
    def beats(self) -> int:
        """Input beats of one image."""

    @property
    def results(self) -> int:
        """Output beats of one image."""

    @property
    def engine_cycles(self) -> int:
        """A lower bound on the cycles of an image."""

    def processes(
        self, inputs: Sequence[Channel], new: Callable[[], Channel], images: int
    ) -> tuple[list[Process], Channel]:
        """The processes of the part in the timing model, and the channel of its output."""


def simulated_cycles(part: Timed, read: int | None = None) -> int:
    """Cycles per image of a part with one input, once settled, if neither side ever pauses.

    read : lanes of the input stream; if the part takes other beats, a converter precedes it
    """
    lanes = part.input_lanes if read is None else read
    images = IMAGES + FILLING // part.engine_cycles
    while True:
        taken, given = _ends(part, lanes, images)
        settled = given[-1] - given[-2] == given[-2] - given[-3] == taken[-1] - taken[-2]
        if settled or images >= MOST_IMAGES:
            return given[-1] - given[-2]
        images *= 2


def _ends(part: Timed, lanes: int, images: int) -> tuple[list[int], list[int]]:
    """For each image, the cycles in which its last beat is taken and its last result is sent."""
    i, values = Channel(), images * part.beats * part.input_lanes
    processes, stream = convert(i, Channel, lanes, part.input_lanes, values)
    of_part, o = part.processes([stream], Channel, images)
    ends = [_source(i, values // lanes), _sink(o, images * part.results)]
    run([*processes, *of_part, *ends])
    beats, results = values // lanes // images, part.results
    return list(i.takes)[beats - 1 :: beats], list(o.takes)[results - 1 :: results]


def _source(o: Channel, beats: int) -> Process:
    o.offer(beats, 0, 1)
    yield from ()


def _sink(i: Channel, beats: int) -> Process:
    i.room = lambda cycle: beats
    taken = 0
    while taken < beats:
        offer = yield from i.next()
        run = even(offer.cycle, offer.interval, offer.lines, offer.count)
        i.taken(run)
        taken += run[0]

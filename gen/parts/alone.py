"""How fast a part is on its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ..timing.channel import Channel, Process, even, run
from ..timing.converters import convert

__all__ = ["own_cycles"]

IMAGES = 3  # where those are not enough to tell, twice as many are tried, up to the most
FILLING = 400  # cycles in which buffers and queues fill, by as little as one in each image
MOST_IMAGES = 200


class Timed(Protocol):
    """What is asked of a part; see ``part.py``."""

    @property
    def input_lanes(self) -> int:
        """Activations of a beat on the way in."""

    @property
    def beats(self) -> int:
        """Beats of one image on the way in."""

    @property
    def results(self) -> int:
        """Beats of one image on the way out."""

    @property
    def least_cycles(self) -> int:
        """A lower bound on the cycles of an image."""

    def processes(
        self, inputs: Sequence[Channel], new: Callable[[], Channel], images: int
    ) -> tuple[list[Process], Channel]:
        """Its processes in the timing model, and the channel that they end in."""


def own_cycles(part: Timed, read: int | None = None) -> int:
    """Cycles from image to image of a part of one input, once settled, when neither side waits;
    with a converter in front where its input comes in beats of ``read`` lanes."""
    lanes = part.input_lanes if read is None else read
    images = IMAGES + FILLING // part.least_cycles
    while True:
        taken, given = _ends(part, lanes, images)
        settled = given[-1] - given[-2] == given[-2] - given[-3] == taken[-1] - taken[-2]
        if settled or images >= MOST_IMAGES:
            return given[-1] - given[-2]
        images *= 2


def _ends(part: Timed, lanes: int, images: int) -> tuple[list[int], list[int]]:
    """The cycles in which each image's last beat is taken, and its last result given."""
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
        run = even(offer.cycle, offer.pace, offer.lines, offer.count)
        i.taken(run)
        taken += run[0]

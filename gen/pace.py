"""How fast a part is on its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .channel import Channel, Process, even, run
from .lanes import convert

if TYPE_CHECKING:
    from .parts import Part

__all__ = ["own_cycles"]

IMAGES = 3  # the distance between the last two is that of any later ones, or more are tried
MOST_IMAGES = 12


def own_cycles(part: Part, read: int | None = None) -> int:
    """Cycles from image to image of a part of one input, once settled, when neither side waits;
    with a converter in front where its input comes in beats of ``read`` lanes."""
    lanes = part.input_lanes if read is None else read
    for images in range(IMAGES, MOST_IMAGES + 1):
        i, values = Channel(), images * part.beats * part.input_lanes
        processes, beats = convert(i, Channel, lanes, part.input_lanes, values)
        of_part, o = part.processes([beats], Channel, images)
        run(
            [
                *processes,
                *of_part,
                _source(i, values // lanes),
                _sink(o, images * part.results),
            ]
        )
        first, second, third = list(o.takes)[part.results - 1 :: part.results][-3:]
        if third - second == second - first:
            break
    return third - second


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

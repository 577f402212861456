"""The timing of converters between beats of different widths: ``hw/lanes.py``, ``hw/rows.py``."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable

from ...hw.lanes import steps_between
from ...hw.rows import RowBuffer, RowGeometry
from .channel import Channel, Process, even

__all__ = ["convert", "converter", "packer", "row_buffer", "serializer"]


def serializer(i: Channel, o: Channel, parts: Iterable[int]) -> Process:
    """``hw.lanes.Serializer``: divides each beat into narrower ones.

    parts : for each beat, the number of narrower ones
    """
    cycle = -1
    for count in parts:
        cycle = max(cycle, (yield from i.get()))
        i.take(cycle)
        o.offer(count, cycle + 1, 1)
        last = len(o.takes) + count - 1
        while len(o.takes) <= last:
            yield o.takes
        cycle = o.takes[last]


def packer(i: Channel, o: Channel, beats: int, wide: int) -> Process:
    """``hw.lanes.Packer``: collects ``beats`` narrow beats into each of ``wide`` wide ones.

    The last narrow beat of a wide one waits until the wide beat before is taken.
    """
    made = 0

    def emptied() -> int:
        """The cycle in which the last wide beat is taken; -1 if there is none or it is unknown."""
        return o.takes[made - 1] if made and len(o.takes) >= made else -1

    def room(cycle: int) -> int:
        free = len(o.takes) >= made and emptied() <= cycle
        return made * beats + beats - 1 + (beats if free else 0)

    i.room = room
    while made < wide:
        offer = yield from i.next()
        groups = min(offer.count // beats, o.room(offer.cycle) - made)
        if emptied() >= offer.cycle + beats:
            groups = 0  # the last narrow beat of the next wide one may wait
        if groups > 0:  # these groups are known not to wait
            count, start, stride = even(offer.cycle, offer.interval, offer.lines, groups * beats)
            groups = count // beats
        if groups > 0:
            i.taken((groups * beats, start, stride))
            o.offer(groups, start + (beats - 1) * stride + 1, beats * stride)
            made += groups
            continue
        left = beats - 1
        while left:
            offer = yield from i.next()
            run = even(offer.cycle, offer.interval, offer.lines, min(offer.count, left))
            i.taken(run)
            left -= run[0]
        cycle = yield from i.get()
        while len(o.takes) < made:
            yield o.takes
        cycle = max(cycle, emptied())
        i.take(cycle)
        o.offer(1, cycle + 1, 1)
        made += 1


def row_buffer(i: Channel, o: Channel, geometry: RowGeometry, rows: int) -> Process:
    """``hw.rows.RowBuffer``: converts the beats of a row through a buffer.

    A beat is taken when the values that it overwrites have left. A result is offered when its last
    beat has been taken.
    """
    g, sent = geometry, 0
    freed = [row * g.beats + free for row in range(rows) for free in g.frees[:-1]]
    needed = [row * g.beats + need for row in range(rows) for need in g.needs]
    cycle = -1
    for beat in range(rows * g.beats):
        before = bisect_left(freed, beat - g.beats + 1)  # results that must have left
        while len(o.takes) < before:
            yield o.takes
        room = o.takes[before - 1] if before else 0
        cycle = max(cycle + 1, room, (yield from i.get()))
        i.take(cycle)
        due = bisect_right(needed, beat + 1)
        if due > sent:
            o.offer(due - sent, cycle + RowBuffer.LATENCY, 1)
            sent = due


def convert(
    i: Channel, new: Callable[[], Channel], lanes: int, wanted: int, values: int
) -> tuple[list[Process], Channel]:
    """The processes that convert beats of ``lanes`` values to ``wanted``, and their output channel.

    values : the number of values that pass in all
    """
    processes: list[Process] = []
    for width in steps_between(lanes, wanted):
        o = new()
        processes.append(converter(i, o, lanes, width, values))
        i, lanes = o, width
    return processes, i


def converter(i: Channel, o: Channel, lanes: int, width: int, values: int) -> Process:
    """A process that converts beats of ``lanes`` values to ``width``; one divides the other."""
    if width < lanes:
        return serializer(i, o, [lanes // width] * (values // lanes))
    return packer(i, o, width // lanes, values // width)

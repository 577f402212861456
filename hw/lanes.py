"""Converters of streams: to fewer values per beat, or to more."""

from __future__ import annotations

from math import gcd

from amaranth import Module, Mux, Shape, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .counter import counter

__all__ = ["Packer", "Serializer", "converter", "steps_between"]


def steps_between(lanes: int, wanted: int) -> list[int]:
    """The widths of beats on the way from ``lanes`` to ``wanted``, which is the last.

    The list is empty if the two are equal, and has one entry if one divides the other. Otherwise it
    goes through their greatest common divisor.
    """
    common = gcd(lanes, wanted)
    steps = [common] if common < lanes else []
    return [*steps, wanted] if common < wanted else steps


def converter(shape: Shape, lanes: int, width: int) -> wiring.Component:
    """A component that makes beats of ``width`` values from beats of ``lanes`` values of ``shape``.

    One number must divide the other.
    """
    layout = data.ArrayLayout(shape, lanes)
    if width < lanes:
        return Serializer(layout=layout, at_once=width)
    return Packer(layout=layout, beats=width // lanes)


class Serializer(wiring.Component):
    """Send the values of each beat in narrower beats, lane 0 first.

    Parameters
    ----------
    layout : layout of an input beat, an array of P values
    slots : input beats of a period
    last_lanes : lanes sent of a period's last beat; the others are padding. All other beats send P
    at_once : R, lanes sent in a cycle; divides P and last_lanes

    Members
    -------
    i : stream of P values per beat
    o : stream of R values per beat

    Throughput: R values per cycle, without a gap between beats. Latency: 1 cycle.

    Raises ValueError if last_lanes or at_once breaks its rule.
    """

    LATENCY = 1

    def __init__(
        self,
        *,
        layout: data.ArrayLayout,
        slots: int = 1,
        last_lanes: int | None = None,
        at_once: int = 1,
    ):
        lanes = layout.length
        last_lanes = lanes if last_lanes is None else last_lanes
        if not 1 <= last_lanes <= lanes:
            raise ValueError(f"last_lanes must be 1 to {lanes}, not {last_lanes}")
        if at_once < 1 or lanes % at_once or last_lanes % at_once:
            raise ValueError(
                f"at_once must divide the {lanes} lanes and the {last_lanes} of the last beat, "
                f"not {at_once}"
            )
        self._beat = data.ArrayLayout(
            data.ArrayLayout(layout.elem_shape, at_once), lanes // at_once
        )
        self._slots = slots
        self._last = last_lanes // at_once
        super().__init__(
            {
                "i": In(stream.Signature(layout)),
                "o": Out(stream.Signature(data.ArrayLayout(layout.elem_shape, at_once))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        parts = self._beat.length
        left = Signal(range(parts + 1))  # parts still to send; part 0 of the register is next
        held = Signal(self._beat, reset_less=True)
        empty = Signal(init=1)  # none left: a register, like ``full`` of StreamFifo
        ends = Signal()  # one left: also a register
        sent = Signal()
        takes = Signal()
        _, slot_ends = counter(m, "slot", self._slots, takes)
        m.d.comb += [
            self.o.valid.eq(~empty),
            self.o.payload.eq(held[0]),
            sent.eq(self.o.valid & self.o.ready),
            self.i.ready.eq(empty | (ends & self.o.ready)),
            takes.eq(self.i.valid & self.i.ready),
        ]
        coming = data.View(self._beat, self.i.payload.as_value())
        with m.If(sent | takes):  # one enable; of two that overlap Yosys would make none
            following = [*range(1, parts), parts - 1]
            for part, after in enumerate(following):
                m.d.sync += held[part].eq(Mux(takes, coming[part], held[after]))
            with m.If(takes):
                many = Mux(slot_ends, self._last > 1, parts > 1)
                m.d.sync += [
                    left.eq(Mux(slot_ends, self._last, parts)),
                    empty.eq(0),
                    ends.eq(~many),
                ]
            with m.Else():
                m.d.sync += [left.eq(left - 1), empty.eq(ends), ends.eq(left == 2)]
        return m


class Packer(wiring.Component):
    """Collect several beats into a wider one, the first in the lowest lanes.

    Parameters
    ----------
    layout : layout of an input beat, an array of values
    beats : input beats of an output beat, at least 2

    Members
    -------
    i : stream of ``layout``
    o : stream of ``beats`` times as many values per beat

    Throughput: one input beat per cycle; the last one of an output beat waits while the output beat
    before it waits. Latency: 1 cycle from the last input beat.

    Raises ValueError if ``beats`` is below 2.
    """

    LATENCY = 1

    def __init__(self, *, layout: data.ArrayLayout, beats: int):
        if beats < 2:
            raise ValueError(f"beats must be at least 2, not {beats}")
        self._layout = layout
        self._beats = beats
        wide = data.ArrayLayout(layout.elem_shape, layout.length * beats)
        super().__init__({"i": In(stream.Signature(layout)), "o": Out(stream.Signature(wide))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        first = Signal(data.ArrayLayout(self._layout, self._beats - 1), reset_less=True)
        wide = Signal(data.ArrayLayout(self._layout, self._beats), reset_less=True)
        takes = Signal()
        _, ends = counter(m, "part", self._beats, takes)
        m.d.comb += [
            self.i.ready.eq(~ends | ~self.o.valid | self.o.ready),
            takes.eq(self.i.valid & self.i.ready),
            self.o.payload.eq(wide),
        ]
        with m.If(takes & ~ends):  # the beats so far, the newest in the last place
            m.d.sync += first[-1].eq(self.i.payload)
            for part in range(self._beats - 2):
                m.d.sync += first[part].eq(first[part + 1])
        with m.If(takes & ends):
            m.d.sync += self.o.valid.eq(1)
            m.d.sync += wide[-1].eq(self.i.payload)
            for part in range(self._beats - 1):
                m.d.sync += wide[part].eq(first[part])
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        return m

"""Streams between components: a FIFO, and a serializer from P values a beat to one."""

from __future__ import annotations

from amaranth import Module, Mux, Shape, Signal
from amaranth.hdl import ShapeLike
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .counter import counter
from .storage import Storage, ram, ram_storage

__all__ = ["Serializer", "StreamFifo"]


class StreamFifo(wiring.Component):
    """A queue of beats: a memory and, behind it, the beat that is next.

    Parameters
    ----------
    shape : of the payload
    depth : beats it holds, at least 3 (fewer cannot move a beat every cycle)

    Members
    -------
    i, o : streams

    Latency: 2 cycles. Throughput: one beat a cycle. Reset empties it.
    """

    LATENCY = 2
    MIN_DEPTH = 3

    def __init__(self, *, shape: ShapeLike, depth: int):
        if depth < self.MIN_DEPTH:
            raise ValueError(f"Depth must be at least {self.MIN_DEPTH}, not {depth}")
        self._shape = shape
        self._depth = depth
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "o": Out(stream.Signature(shape)),
            }
        )

    @property
    def storage(self) -> Storage:
        """Rows, bits and kind of the memory; the beat that is next is a register more."""
        return ram_storage(self._depth - 1, Shape.cast(self._shape).width)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = ram(shape=self._shape, storage=self.storage)
        write, read = memory.write_port(), memory.read_port()
        waiting = Signal(range(self._depth))  # beats in the memory
        takes = Signal()
        moves = Signal()
        place, _ = counter(m, "place", self._depth - 1, takes)
        first, _ = counter(m, "first", self._depth - 1, moves)
        m.d.comb += [
            self.i.ready.eq(waiting != self._depth - 1),
            takes.eq(self.i.valid & self.i.ready),
            moves.eq((waiting != 0) & (~self.o.valid | self.o.ready)),
            write.en.eq(takes),
            write.addr.eq(place),
            write.data.eq(self.i.payload),
            read.en.eq(moves),
            read.addr.eq(first),
            self.o.payload.eq(read.data),
        ]
        with m.If(takes & ~moves):
            m.d.sync += waiting.eq(waiting + 1)
        with m.Elif(moves & ~takes):
            m.d.sync += waiting.eq(waiting - 1)
        with m.If(moves):
            m.d.sync += self.o.valid.eq(1)
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        return m


class Serializer(wiring.Component):
    """Send the lanes of a beat one after another, lane 0 first.

    Parameters
    ----------
    layout : an array of P values
    slots : beats of a period
    last_lanes : lanes sent of a period's last beat; the others are padding. All other beats send P.

    Members
    -------
    i : stream of P values a beat
    o : stream of one value a beat

    Throughput: one value a cycle, without a gap between beats. Latency: 1 cycle.
    """

    LATENCY = 1

    def __init__(self, *, layout: data.ArrayLayout, slots: int, last_lanes: int):
        if not 1 <= last_lanes <= layout.length:
            raise ValueError(f"last_lanes must be 1 to {layout.length}, not {last_lanes}")
        self._layout = layout
        self._slots = slots
        self._last_lanes = last_lanes
        super().__init__(
            {
                "i": In(stream.Signature(layout)),
                "o": Out(stream.Signature(data.ArrayLayout(layout.elem_shape, 1))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes = self._layout.length
        left = Signal(range(lanes + 1))  # lanes still to send; lane 0 of the register is next
        held = Signal(self._layout, reset_less=True)
        sent, takes = Signal(), Signal()
        _, slot_ends = counter(m, "slot", self._slots, takes)
        m.d.comb += [
            self.o.valid.eq(left != 0),
            self.o.payload[0].eq(held[0]),
            sent.eq(self.o.valid & self.o.ready),
            self.i.ready.eq((left == 0) | ((left == 1) & self.o.ready)),
            takes.eq(self.i.valid & self.i.ready),
        ]
        with m.If(sent | takes):  # one enable: Yosys makes none of two that overlap
            following = [*list(held)[1:], held[lanes - 1]]
            for lane, (value, after) in enumerate(zip(self.i.payload, following, strict=True)):
                m.d.sync += held[lane].eq(Mux(takes, value, after))
            with m.If(takes):
                m.d.sync += left.eq(Mux(slot_ends, self._last_lanes, lanes))
            with m.Else():
                m.d.sync += left.eq(left - 1)
        return m

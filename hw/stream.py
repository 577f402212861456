"""Streams between components: a FIFO."""

from __future__ import annotations

from amaranth import Module, Shape, Signal
from amaranth.hdl import ShapeLike
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .counter import counter
from .storage import Storage, ram, ram_storage

__all__ = ["StreamFifo"]


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
        full = Signal()  # a register, since a whole layer may stand still by it
        takes = Signal()
        moves = Signal()
        place, _ = counter(m, "place", self._depth - 1, takes)
        first, _ = counter(m, "first", self._depth - 1, moves)
        m.d.comb += [
            self.i.ready.eq(~full),
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
            m.d.sync += [waiting.eq(waiting + 1), full.eq(waiting == self._depth - 2)]
        with m.Elif(moves & ~takes):
            m.d.sync += [waiting.eq(waiting - 1), full.eq(0)]
        with m.If(moves):
            m.d.sync += self.o.valid.eq(1)
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        return m

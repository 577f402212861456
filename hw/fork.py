"""A fork: one stream to two consumers."""

from __future__ import annotations

from amaranth import Module, Signal
from amaranth.hdl import ShapeLike
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Fork"]


class Fork(wiring.Component):
    """Give each beat to both consumers, to each as soon as it is ready.

    Parameters
    ----------
    shape : shape of the payload

    Members
    -------
    i : stream; a beat is taken in the cycle in which the second consumer takes it
    o_a, o_b : streams

    Combinational from ``i`` to the outputs: latency 0, one beat per cycle if both are ready. No
    output's valid depends on a ready, so the two may meet again in an addition. A fork holds one
    beat only: if one path is longer than the other, the shorter one needs a queue.
    """

    LATENCY = 0

    def __init__(self, *, shape: ShapeLike):
        beats = stream.Signature(shape)
        super().__init__({"i": In(beats), "o_a": Out(beats), "o_b": Out(beats)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a_has = Signal()  # one consumer has this beat, the other not yet
        b_has = Signal()
        a_done = a_has | self.o_a.ready
        b_done = b_has | self.o_b.ready
        m.d.comb += [
            self.o_a.payload.eq(self.i.payload),
            self.o_b.payload.eq(self.i.payload),
            self.o_a.valid.eq(self.i.valid & ~a_has),
            self.o_b.valid.eq(self.i.valid & ~b_has),
            self.i.ready.eq(a_done & b_done),
        ]
        with m.If(self.i.valid):
            m.d.sync += [a_has.eq(a_done & ~b_done), b_has.eq(b_done & ~a_done)]
        return m

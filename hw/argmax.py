"""The index of the greatest score so far."""

from __future__ import annotations

from amaranth import Module, Mux, Shape, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Argmax"]


class Argmax(wiring.Component):
    """Pass scores through, each with the index of the greatest score so far; ties go to the first.

    Parameters
    ----------
    activation : shape of a score
    classes : number of scores of an image; they are counted, modulo ``classes``

    Members
    -------
    i : stream of one score per beat
    o : stream of {value, best}: the score, and the index of the greatest score up to it. ``best``
        of an image's last score is the class of the image.

    Throughput: one score per cycle. Latency: 1 cycle.
    """

    LATENCY = 1

    def __init__(self, *, activation: Shape, classes: int):
        self._classes = classes
        super().__init__(
            {
                "i": In(stream.Signature(data.ArrayLayout(activation, 1))),
                "o": Out(
                    stream.Signature(
                        data.StructLayout({"value": activation, "best": range(classes)})
                    )
                ),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        index = Signal(range(self._classes))
        greatest = Signal(self.i.payload[0].shape())
        value = self.i.payload[0]
        m.d.comb += self.i.ready.eq(~self.o.valid | self.o.ready)
        with m.If(self.i.ready):
            m.d.sync += self.o.valid.eq(self.i.valid)
        with m.If(self.i.ready & self.i.valid):
            m.d.sync += self.o.payload.value.eq(value)
            m.d.sync += index.eq(Mux(index == self._classes - 1, 0, index + 1))
            with m.If((index == 0) | (value > greatest)):
                m.d.sync += [greatest.eq(value), self.o.payload.best.eq(index)]
        return m

"""A clamp on a stream: a ReLU that is not fused into a layer."""

from __future__ import annotations

from amaranth import Module, Shape
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .centered import value_range

__all__ = ["Relu"]


class Relu(wiring.Component):
    """y = min(max(x, low), high), see ``model.layers.Relu``.

    Parameters
    ----------
    activation : shape of x and y
    low, high : the clamp, within the shape

    Members
    -------
    i, o : streams of one activation per beat

    Combinational from ``i`` to ``o``: latency 0, one activation per cycle.

    Raises ValueError if ``low`` is greater than ``high``.
    """

    LATENCY = 0

    def __init__(self, *, activation: Shape, low: int, high: int):
        if low > high:
            raise ValueError(f"The clamp must rise, not [{low}, {high}]")
        self._low, self._high = low, high
        activations = stream.Signature(data.ArrayLayout(activation, 1))
        super().__init__({"i": In(activations), "o": Out(activations)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        x, y = self.i.payload[0], self.o.payload[0]
        m.d.comb += [
            y.eq(x),
            self.o.valid.eq(self.i.valid),
            self.i.ready.eq(self.o.ready),
        ]
        lowest, highest = value_range(x.shape())
        if self._low > lowest:
            with m.If(x < self._low):
                m.d.comb += y.eq(self._low)
        if self._high < highest:
            with m.If(x > self._high):
                m.d.comb += y.eq(self._high)
        return m

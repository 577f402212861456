"""Several requantizers side by side: R accumulators a cycle."""

from __future__ import annotations

from amaranth import Module, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .requant import Requantizer
from .requantizer_spec import RequantizerSpec

__all__ = ["Requantizers"]


class Requantizers(wiring.Component):
    """R lanes of :class:`Requantizer`, all in step, each with the channels that fall to it.

    Parameters
    ----------
    spec : their numbers

    Members
    -------
    i : stream of R accumulators a beat, channels last
    o : stream of R activations a beat

    Throughput: R a cycle. Latency: that of one, of the slowest for all. Since the lanes take a
    value in the same cycles and stand still in the same ones, the handshake of one is that of all.
    """

    def __init__(self, spec: RequantizerSpec):
        self._spec = spec
        acc = data.ArrayLayout(signed(spec.accumulator_width), spec.lanes)
        activations = data.ArrayLayout(spec.activation, spec.lanes)
        super().__init__({"i": In(stream.Signature(acc)), "o": Out(stream.Signature(activations))})
        self._lanes = [Requantizer(lane) for lane in spec.each]

    @property
    def spec(self) -> RequantizerSpec:
        """The numbers given."""
        return self._spec

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for index, lane in enumerate(self._lanes):
            m.submodules[f"lane{index}"] = lane
            m.d.comb += [
                lane.i.valid.eq(self.i.valid),
                lane.i.payload[0].eq(self.i.payload[index]),
                self.o.payload[index].eq(lane.o.payload[0]),
                lane.o.ready.eq(self.o.ready),
            ]
        first = self._lanes[0]
        m.d.comb += [self.i.ready.eq(first.i.ready), self.o.valid.eq(first.o.valid)]
        return m

"""Several requantizers in parallel: R accumulators per cycle."""

from __future__ import annotations

from amaranth import Module, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .requant import Requantizer
from .requantizer_spec import RequantizerSpec

__all__ = ["Requantizers"]


class Requantizers(wiring.Component):
    """R instances of :class:`Requantizer` in lockstep, each for its own channels.

    Parameters
    ----------
    spec : spec of all of them

    Members
    -------
    i : stream of R accumulators per beat, channels last
    o : stream of R activations per beat

    Throughput: R per cycle. Latency: that of the slowest lane, for all lanes. The lanes take values
    in the same cycles and stall in the same cycles, so the handshake of one is the handshake of
    all.
    """

    def __init__(self, spec: RequantizerSpec):
        self._spec = spec
        acc = data.ArrayLayout(signed(spec.accumulator_width), spec.lanes)
        activations = data.ArrayLayout(spec.activation, spec.lanes)
        super().__init__({"i": In(stream.Signature(acc)), "o": Out(stream.Signature(activations))})
        self._lanes = [Requantizer(lane) for lane in spec.each]

    @property
    def spec(self) -> RequantizerSpec:
        """The spec of all lanes."""
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

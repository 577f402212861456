"""Several requantizers in parallel: R accumulators per cycle."""

from __future__ import annotations

from amaranth import Module, signed
from amaranth.lib import data

from .component import SpecComponent
from .requant import Requantizer
from .requantizer_spec import RequantizerSpec

__all__ = ["Requantizers"]


class Requantizers(SpecComponent[RequantizerSpec]):
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
        acc = data.ArrayLayout(signed(spec.accumulator_width), spec.lanes)
        super().__init__(spec, i=acc, o=data.ArrayLayout(spec.activation, spec.lanes))
        self._lanes = [Requantizer(lane) for lane in spec.each]

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

"""Several requantizers side by side: R accumulators a cycle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from amaranth import Module, Shape, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..model.requant import Requant
from .requant import Requantizer
from .storage import Storage

__all__ = ["Requantizers"]


class Requantizers(wiring.Component):
    """R lanes of :class:`Requantizer`, all in step, each with the channels that fall to it.

    Parameters
    ----------
    lanes : R, at least 2; divides OC or is a multiple of it
    requant, zero_point, channels, accumulator_width, activation, beside : of a Requantizer

    Members
    -------
    i : stream of R accumulators a beat, channels last
    o : stream of R activations a beat

    Throughput: R a cycle. Latency: that of one, of the slowest for all. Since the lanes take a
    value in the same cycles and stand still in the same ones, the handshake of one is that of all.
    Raises ValueError for lanes that are no divisor or multiple of the channels.
    """

    def __init__(
        self,
        *,
        lanes: int,
        requant: Requant,
        zero_point: int,
        channels: int,
        accumulator_width: int,
        activation: Shape,
        beside: Sequence[Storage] = (),
    ):
        if lanes < 1 or (channels % lanes and lanes % channels):
            raise ValueError(
                f"lanes must divide the {channels} channels or be a multiple, not {lanes}"
            )
        super().__init__(
            {
                "i": In(stream.Signature(data.ArrayLayout(signed(accumulator_width), lanes))),
                "o": Out(stream.Signature(data.ArrayLayout(activation, lanes))),
            }
        )
        step = min(lanes, channels)

        own = [_every(requant, lane, step) for lane in range(step)]
        slowest = max(Requantizer.read_cycles_of(each, zero_point, beside) for each in own)
        self._lanes = [
            Requantizer(
                requant=own[lane % step],
                zero_point=zero_point,
                channels=channels // step,
                accumulator_width=accumulator_width,
                activation=activation,
                beside=beside,
                read_cycles=slowest,
            )
            for lane in range(lanes)
        ]

    @property
    def latency(self) -> int:
        """Cycles from accumulators to their activations."""
        return self._lanes[0].latency

    @property
    def memories(self) -> tuple[Storage, ...]:
        """Those of the lanes."""
        return tuple(
            memory.within(f"lane{index}")
            for index, lane in enumerate(self._lanes)
            for memory in lane.memories
        )

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


def _every(requant: Requant, first: int, step: int) -> Requant:
    """The requantization of every ``step``-th channel from ``first`` on."""

    def own(values: Sequence[int]) -> tuple[int, ...]:
        return tuple(values[first::step]) if len(values) > 1 else tuple(values)

    return replace(requant, multipliers=own(requant.multipliers), offsets=own(requant.offsets))

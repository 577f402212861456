"""The patch engine: convolution where the kernel equals the stride, without a line buffer.

Patches do not overlap, so each activation serves one patch alone and can be multiplied as it
arrives. The sums of a patch row wait in a small memory, one entry per output column and slot, until
the next row of pixels comes by. Linear layers and whole-map convolutions are one patch; depthwise
layers have a group per channel; pointwise ones a 1x1 patch.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
from amaranth import Module, Shape, Signal, signed
from amaranth.hdl import Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..model.dtypes import signed_width
from ..model.layout import per_slot, weight_rows
from .centered import centered
from .geometry import PatchGeometry
from .pipeline import stage
from .rom import Rom
from .storage import Storage
from .sums import PartialSums
from .walk import PatchWalk

__all__ = ["PatchEngine"]


class PatchEngine(wiring.Component):
    """acc[oc] = bias[oc] + sum over the patch of (x - zero_point) * weight[oc], for each patch.

    Parameters
    ----------
    geometry : the layer's shape and P, the lanes
    activation : shape of x, signed or unsigned
    zero_point : of x
    weights : (OC, KH, KW, IC / groups) integers, zero points subtracted
    bias : (OC,) integers
    accumulator_width : bits of a sum, signed; must hold every partial sum (``model.ranges``)

    Members
    -------
    i : stream of one activation a beat, raster order, channels last
    o : stream of P sums a beat: for each patch in raster order, groups in order, slots in order;
        lanes past a group's last channel carry 0

    Throughput: ``slots`` cycles per activation of a patch, one per activation that is dropped.
    Latency: 4 cycles from the last step of an activation to its beat. The pipeline stalls as one
    while a beat waits. It neither rounds nor clamps; that is the Requantizer's work.
    """

    LATENCY = 4

    def __init__(
        self,
        *,
        geometry: PatchGeometry,
        activation: Shape,
        zero_point: int,
        weights: np.ndarray,
        bias: Sequence[int],
        accumulator_width: int,
    ):
        self._geometry = geometry
        self._zero_point = zero_point
        self._weights = np.asarray(weights)
        self._bias = np.asarray(bias, dtype=np.int64)
        expected = (
            geometry.out_channels,
            *geometry.kernel,
            geometry.channels_per_group,
        )
        if self._weights.shape != expected:
            raise ValueError(f"Weights must have the shape {expected}, not {self._weights.shape}")
        self._sums = data.ArrayLayout(signed(accumulator_width), geometry.lanes)
        super().__init__(
            {
                "i": In(stream.Signature(data.ArrayLayout(activation, 1))),
                "o": Out(stream.Signature(self._sums)),
            }
        )
        self._weight_rom = self._make_weight_rom()
        self._bias_rom = self._make_bias_rom()
        self._partial_sums = PartialSums(
            layout=self._sums, begins=self._bias_rom.layout, geometry=geometry
        )

    @property
    def geometry(self) -> PatchGeometry:
        """The geometry given."""
        return self._geometry

    @property
    def memories(self) -> tuple[Storage, ...]:
        """Weights, bias and partial sums."""
        return (
            self._weight_rom.storage.within("weights"),
            self._bias_rom.storage.within("bias"),
            self._partial_sums.storage.within("partial_sums"),
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        enable = Signal()
        m.d.comb += enable.eq(~self.o.valid | self.o.ready)

        # Stage 0: take an activation, address its weights.
        m.submodules.walk = walk = PatchWalk(geometry=self._geometry)
        m.submodules.weights = weights = self._weight_rom
        m.d.comb += [
            walk.step.eq(self.i.valid & enable),
            self.i.ready.eq(enable & walk.take),
            weights.en.eq(enable),
            weights.address.eq(walk.weight),
        ]
        s1 = stage(
            m,
            enable,
            "s1",
            valid=self.i.valid & ~walk.drop,
            first=walk.first,
            last=walk.last,
            fresh=walk.fresh,
            partial=walk.partial,
            index=walk.index,
            activation=centered(self.i.payload[0], self._zero_point),
        )

        # Stage 1: a register behind the weights, whose ROM may be slow; fetch the partial sum.
        s2 = stage(
            m,
            enable,
            "s2",
            valid=s1.valid,
            **_of_sum(s1),
            index=s1.index,
            activation=s1.activation,
            **{f"weight{p}": weight for p, weight in enumerate(weights.row)},
        )

        # Stage 2: multiply; fetch the bias, and the partial sum where that is quick.
        m.submodules.bias = bias = self._bias_rom
        m.d.comb += [bias.en.eq(enable), bias.address.eq(s2.index)]
        products = {
            f"product{p}": s2.activation * getattr(s2, f"weight{p}")
            for p in range(self._geometry.lanes)
        }
        s3 = stage(m, enable, "s3", valid=s2.valid, **_of_sum(s2), **products)

        # Stage 3: add; the last contribution to a patch makes a beat.
        m.submodules.partial_sums = sums = self._partial_sums
        m.d.comb += [
            sums.en.eq(enable),
            sums.fetch.eq((s1 if sums.lead == 2 else s2).partial),
            sums.first.eq(s3.first),
            sums.fresh.eq(s3.fresh),
            sums.store.eq(s3.valid),
            sums.address.eq(s3.partial),
            self.o.payload.eq(sums.sums),
        ]
        for p in range(self._geometry.lanes):
            m.d.comb += [
                sums.start[p].eq(bias.row[p]),
                sums.total[p].eq(getattr(s3, f"product{p}") + sums.held[p]),
            ]
        with m.If(enable):
            m.d.sync += self.o.valid.eq(s3.valid & s3.last)
        return m

    def _make_weight_rom(self) -> Rom:
        rows = weight_rows(self._weights, self._geometry.groups, self._geometry.lanes).tolist()
        width = signed_width(int(self._weights.min()), int(self._weights.max()))
        return Rom(rows=rows, layout=data.ArrayLayout(signed(width), self._geometry.lanes))

    def _make_bias_rom(self) -> Rom:
        g = self._geometry
        rows = per_slot(self._bias, g.groups, g.lanes).reshape(g.outputs, g.lanes)
        width = signed_width(int(self._bias.min()), int(self._bias.max()))
        if not self._bias.any():
            rows = rows[:1]  # no bias: one constant row, no memory
        layout = data.ArrayLayout(signed(width), g.lanes)
        return Rom(rows=rows.tolist(), layout=layout, beside=[self._weight_rom.storage])


def _of_sum(stage: SimpleNamespace) -> dict[str, Value]:
    """What a step says of its partial sum, to hand on to the next stage."""
    return {name: getattr(stage, name) for name in ("first", "last", "fresh", "partial")}

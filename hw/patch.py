"""The patch engine: convolution where the kernel equals the stride, without a line buffer.

Patches do not overlap, so each activation serves one patch alone and can be multiplied as it
arrives, several of them at once where a beat has several. The sums of a patch row wait in a small
memory, one entry per output column and slot, until the next row of pixels comes by. Linear layers
and whole-map convolutions are one patch; depthwise layers have a group per channel; pointwise ones
a 1x1 patch.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from types import SimpleNamespace

import numpy as np
from amaranth import Const, Module, Shape, Signal, signed
from amaranth.hdl import Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..model.dtypes import signed_width
from ..model.layout import per_slot, weight_rows
from .centered import centered
from .credits import CreditQueue
from .geometry import PatchGeometry
from .pipeline import stage
from .rom import Rom
from .storage import Storage
from .sums import PartialSums
from .tree import add_in_stages, tree_stages
from .walk import PatchWalk

__all__ = ["PatchEngine"]

MOST_LATE = 2  # cycles: block RAM, and the choice from its folds
CONTROL = ("valid", "first", "last", "fresh", "partial", "index")


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
    credits : 0, or results that may be on their way or wait to be taken, see :class:`CreditQueue`
    early : of the PatchWalk

    Members
    -------
    i : stream of ``pixels * channels`` activations a beat, raster order, channels last
    o : stream of P sums a cell and beat: for each patch in raster order, groups in order, slots in
        order; lanes past a group's last channel carry 0

    Throughput: ``slots`` cycles per beat of a patch, one per beat that is dropped. Latency
    (``latency``): 4 cycles from the last step of a beat to its sums, one or two more where weights
    come from block RAM, and one for each stage of the tree that adds terms.

    Without credits the pipeline stalls as one while a beat waits. With them it never does, so that
    no enable need reach many multipliers in a cycle: a step that makes a result waits for a credit,
    others for nothing. The queue then adds its latency, and registers stand between what may lie
    far apart: one behind the walk, and where terms are added one between multipliers and tree.

    It neither rounds nor clamps; that is the Requantizer's work.
    """

    def __init__(
        self,
        *,
        geometry: PatchGeometry,
        activation: Shape,
        zero_point: int,
        weights: np.ndarray,
        bias: Sequence[int],
        accumulator_width: int,
        credits: int = 0,
        early: bool = False,
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
        self._sums = data.ArrayLayout(signed(accumulator_width), geometry.sums)
        beat = data.ArrayLayout(activation, geometry.pixels * geometry.channels)
        super().__init__(
            {
                "i": In(stream.Signature(beat)),
                "o": Out(stream.Signature(self._sums)),
            }
        )
        self._credits = credits
        self._early = early
        self._queue = CreditQueue(shape=self._sums, depth=credits) if credits else None
        self._weight_rom = self._make_weight_rom()
        self._bias_rom = self._make_bias_rom()
        late = self._bias_rom.read_cycles - 1  # of the bias, whose address is a register
        if late > self._weight_rom.read_cycles:
            self._weight_rom = self._make_weight_rom(late)
        begins = data.ArrayLayout(self._bias_rom.layout.elem_shape, geometry.sums)
        self._partial_sums = PartialSums(layout=self._sums, begins=begins, geometry=geometry)

    @property
    def geometry(self) -> PatchGeometry:
        """The geometry given."""
        return self._geometry

    LATENCY = 4  # of one term, whose weight is at hand a cycle after its address

    @property
    def latency(self) -> int:
        """Cycles from the last step of a beat to its sums."""
        return self._latency_of(self._geometry, self._weight_rom.read_cycles - 1, self._credits)

    @classmethod
    def most_latency(cls, geometry: PatchGeometry, credits: int) -> int:
        """The most cycles of ``latency`` with credits, whatever the weights."""
        return cls._latency_of(geometry, MOST_LATE, credits)

    @classmethod
    def _latency_of(cls, geometry: PatchGeometry, late: int, credits: int) -> int:
        """``latency`` where weights come ``late`` cycles later than from LUTs."""
        tree = tree_stages(geometry.terms)
        queue = 1 + (tree > 0) + CreditQueue.latency_of(credits) if credits else 0
        return cls.LATENCY + late + tree + queue

    @property
    def memories(self) -> tuple[Storage, ...]:
        """Weights, bias and partial sums."""
        queue = (self._queue.storage.within("queue"),) if self._queue else ()
        return (
            self._weight_rom.storage.within("weights"),
            self._bias_rom.storage.within("bias"),
            self._partial_sums.storage.within("partial_sums"),
            *queue,
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.walk = walk = PatchWalk(geometry=self._geometry, early=self._early)
        may, enable = self._build_flow(m, walk)
        comes = walk.step if self._queue else self.i.valid  # else the stage's enable says the rest

        # Stage 0: take an activation, address its weights.
        m.submodules.weights = weights = self._weight_rom
        taken: dict[str, Value] = {
            "valid": comes & ~walk.drop,
            "first": walk.first,
            "last": walk.last,
            "fresh": walk.fresh,
            "partial": walk.partial,
            "index": walk.index,
            **self._activations(),
        }
        address = walk.weight
        if self._queue:  # what decodes the address lies apart from the counters
            s0 = stage(m, enable, "s0", **taken, weight=address)
            taken = {name: getattr(s0, name) for name in taken}
            address = s0.weight
        m.d.comb += [
            walk.step.eq(self.i.valid & may),
            self.i.ready.eq(may & walk.take),
            weights.en.eq(enable),
            weights.address.eq(address),
        ]
        s1 = stage(m, enable, "s1", **taken)
        stages = [s1]
        for _ in range(1, weights.read_cycles):
            stages.append(stage(m, enable, f"s{len(stages) + 1}", **vars(stages[-1])))

        # Then a register behind the weights, which with that of the activations may be the
        # multiplier's own.
        rows = {f"weight{at}": weight for at, weight in enumerate(weights.row)}
        stages.append(stage(m, enable, f"s{len(stages) + 1}", **vars(stages[-1]), **rows))

        # Multiply, then add what belongs to one sum.
        products = self._products(stages[-1])
        names = {f"product{at}": value for at, value in enumerate(chain.from_iterable(products))}
        stages.append(stage(m, enable, f"s{len(stages) + 1}", **_control(stages[-1]), **names))
        terms = self._geometry.terms
        if self._queue and terms > 1:
            stages.append(stage(m, enable, f"s{len(stages) + 1}", **vars(stages[-1])))
        added = [getattr(stages[-1], name) for name in names]
        sums = [added[at : at + terms] for at in range(0, len(added), terms)]
        control = _control(stages[-1])
        stages += add_in_stages(m, enable, len(stages) + 1, sums=sums, control=control)
        self._build_sums(m, enable, stages)
        return m

    def _build_flow(self, m: Module, walk: PatchWalk) -> tuple[Value, Value]:
        """Whether the walk may take a step, and whether the stages move."""
        if not self._queue:
            enable = Signal()
            m.d.comb += enable.eq(~self.o.valid | self.o.ready)
            return enable, enable
        m.submodules.queue = queue = self._queue
        may = Signal()
        free = ~walk.last
        if self._geometry.tail_steps or self._geometry.tail_rows:  # no result of what is dropped
            free |= walk.drop
        m.d.comb += [
            may.eq(queue.credit | free),
            queue.uses.eq(walk.step & walk.last & ~walk.drop),
        ]
        connect(m, queue.o, flipped(self.o))
        return may, Const(1)

    def _activations(self) -> dict[str, Value]:
        """The activations of a beat that are used, zero points subtracted, by name."""
        g = self._geometry
        used = g.column_cells * g.taps * g.channels
        names = ["activation"] if used == 1 else [f"activation{at}" for at in range(used)]
        return {
            name: centered(self.i.payload[at], self._zero_point) for at, name in enumerate(names)
        }

    def _products(self, s: SimpleNamespace) -> list[list[Value]]:
        """For each sum, cell by cell and lane by lane, the products that are its terms."""
        g = self._geometry
        group = min(g.channels, g.channels_per_group)
        products = []
        for column, cell, p in np.ndindex(g.column_cells, g.group_cells, g.lanes):
            terms = []
            for tap, channel in np.ndindex(g.taps, group):
                weight = tap * g.channels + cell * group + channel
                at = column * g.taps * g.channels + weight
                name = f"activation{at}" if hasattr(s, f"activation{at}") else "activation"
                terms.append(getattr(s, name) * getattr(s, f"weight{weight * g.lanes + p}"))
            products.append(terms)
        return products

    def _build_sums(self, m: Module, enable: Value, stages: Sequence[SimpleNamespace]) -> None:
        """The last stage: add to the sums so far; the last contribution to a patch makes a beat.
        What that takes is fetched in the stages before: the bias, and the sums from their memory,
        as early as that is slow."""
        m.submodules.bias = bias = self._bias_rom
        m.submodules.partial_sums = sums = self._partial_sums
        s, o = stages[-1], self._queue.i if self._queue else self.o
        m.d.comb += [
            bias.en.eq(enable),
            bias.address.eq(stages[-1 - bias.read_cycles].index),
            sums.en.eq(enable),
            sums.fetch.eq(stages[-1 - sums.lead].partial),
            sums.first.eq(s.first),
            sums.fresh.eq(s.fresh),
            sums.store.eq(s.valid),
            sums.address.eq(s.partial),
            o.payload.eq(sums.sums),
        ]
        added = "sum" if self._geometry.terms > 1 else "product"
        for at in range(self._geometry.sums):
            own = at % (self._geometry.group_cells * self._geometry.lanes)  # columns share a bias
            m.d.comb += [
                sums.start[at].eq(bias.row[own]),
                sums.total[at].eq(getattr(s, f"{added}{at}") + sums.held[at]),
            ]
        with m.If(enable):
            m.d.sync += o.valid.eq(s.valid & s.last)

    def _make_weight_rom(self, read_cycles: int = 1) -> Rom:
        g = self._geometry
        rows = weight_rows(self._weights, g.groups, g.lanes, g.taps, g.channels)
        width = signed_width(int(self._weights.min()), int(self._weights.max()))
        layout = data.ArrayLayout(signed(width), rows.shape[1])
        return Rom(rows=rows, layout=layout, read_cycles=read_cycles)

    def _make_bias_rom(self) -> Rom:
        g = self._geometry
        lanes = g.group_cells * g.lanes
        rows = per_slot(self._bias, g.groups, g.lanes).reshape(g.outputs, lanes)
        width = signed_width(int(self._bias.min()), int(self._bias.max()))
        if not self._bias.any():
            rows = rows[:1]  # no bias: one constant row, no memory
        layout = data.ArrayLayout(signed(width), lanes)
        return Rom(rows=rows, layout=layout, beside=[self._weight_rom.storage])


def _control(stage: SimpleNamespace) -> dict[str, Value]:
    """What a step says of itself and of its partial sum, to hand on to the next stage."""
    return {name: getattr(stage, name) for name in CONTROL}

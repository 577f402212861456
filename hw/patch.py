"""The patch engine: convolution with a kernel equal to the stride, without a line buffer.

Patches do not overlap, so each activation belongs to one patch and is multiplied when it arrives; a
beat may hold several activations, which are multiplied at once. The sums of a row of patches wait
in a small memory, one entry for each output column and slot, until the next row of pixels arrives.
Linear layers and convolutions over the whole map have a single patch. Depthwise layers have a group
for each channel. Pointwise layers have a 1x1 patch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from types import SimpleNamespace

import numpy as np
from amaranth import Const, Module, Shape, Signal, signed
from amaranth.hdl import Value
from amaranth.lib import data
from amaranth.lib.wiring import connect, flipped

from ..model.dtypes import Integers, signed_width
from ..model.layout import per_slot, weight_rows
from .centered import centered
from .component import SpecComponent
from .credits import CreditQueue, CreditSpec
from .geometry import PatchGeometry
from .pipeline import stage
from .rom import Rom
from .storage import Storage, rows_storage
from .sums import PartialSums, SumsSpec
from .tree import add_in_stages, tree_stages
from .walk import PatchWalk

__all__ = ["MOST_LATE", "PatchEngine", "PatchSpec", "patch_latency"]

MOST_LATE = 2  # cycles: one for block RAM, one for the choice among its folds


@dataclass(frozen=True, kw_only=True, eq=False)
class PatchSpec:
    """The spec of a patch engine.

    Parameters
    ----------
    geometry : shape of the layer, P and S
    activation : shape of x, signed or unsigned
    zero_point : zero point of x
    weights : (OC, KH, KW, IC / groups) integers, zero points subtracted
    bias : (OC,) integers
    accumulator_width : bits of a sum, signed; must hold every partial sum (``model.layers``)
    credits : number of credits, see :class:`CreditQueue`; 0 for an engine that stalls instead
    early : ``early`` of the PatchWalk

    Raises ValueError if the shape of the weights does not match the geometry.
    """

    geometry: PatchGeometry
    activation: Shape
    zero_point: int
    weights: Integers
    bias: Integers
    accumulator_width: int
    credits: int = 0
    early: bool = False

    def __post_init__(self) -> None:
        g = self.geometry
        object.__setattr__(self, "weights", np.asarray(self.weights))
        object.__setattr__(self, "bias", np.asarray(self.bias, dtype=np.int64))
        expected = (g.out_channels, *g.kernel, g.channels_per_group)
        if self.weights.shape != expected:
            raise ValueError(f"Weights must have the shape {expected}, not {self.weights.shape}")

    @property
    def latency(self) -> int:
        """Cycles from the last step of a beat to its sums."""
        late = self.bias_storage.read_cycles - 1
        read = max(self.weight_storage.read_cycles, late)
        return patch_latency(self.geometry, read - 1, self.credits)

    @property
    def memories(self) -> tuple[Storage, ...]:
        """Weights, bias, partial sums, and the queue of an engine with credits."""
        sums_bits = self.geometry.sums * self.accumulator_width
        queue = CreditSpec(self.credits, sums_bits)
        return (
            self.weight_storage.within("weights"),
            self.bias_storage.within("bias"),
            SumsSpec(self.geometry, sums_bits).storage.within("partial_sums"),
            *((queue.storage.within("queue"),) if self.credits else ()),
        )

    @cached_property
    def weight_rows(self) -> Integers:
        """The rows of the weight ROM, see :func:`model.layout.weight_rows`."""
        g = self.geometry
        return weight_rows(self.weights, g.groups, g.pe, g.taps, g.channels_at_once)

    @cached_property
    def weight_bits(self) -> int:
        """Bits of a weight in its ROM, signed."""
        return signed_width(int(self.weights.min()), int(self.weights.max()))

    @cached_property
    def weight_storage(self) -> Storage:
        """Rows, bits and kind of the weight ROM."""
        return rows_storage(self.weight_rows, self.weight_rows.shape[1] * self.weight_bits)

    @cached_property
    def bias_rows(self) -> Integers:
        """The rows of the bias ROM: one for each slot of all groups, or one if there is no bias."""
        g = self.geometry
        rows = per_slot(self.bias, g.groups, g.pe).reshape(g.outputs, g.group_cells * g.pe)
        return rows if self.bias.any() else rows[:1]

    @property
    def bias_bits(self) -> int:
        """Bits of a bias in its ROM, signed."""
        return signed_width(int(self.bias.min()), int(self.bias.max()))

    @cached_property
    def bias_storage(self) -> Storage:
        """Rows, bits and kind of the bias ROM."""
        row_bits = self.bias_rows.shape[1] * self.bias_bits
        return rows_storage(self.bias_rows, row_bits, beside=[self.weight_storage])


def patch_latency(geometry: PatchGeometry, late: int, credits: int) -> int:
    """Cycles from the last step of a beat to its sums.

    late : cycles by which the weights come later than from LUTs, at most ``MOST_LATE``
    """
    tree = tree_stages(geometry.terms)
    queue = 1 + (tree > 0) + CreditSpec(credits, 1).latency if credits else 0
    return PatchEngine.LATENCY + late + tree + queue


CONTROL = ("valid", "first", "last", "fresh", "partial", "index")


class PatchEngine(SpecComponent[PatchSpec]):
    """acc[oc] = bias[oc] + sum over the patch of (x - zero_point) * weight[oc], for each patch.

    Parameters
    ----------
    spec : spec of the engine

    Members
    -------
    i : stream of ``pixels * channels_at_once`` activations per beat, raster order, channels last
    o : stream of P sums per cell and beat: patches in raster order, their groups in order, their
        slots in order; lanes after a group's last channel carry 0

    Throughput: ``slots`` cycles for a beat of a patch, one for a beat that is dropped. Latency
    (``spec.latency``): 4 cycles from the last step of a beat to its sums, one or two more if
    weights come from block RAM, and one for each stage of the tree that adds terms.

    Without credits the whole pipeline stalls while a beat waits. With credits it never stalls, so
    no enable has to reach many multipliers in a cycle: a step that makes a result waits for a
    credit, and other steps wait for nothing. The queue adds its latency. Such an engine has more
    registers between parts that may lie far apart: one after the walk, and one between multipliers
    and tree if terms are added.

    It neither rounds nor clamps; the Requantizer does.
    """

    LATENCY = 4  # with one term, and weights that come a cycle after their address

    def __init__(self, spec: PatchSpec):
        self._geometry, self._zero_point = spec.geometry, spec.zero_point
        self._sums = data.ArrayLayout(signed(spec.accumulator_width), spec.geometry.sums)
        beat = data.ArrayLayout(
            spec.activation, spec.geometry.pixels * spec.geometry.channels_at_once
        )
        super().__init__(spec, i=beat, o=self._sums)
        self._queue = CreditQueue(shape=self._sums, depth=spec.credits) if spec.credits else None
        weights = data.ArrayLayout(signed(spec.weight_bits), spec.weight_rows.shape[1])
        late = spec.bias_storage.read_cycles - 1  # delay in cycles; the bias address is a register
        self._weight_rom = Rom(rows=spec.weight_rows, layout=weights, read_cycles=max(late, 1))
        biases = data.ArrayLayout(signed(spec.bias_bits), spec.bias_rows.shape[1])
        beside = [spec.weight_storage]
        self._bias_rom = Rom(rows=spec.bias_rows, layout=biases, beside=beside)
        begins = data.ArrayLayout(signed(spec.bias_bits), spec.geometry.sums)
        self._partial_sums = PartialSums(layout=self._sums, begins=begins, geometry=spec.geometry)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.walk = walk = PatchWalk(geometry=self._geometry, early=self._spec.early)
        may, enable = self._build_flow(m, walk)
        comes = walk.step if self._queue else self.i.valid  # else the stage's enable covers ``may``

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
        if self._queue:  # address decoders lie apart from the counters
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

        # Then a register after the weights. A multiplier block may absorb it and that of the
        # activations.
        rows = {f"weight{at}": weight for at, weight in enumerate(weights.row)}
        stages.append(stage(m, enable, f"s{len(stages) + 1}", **vars(stages[-1]), **rows))

        # Multiply, then add the terms of each sum.
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
        """Build the flow control. Returns (whether the walk may step, whether the stages move)."""
        if not self._queue:
            enable = Signal()
            m.d.comb += enable.eq(~self.o.valid | self.o.ready)
            return enable, enable
        m.submodules.queue = queue = self._queue
        may = Signal()
        free = ~walk.last
        if self._geometry.tail_steps or self._geometry.tail_rows:  # a dropped beat has no result
            free |= walk.drop
        m.d.comb += [
            may.eq(queue.credit | free),
            queue.uses.eq(walk.step & walk.last & ~walk.drop),
        ]
        connect(m, queue.o, flipped(self.o))
        return may, Const(1)

    def _activations(self) -> dict[str, Value]:
        """The activations of a beat that are used, zero point subtracted, by name."""
        g = self._geometry
        used = g.column_cells * g.taps * g.channels_at_once
        names = ["activation"] if used == 1 else [f"activation{at}" for at in range(used)]
        return {
            name: centered(self.i.payload[at], self._zero_point) for at, name in enumerate(names)
        }

    def _products(self, s: SimpleNamespace) -> list[list[Value]]:
        """The products that are the terms of each sum: cell by cell, then by output channel."""
        g = self._geometry
        group = min(g.channels_at_once, g.channels_per_group)
        products = []
        for column, cell, p in np.ndindex(g.column_cells, g.group_cells, g.pe):
            terms = []
            for tap, channel in np.ndindex(g.taps, group):
                weight = tap * g.channels_at_once + cell * group + channel
                at = column * g.taps * g.channels_at_once + weight
                name = f"activation{at}" if hasattr(s, f"activation{at}") else "activation"
                terms.append(getattr(s, name) * getattr(s, f"weight{weight * g.pe + p}"))
            products.append(terms)
        return products

    def _build_sums(self, m: Module, enable: Value, stages: Sequence[SimpleNamespace]) -> None:
        """Build the last stage: add to the partial sums.

        The last contribution to a patch makes a beat. Earlier stages fetch the bias and the stored
        sums, as much earlier as their memories are slow.
        """
        m.submodules.bias = bias = self._bias_rom
        m.submodules.partial_sums = sums = self._partial_sums
        s, o = stages[-1], self._queue.i if self._queue else self.o
        m.d.comb += [
            bias.en.eq(enable),
            bias.address.eq(stages[-1 - bias.read_cycles].index),
            sums.en.eq(enable),
            sums.fetch.eq(stages[-1 - sums.spec.lead].partial),
            sums.first.eq(s.first),
            sums.fresh.eq(s.fresh),
            sums.store.eq(s.valid),
            sums.address.eq(s.partial),
            o.payload.eq(sums.sums),
        ]
        added = "sum" if self._geometry.terms > 1 else "product"
        for at in range(self._geometry.sums):
            own = at % (self._geometry.group_cells * self._geometry.pe)  # patches share a bias
            m.d.comb += [
                sums.start[at].eq(bias.row[own]),
                sums.total[at].eq(getattr(s, f"{added}{at}") + sums.held[at]),
            ]
        with m.If(enable):
            m.d.sync += o.valid.eq(s.valid & s.last)


def _control(stage: SimpleNamespace) -> dict[str, Value]:
    """The control signals of a step, to pass on to the next stage."""
    return {name: getattr(stage, name) for name in CONTROL}

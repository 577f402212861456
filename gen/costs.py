"""What a core takes of a device: DSP blocks and block RAMs as Yosys maps them, LUTs by estimate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass

from amaranth import unsigned

from ..hw.storage import Storage
from ..hw.stream import StreamFifo
from .devices import Family
from .lut_estimate import estimate, features_of_part, features_of_rest
from .mapped import block_rams
from .parts import Part
from .plan import Plan
from .products import products

__all__ = ["Cost", "cost_of_core", "cost_of_part", "features_of_core"]


@dataclass(frozen=True)
class Cost:
    """DSP blocks, block RAMs, and all LUTs that a core occupies, those of carries and of LUT RAM
    too; iCE40's are logic cells."""

    dsps: int = 0
    block_rams: int = 0
    luts: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(a + b for a, b in zip(self, other, strict=True)))

    def __iter__(self) -> Iterator[int]:
        return iter(astuple(self))


def cost_of_part(part: Part, family: Family) -> Cost:
    """A layer's."""
    memories = _memories(part)
    dsps = sum(
        each.count * family.tiles.count(each.a, each.b, each.signed) for each in products(part)
    )
    features = features_of_part(part, memories, family)
    return Cost(dsps, block_rams(memories, family), estimate(features, family))


def cost_of_core(plan: Plan, family: Family) -> Cost:
    """A whole core's, its queues included."""
    cost = sum((cost_of_part(layer.part, family) for layer in plan.layers), Cost())
    queues = _queues(plan)
    features = features_of_rest(queues, _row_bits(plan), family)
    return cost + Cost(0, block_rams(queues, family), estimate(features, family))


def features_of_core(plan: Plan, family: Family) -> Counter[str]:
    """What the LUTs of a core are estimated from."""
    count = features_of_rest(_queues(plan), _row_bits(plan), family)
    for part in (layer.part for layer in plan.layers):
        count.update(features_of_part(part, _memories(part), family))
    return count


def _memories(part: Part) -> Sequence[Storage]:
    return tuple(part.component().memories)


def _row_bits(plan: Plan) -> int:
    """Bits of the row that ``assemble.Core`` has where the input's beats become others."""
    rows = plan.row_geometry
    return rows.values * plan.network.tensors[plan.network.input].dtype.bits if rows else 0


def _queues(plan: Plan) -> Sequence[Storage]:
    """The memories that ``assemble.Core`` has between the layers, and of the verdicts."""
    network = plan.network
    bits = {"": network.tensors[network.input].dtype.bits * plan.row_lanes}
    for part in (layer.part for layer in plan.layers):
        bits[part.name] = part.y.dtype.bits * part.output_lanes
    queues = [(bits[link.source], depth) for link, depth in plan.fifo_depths.items() if depth]
    return [
        StreamFifo(shape=unsigned(width), depth=depth).storage
        for width, depth in [*queues, (1, plan.verdict_depth)]
    ]

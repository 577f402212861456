"""The cost of a core on a device: its layers, the queues between them and the shell."""

from __future__ import annotations

from collections import Counter

from ..cost.devices import Family
from ..cost.luts import estimate, features_of_part, features_of_rest
from ..cost.memories import block_rams
from ..cost.parts import Cost, cost_of_part
from .plan import Plan
from .topology import RowsNode

__all__ = ["cost_of_core", "features_of_core"]


def cost_of_core(plan: Plan, family: Family) -> Cost:
    """The cost of a whole core, including its queues."""
    cost = sum((cost_of_part(layer.part, family) for layer in plan.layers), Cost())
    queues = [queue.storage for queue in plan.queues.values()]
    features = features_of_rest(queues, _row_bits(plan), family)
    return cost + Cost(0, block_rams(queues, family), estimate(features, family))


def features_of_core(plan: Plan, family: Family) -> Counter[str]:
    """The features from which the LUTs of a core are estimated."""
    queues = [queue.storage for queue in plan.queues.values()]
    count = features_of_rest(queues, _row_bits(plan), family)
    for part in (layer.part for layer in plan.layers):
        count.update(features_of_part(part, part.memories, family))
    return count


def _row_bits(plan: Plan) -> int:
    """Bits of the row buffer that converts the input's beats; 0 if there is none."""
    rows = [node for node in plan.topology if isinstance(node, RowsNode)]
    return sum(node.geometry.values * node.i.dtype.bits for node in rows)

"""What a core takes of a device: DSP blocks and block RAMs as Yosys maps them, LUTs by estimate.

LUTs are an estimate: a sum over what a core consists of, each with a factor for the family, fitted
to Yosys' counts over shipped networks by ``tests/lutfit.py``, which also tells how far off it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass

from amaranth import unsigned

from ..hw.storage import Kind, Storage, folded_rows
from ..hw.stream import StreamFifo
from .conv_part import ConvPart
from .devices import Family
from .parts import Part, WindowedPart
from .plan import Plan
from .products import products

__all__ = ["FEATURES", "Cost", "cost_of_core", "cost_of_part", "features_of_core"]

# What the LUTs of a core are estimated from, summed over its parts and queues.
FEATURES = (
    "core",  # 1: the shell
    "layers",
    "windows",  # window readers
    "sum_bits",  # of the sums that an engine makes at once
    "requantized_bits",  # accumulators of the requantizers
    "sequential_bits",  # the same of those without a multiplier
    "cut_bits",  # of products that take several DSP blocks, once for each block but the first
    "rom_bits",  # in LUTs
    "ram_bits",
)
LUTS: dict[str, tuple[float, ...]] = {  # by the family's target, LUTs for each feature
    "ecp5": (127, 0, 85.4, 1.22, 1.59, 3.7, 0, 0.0599, 0.12),
    "xilinx": (0, 32.6, 55, 1.63, 0.5, 2.9, 0.576, 0.0156, 0.0736),
    "ice40": (172, 72.1, 101, 2.36, 0.5, 3.2, 0, 0.0156, 0.69),
}


@dataclass(frozen=True)
class Cost:
    """DSP blocks, block RAMs and LUTs, by the names of ``flow.synth.Resources``."""

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
    return Cost(
        dsps, _block_rams(memories, family), _luts(_of_part(part, memories, family), family)
    )


def cost_of_core(plan: Plan, family: Family) -> Cost:
    """A whole core's, its queues included."""
    cost = sum((cost_of_part(layer.part, family) for layer in plan.layers), Cost())
    queues = _queues(plan)
    return cost + Cost(0, _block_rams(queues, family), _luts(_of_rest(queues, family), family))


def features_of_core(plan: Plan, family: Family) -> tuple[int, ...]:
    """A core by ``FEATURES``."""
    of_parts = [_of_part(layer.part, _memories(layer.part), family) for layer in plan.layers]
    return tuple(map(sum, zip(_of_rest(_queues(plan), family), *of_parts, strict=True)))


def _memories(part: Part) -> Sequence[Storage]:
    return tuple(part.component().memories)


def _queues(plan: Plan) -> Sequence[Storage]:
    """The memories that ``assemble.Core`` has between the layers, and of the verdicts."""
    network = plan.network
    bits = {"": network.tensors[network.input].dtype.bits * plan.input_lanes}
    for part in (layer.part for layer in plan.layers):
        bits[part.name] = part.y.dtype.bits * part.output_lanes
    queues = [(bits[link.source], depth) for link, depth in plan.fifo_depths.items() if depth]
    return [
        StreamFifo(shape=unsigned(width), depth=depth).storage
        for width, depth in [*queues, (1, plan.verdict_depth)]
    ]


def _of_part(part: Part, memories: Sequence[Storage], family: Family) -> tuple[int, ...]:
    cut = sum(
        each.count * max(family.tiles.count(each.a, each.b, each.signed) - 1, 0) * (each.a + each.b)
        for each in products(part)
    )
    width = part.accumulator_width or 0
    windows = isinstance(part, WindowedPart) and part.windows is not None
    slow = isinstance(part, ConvPart) and part.sequential
    return (
        *(0, 1, int(windows), max(part.multipliers, 1) * width),
        *(part.requantizer_multipliers * width, int(slow) * width, cut),
        *_in_luts(memories, family),
    )


def _of_rest(queues: Sequence[Storage], family: Family) -> tuple[int, ...]:
    return (1, 0, 0, 0, 0, 0, 0, *_in_luts(queues, family))


def _luts(features: Sequence[int], family: Family) -> int:
    return round(sum(a * b for a, b in zip(features, LUTS[family.target], strict=True)))


def _block_rams(memories: Sequence[Storage], family: Family) -> int:
    return sum(
        family.block_rams(*_as_mapped(each), writable=each.writable)
        for each in memories
        if _in_blocks(each, family)
    )


def _as_mapped(memory: Storage) -> tuple[int, int]:
    """Rows and their bits of a memory as it is in the Verilog."""
    rows = memory.rows if memory.writable else folded_rows(memory)
    return rows, -(-memory.rows // rows) * memory.row_bits


def _in_blocks(memory: Storage, family: Family) -> bool:
    """Whether a memory goes into block RAM; where there is no LUT RAM, also what is cheaper so."""
    if memory.kind is Kind.LUT and memory.writable and not family.lut_ram:
        return family.prefers_blocks(memory.rows, memory.row_bits)
    return memory.kind is Kind.BLOCK


def _in_luts(memories: Sequence[Storage], family: Family) -> tuple[int, int]:
    """Bits of ROMs and of RAMs in LUTs."""
    within = [each for each in memories if each.kind is Kind.LUT and not _in_blocks(each, family)]
    ram = sum(each.bits for each in within if each.writable)
    return sum(each.bits for each in within) - ram, ram

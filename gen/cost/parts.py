"""The cost of a part: DSP blocks and block RAMs as Yosys maps them, LUTs by an estimate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass

from ..parts.part import Part
from .devices import Family
from .luts import estimate, features_of_part
from .memories import block_rams

__all__ = ["Cost", "cost_of_part"]


@dataclass(frozen=True)
class Cost:
    """DSP blocks, block RAMs and LUTs of a core.

    luts : all that the core occupies, including those of carries and of LUT RAM; logic cells on
        iCE40
    """

    dsps: int = 0
    block_rams: int = 0
    luts: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(a + b for a, b in zip(self, other, strict=True)))

    def __iter__(self) -> Iterator[int]:
        return iter(astuple(self))


def cost_of_part(part: Part, family: Family) -> Cost:
    """The cost of a layer."""
    memories = part.memories
    dsps = sum(each.count * family.dsps(each) for each in part.products())
    features = features_of_part(part, memories, family)
    return Cost(dsps, block_rams(memories, family), estimate(features, family))

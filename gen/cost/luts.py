"""An estimate of a core's LUTs: the sum of its features, each times a factor of the family.

The estimate counts all LUTs that a core occupies in a device, as nextpnr packs it. This includes
LUTs of carries and of LUT RAM, and on iCE40 the logic cells of flip-flops that no LUT drives.
``tests/support/lutfit.py`` fits the factors to cores of shipped and random networks, and reports
the error of the estimate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ...hw.storage import Kind, Storage
from ..parts.part import Part
from .devices import Family
from .memories import folds, in_blocks

__all__ = ["FEATURES", "estimate", "features_of_part", "features_of_rest"]

# The features from which LUTs are estimated, summed over a core's parts and queues.
FEATURES = (
    "core",  # 1: the shell
    "layers",
    "queues",  # between layers, and the queue of verdicts
    "windows",  # window readers
    "window_bits",  # of the beats that window readers send
    "sum_bits",  # of the sums, or maxima, that an engine makes at once
    "tree_bits",  # of products that are first added to another product
    "requantized_bits",  # of the requantizers' products
    "sequential_bits",  # of the accumulators of requantizers without a multiplier
    "cut_bits",  # of products that need several DSP blocks, times the blocks after the first
    "fold_bits",  # of ROM rows that lie beside the first row in a folded memory
    "rom_bits",  # of ROMs in LUTs
    "ram_bits",  # of RAMs in LUTs, on iCE40 in flip-flops
    "row_bits",  # of a row of the input, if its beats are converted
)
LUTS: dict[str, tuple[float, ...]] = {  # by the family's target, for each feature
    "ecp5": (132, 99.1, 15.5, 149, 2.67, 3.13, 2.11, 0.178, 3.21, 0.0242, 2.5, 0.064, 0.19, 0.8),
    "xilinx": (91.4, 0, 90.7, 102, 0.201, 1.06, 1.46, 0, 0, 0, 0.811, 0.0438, 0.0771, 0.7),
    "ice40": (0, 83.6, 145, 137, 6.71, 3.35, 1.13, 0.764, 0.357, 0, 3.74, 0.117, 1.18, 0.9),
}


def estimate(features: Counter[str], family: Family) -> int:
    """The estimated number of LUTs of logic with these features."""
    assert features.keys() <= set(FEATURES), features
    factors = zip(FEATURES, LUTS[family.target], strict=True)
    return round(sum(factor * features[name] for name, factor in factors))


def features_of_part(part: Part, memories: Sequence[Storage], family: Family) -> Counter[str]:
    """The features of a layer with these memories."""
    bits = (each.count * (each.a + each.b) for each in part.products() if each.requantizes)
    count = Counter(layers=1, requantized_bits=sum(bits), cut_bits=_cut(part, family))
    count.update(_of_memories(memories, family))
    count.update(part.features())
    return count


def features_of_rest(queues: Sequence[Storage], row_bits: int, family: Family) -> Counter[str]:
    """Features of everything outside the layers: the shell and the queues."""
    count = Counter(core=1, queues=len(queues), row_bits=row_bits)
    return count + _of_memories(queues, family)


def _cut(part: Part, family: Family) -> int:
    return sum(
        each.count * max(family.dsps(each) - 1, 0) * (each.a + each.b) for each in part.products()
    )


def _of_memories(memories: Sequence[Storage], family: Family) -> Counter[str]:
    in_luts = [each for each in memories if each.kind is Kind.LUT and not in_blocks(each, family)]
    ram = sum(each.bits for each in in_luts if each.writable)
    rom = sum(each.bits for each in in_luts) - ram
    beside = sum((folds(each) - 1) * each.row_bits for each in memories)
    return Counter(rom_bits=rom, ram_bits=ram, fold_bits=beside)

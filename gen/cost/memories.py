"""The mapping of memories by a family's tools: which are in block RAM, and in how many blocks."""

from __future__ import annotations

from collections.abc import Iterable

from ...hw.storage import Kind, Storage, folded_rows
from .devices import Family

__all__ = ["block_rams", "folds", "in_blocks"]


def in_blocks(memory: Storage, family: Family) -> bool:
    """Whether a memory goes into block RAM; without LUT RAM, also RAMs that are cheaper there."""
    if memory.kind is Kind.LUT and memory.writable and not family.lut_ram:
        return family.prefers_blocks(memory.rows, memory.row_bits)
    return memory.kind is Kind.BLOCK


def block_rams(memories: Iterable[Storage], family: Family) -> int:
    """The number of block RAMs of the memories that go into block RAM."""
    within = [each for each in memories if in_blocks(each, family)]
    return sum(family.block_rams(*_array(each), writable=each.writable) for each in within)


def folds(memory: Storage) -> int:
    """The number of rows that lie side by side in a row of the memory in the Verilog."""
    return -(-memory.rows // _array(memory)[0])


def _array(memory: Storage) -> tuple[int, int]:
    """The rows of a memory in the Verilog, and the bits of each row."""
    rows = memory.rows if memory.writable else folded_rows(memory)
    return rows, -(-memory.rows // rows) * memory.row_bits

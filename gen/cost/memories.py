"""Memories as a family's tools map them: which go into block RAM, and how many blocks they take."""

from __future__ import annotations

from collections.abc import Iterable

from ...hw.storage import Kind, Storage, folded_rows
from .devices import Family

__all__ = ["block_rams", "folds", "in_blocks"]


def in_blocks(memory: Storage, family: Family) -> bool:
    """Whether a memory goes into block RAM; where there is no LUT RAM, also what is cheaper so."""
    if memory.kind is Kind.LUT and memory.writable and not family.lut_ram:
        return family.prefers_blocks(memory.rows, memory.row_bits)
    return memory.kind is Kind.BLOCK


def block_rams(memories: Iterable[Storage], family: Family) -> int:
    """Block RAMs of those memories that go into them."""
    within = [each for each in memories if in_blocks(each, family)]
    return sum(family.block_rams(*_array(each), writable=each.writable) for each in within)


def folds(memory: Storage) -> int:
    """Rows that lie side by side in a memory as it is in the Verilog."""
    return -(-memory.rows // _array(memory)[0])


def _array(memory: Storage) -> tuple[int, int]:
    """Rows of a memory as it is in the Verilog, and the bits of each."""
    rows = memory.rows if memory.writable else folded_rows(memory)
    return rows, -(-memory.rows // rows) * memory.row_bits

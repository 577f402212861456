"""Where a memory's bits go, by one rule, and how synthesis is told.

    ROM: block RAM where it has more than 64 rows and more than 1024 bits, else LUTs
    RAM: block RAM where it has more than 32 rows and more than 1024 bits, else LUTs

Depth: a LUT6 is 64 rows of one bit of a ROM, four LUT4 of an ECP5 slice pair are as many without
logic between them; AMD puts ROMs "significantly over 64" deep into block RAM (UG906, UTIL-203). A
shallow one leaves most of a block empty, however wide it is: 512 rows of 36 bits are a block of
ECP5 and of 7-series, 256 of 16 one of iCE40.

Bits: 1024 should be 64 LUT4, or 16 LUT6, but a mapper breaks up what is wider than a LUT: Yosys
0.70 makes 126 LUT6, 128 LUT4 of ECP5 or 185 of iCE40 of a ROM of 81 rows of 16 bits inside a core.
A block is worth about as much: there are 176 LUT4 for each on iCE40 UP5K, 402 on ECP5-85, 208 LUT6
for each RAMB18 on xc7a35t. Yosys counts a block of ECP5 as 128 LUT4 (``memory_libmap``).

Two ROMs of a layer never take two blocks where one with two ports, 1024 rows of 18 bits, would hold
both: the bias then goes into LUTs beside the weights, the scales beside either.

A LUT holds about half as many rows of a RAM as of a ROM, so that limit is halved: ECP5's 16 rows of
four bits take six LUT4 with their write port, 7-series' 32 of six bits four LUT6. iCE40 has no LUT
RAM at all; there a RAM in LUTs is flip-flops, or a block, as Yosys thinks cheaper. Yosys is left to
choose for a RAM in LUTs, and within these limits it takes LUT RAM on ECP5 and 7-series.

What a ROM, a window's buffer or waiting maxima in block RAM give goes into a register before
anything else, which the block then holds itself where the tool packs it: a block is slow, 5.6 ns on
ECP5 against 0.5 of a flip-flop. So that no logic comes between in a ROM deeper than one block, it
is folded: several rows lie side by side in a memory as deep as a block, and one is chosen behind
the register, and goes into another, since the blocks lie apart. The depth is what Yosys takes for
ECP5 anyway, so that no block is lost there; blocks of iCE40 are shallower, and a fold may cost a
few. Queues have such a register too; sums that are used again at once go without.

Told by attributes on the array in the Verilog. Vivado knows ``rom_style`` and ``ram_style``, in
small letters and in capitals (UG901). Yosys knows those in small letters, but fails where a family
has no memory of that style, and a ROM in plain LUTs is none to it: so what goes into LUTs has them
in capitals, and a ROM in LUTs ``logic_block``, of which Vivado knows nothing. No memory has
``ram_block`` or ``rom_block``: what has them is never mapped in Yosys's flow for QuickLogic. A read
that meets a write of the same row is used by nobody here (see :func:`ram`), so no logic need make
up for blocks whose ports leave open what such a read gives: ``no_rw_check``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy.typing as npt
from amaranth.hdl import ShapeLike
from amaranth.lib import memory

__all__ = ["Kind", "Storage", "folded_rows", "ram", "ram_storage", "rom_storage", "rows_storage"]

ROM_ROWS, ROM_BITS = 64, 1024  # the most in LUTs
RAM_ROWS, RAM_BITS = 32, 1024
SHARED_ROWS, SHARED_ROW_BITS = 1024, 18  # of a block of 18 kbit whose two ports both read
BLOCKS = {16384: 1, 8192: 2, 4096: 4, 2048: 9, 1024: 18, 512: 36}  # of ECP5: rows and their bits
BLOCK_COST = 128  # of ECP5
MOST_FOLDS = 32  # chosen from in a cycle: three levels of ECP5's LUTs for each bit


class Kind(StrEnum):
    """What holds the bits."""

    BLOCK = "block"
    LUT = "lut"
    REGISTER = "register"
    CONSTANT = "constant"


@dataclass(frozen=True)
class Storage:
    """A memory as numbers.

    name : its path in the hierarchy below the component that states it, joined by dots
    writable : a RAM; else a ROM
    rows, row_bits : its shape
    kind : where it goes
    """

    name: str
    writable: bool
    rows: int
    row_bits: int
    kind: Kind

    @property
    def bits(self) -> int:
        """Bits held; 0 for a constant."""
        return 0 if self.kind is Kind.CONSTANT else self.rows * self.row_bits

    @property
    def read_cycles(self) -> int:
        """Cycles from an address to its row: a register more behind block RAM, and another behind
        what chooses from the folds of a ROM."""
        folded = not self.writable and folded_rows(self) < self.rows
        return 1 + (self.kind is Kind.BLOCK) + folded

    @property
    def attributes(self) -> dict[str, str | int]:
        """What the array in the Verilog says to synthesis."""
        if self.writable:
            block = self.kind is Kind.BLOCK
            style = {"ram_style": "block"} if block else {"RAM_STYLE": "distributed"}
            return {"no_rw_check": 1, **style}
        if self.kind is Kind.BLOCK:
            return {"rom_style": "block"}
        return {"logic_block": 1, "ROM_STYLE": "distributed"}

    def within(self, submodule: str) -> Storage:
        """The same, named from one level further up."""
        return replace(self, name=f"{submodule}.{self.name}" if self.name else submodule)


def rom_storage(
    rows: int, row_bits: int, *, varies: bool = True, beside: Sequence[Storage] = ()
) -> Storage:
    """Where a ROM goes; rows that are all equal (not ``varies``) are a constant.

    beside : ROMs of the same layer, which go before it
    """
    block = rows > ROM_ROWS and rows * row_bits > ROM_BITS
    block = block and not any(
        other.kind is Kind.BLOCK
        and rows + other.rows <= SHARED_ROWS
        and max(row_bits, other.row_bits) <= SHARED_ROW_BITS
        for other in beside
    )
    kind = (Kind.BLOCK if block else Kind.LUT) if varies else Kind.CONSTANT
    return Storage("", False, rows, row_bits, kind)


def rows_storage(rows: npt.NDArray[Any], row_bits: int, beside: Sequence[Storage] = ()) -> Storage:
    """Where a ROM of these rows, (depth, fields), goes; see :func:`rom_storage`."""
    varies = bool((rows != rows[0]).any())
    return rom_storage(len(rows), row_bits, varies=varies, beside=beside)


def folded_rows(storage: Storage) -> int:
    """Rows of the memory that holds a ROM: all, or for one in blocks as many as a block has in the
    shape that Yosys finds cheapest on ECP5 (``memory_libmap``), blocks against multiplexers, of
    those shapes that make no more folds than can be chosen from in a cycle."""
    rows, bits = storage.rows, storage.row_bits
    if storage.kind is not Kind.BLOCK:
        return rows

    def cost(depth: int) -> float:
        folds = -(-rows // depth)
        return -(-folds * bits // BLOCKS[depth]) * BLOCK_COST + (folds - 1) * bits / 2

    depths = [depth for depth in BLOCKS if depth * MOST_FOLDS >= rows]
    return min(rows, min(depths, key=cost, default=rows))


def ram_storage(rows: int, row_bits: int) -> Storage:
    """Where a RAM goes; one row is a register."""
    block = rows > RAM_ROWS and rows * row_bits > RAM_BITS
    kind = (Kind.BLOCK if block else Kind.LUT) if rows > 1 else Kind.REGISTER
    return Storage("", True, rows, row_bits, kind)


def ram(*, shape: ShapeLike, storage: Storage) -> memory.Memory:
    """A memory of ``storage.rows`` rows for one write and one read port.

    The caller must not use a row before it has written it, for the Verilog gives it no start value,
    nor what it reads in the cycle in which it writes the same row.
    """
    return memory.Memory(shape=shape, depth=storage.rows, init=[], attrs=storage.attributes)

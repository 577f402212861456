"""The kind of each memory, by one rule, and the attributes that state it to synthesis.

    ROM: block RAM if it has more than 64 rows and more than 1024 bits, else LUTs
    RAM: block RAM if it has more than 32 rows and more than 1024 bits, else LUTs

Rows: a LUT6 holds 64 rows of one bit of a ROM. Four LUT4 of an ECP5 slice pair hold the same,
without logic between them. AMD puts ROMs "significantly over 64" deep into block RAM (UG906,
UTIL-203). A shallow ROM leaves most of a block empty, whatever its width: a block holds 512 rows of
36 bits on ECP5 and 7-series, and 256 rows of 16 bits on iCE40.

Bits: 1024 bits should take 64 LUT4 or 16 LUT6, but a mapper splits memories wider than a LUT. For a
ROM of 81 rows of 16 bits inside a core, Yosys 0.70 needs 126 LUT6, 128 LUT4 on ECP5 or 185 LUT4 on
iCE40. A block is worth about as much: a device has 176 LUT4 for each block on iCE40 UP5K, 402 on
ECP5-85, and 208 LUT6 for each RAMB18 on xc7a35t. Yosys counts a block of ECP5 as 128 LUT4
(``memory_libmap``).

Two ROMs of a layer never take two blocks if one block with two read ports, 1024 rows of 18 bits,
would hold both. In that case the bias goes into LUTs if the weights are in a block, and the scales
go into LUTs if the weights or the bias are.

A LUT holds about half as many rows of a RAM as of a ROM, so the limit of a RAM is half. With their
write port, 16 rows of four bits take six LUT4 on ECP5, and 32 rows of six bits take four LUT6 on
7-series. iCE40 has no LUT RAM; there a RAM in LUTs becomes flip-flops or a block, whichever Yosys
finds cheaper. Yosys is free to choose for any RAM in LUTs, and within these limits it takes LUT RAM
on ECP5 and 7-series.

Block RAM is slow: its output takes 5.6 ns on ECP5, that of a flip-flop 0.5 ns. So the output of a
ROM, a window buffer or stored sums or maxima in block RAM goes into a register first, which is the
block's own if the tool packs it. A ROM deeper than one block would have logic before that register,
so it is folded: several rows lie side by side in a memory as deep as a block, one of them is chosen
after the register, and it goes into another register, because the blocks lie apart. The depth is
the one that Yosys takes for ECP5 anyway, so no block is lost there; blocks of iCE40 are shallower,
and a fold may cost a few. Queues have an output register too. Sums and maxima whose next use is at
most three steps away have none.

Attributes on the array in the Verilog state the kind. Vivado reads ``rom_style`` and ``ram_style``,
in lower and in upper case (UG901). Yosys reads them in lower case only, but fails if a family has
no memory of that style, and it does not count a ROM in plain LUTs as one. So a memory in LUTs has
them in upper case, and a ROM in LUTs has ``logic_block`` as well, which Vivado does not know. No
memory has ``ram_block`` or ``rom_block``, because Yosys's flow for QuickLogic never maps a memory
that has them. No component uses the result of a read that meets a write of the same row (see
:func:`ram`). ``no_rw_check`` says so, and saves the logic for blocks whose ports leave that result
undefined.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from amaranth.hdl import ShapeLike
from amaranth.lib import memory

from ..model.dtypes import Array

__all__ = ["Kind", "Storage", "folded_rows", "ram", "ram_storage", "rom_storage", "rows_storage"]

ROM_ROWS, ROM_BITS = 64, 1024  # a ROM above both is in block RAM
RAM_ROWS, RAM_BITS = 32, 1024
SHARED_ROWS, SHARED_ROW_BITS = 1024, 18  # a block of 18 kbit with two read ports
BLOCKS = {16384: 1, 8192: 2, 4096: 4, 2048: 9, 1024: 18, 512: 36}  # ECP5: rows, bits of a row
BLOCK_COST = 128  # LUT4 of ECP5
MOST_FOLDS = 32  # a choice among 32 takes three levels of ECP5's LUTs for each bit


class Kind(StrEnum):
    """The hardware that holds a memory's bits."""

    BLOCK = "block"
    LUT = "lut"
    REGISTER = "register"
    CONSTANT = "constant"


@dataclass(frozen=True)
class Storage:
    """The shape and the kind of a memory.

    name : path in the hierarchy below the component that states the memory, joined by dots
    writable : whether it is a RAM; else it is a ROM
    rows, row_bits : number of rows, and bits of a row
    kind : the hardware that holds it
    """

    name: str
    writable: bool
    rows: int
    row_bits: int
    kind: Kind

    @property
    def bits(self) -> int:
        """Number of bits stored; 0 for a constant."""
        return 0 if self.kind is Kind.CONSTANT else self.rows * self.row_bits

    @property
    def read_cycles(self) -> int:
        """Cycles from an address to its row.

        Block RAM takes one more for its output register, and a folded ROM one more for the register
        after the choice among its folds.
        """
        folded = not self.writable and folded_rows(self) < self.rows
        return 1 + (self.kind is Kind.BLOCK) + folded

    @property
    def attributes(self) -> dict[str, str | int]:
        """Attributes of the array in the Verilog, for synthesis."""
        if self.writable:
            block = self.kind is Kind.BLOCK
            style = {"ram_style": "block"} if block else {"RAM_STYLE": "distributed"}
            return {"no_rw_check": 1, **style}
        if self.kind is Kind.BLOCK:
            return {"rom_style": "block"}
        return {"logic_block": 1, "ROM_STYLE": "distributed"}

    def within(self, submodule: str) -> Storage:
        """This memory, named by its path from the component that contains ``submodule``."""
        return replace(self, name=f"{submodule}.{self.name}" if self.name else submodule)


def rom_storage(
    rows: int, row_bits: int, *, varies: bool = True, beside: Sequence[Storage] = ()
) -> Storage:
    """The storage of a ROM; a constant if its rows are all equal (not ``varies``).

    beside : ROMs of the same layer whose kind is decided before this one's
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


def rows_storage(rows: Array, row_bits: int, beside: Sequence[Storage] = ()) -> Storage:
    """The storage of a ROM with these rows, (depth, fields); see :func:`rom_storage`."""
    varies = bool((rows != rows[0]).any())
    return rom_storage(len(rows), row_bits, varies=varies, beside=beside)


def folded_rows(storage: Storage) -> int:
    """Rows of the memory that holds a ROM.

    A ROM that is not in block RAM has a memory of all its rows. Otherwise the depth is that of a
    block, in the shape that Yosys finds cheapest on ECP5 (``memory_libmap``), counting blocks and
    multiplexers. Shapes that make more folds than a cycle can choose from are left out.
    """
    rows, bits = storage.rows, storage.row_bits
    if storage.kind is not Kind.BLOCK:
        return rows

    def cost(depth: int) -> float:
        folds = -(-rows // depth)
        return -(-folds * bits // BLOCKS[depth]) * BLOCK_COST + (folds - 1) * bits / 2

    depths = [depth for depth in BLOCKS if depth * MOST_FOLDS >= rows]
    return min(rows, min(depths, key=cost, default=rows))


def ram_storage(rows: int, row_bits: int) -> Storage:
    """The storage of a RAM; a single row is a register."""
    block = rows > RAM_ROWS and rows * row_bits > RAM_BITS
    kind = (Kind.BLOCK if block else Kind.LUT) if rows > 1 else Kind.REGISTER
    return Storage("", True, rows, row_bits, kind)


def ram(*, shape: ShapeLike, storage: Storage) -> memory.Memory:
    """A memory of ``storage.rows`` rows, for one write port and one read port.

    The caller must not use a row before it has written it, because the Verilog gives the memory no
    start value. Nor may it use a row that it reads in the cycle in which it writes the same row.
    """
    return memory.Memory(shape=shape, depth=storage.rows, init=[], attrs=storage.attributes)

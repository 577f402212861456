"""Devices: their resources, and how Yosys maps multipliers and memories to their blocks.

Sources: Lattice, iCE40 UltraPlus Family Data Sheet, FPGA-DS-02008, table 1.1; Lattice, ECP5 and
ECP5-5G Family Data Sheet, FPGA-DS-02012, table 1.1; AMD, 7 Series FPGAs Data Sheet: Overview,
DS180, tables 2 and 4; AMD, Zynq-7000 SoC Data Sheet: Overview, DS190, tables 1 and 2. The
single-port RAMs of UP5K (4 of 256 kbit, which cannot be initialized) are not used.

Mapping: Yosys 0.70, ``techlibs/common/mul2dsp.v`` and ``passes/memory/memory_libmap.cc`` with the
parameters that ``synth_ice40 -dsp``, ``synth_ecp5`` and ``synth_xilinx`` give them.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..parts.products import Product

__all__ = ["DEVICES", "Blocks", "Device", "Family", "Tiles"]


@dataclass(frozen=True)
class Tiles:
    """The multiplier of a DSP block.

    widths : greatest widths in bits of the wider and of the narrower factor
    piece : bits of the wider factor in each block if it needs several blocks
    sign : bits of each piece but the last that are used for a sign
    product : a product of fewer bits goes into LUTs
    signed_only : whether an unsigned factor needs one more bit
    """

    widths: tuple[int, int]
    piece: int
    sign: int
    product: int
    signed_only: bool = False

    def count(self, a: int, b: int, signed: bool = True) -> int:
        """The number of blocks of a multiplier of ``a`` by ``b`` bits, as ``mul2dsp`` cuts it."""
        if not signed and self.signed_only:
            a, b = a + 1, b + 1
        return self._count(max(a, b), min(a, b), a + b)

    def _count(self, a: int, b: int, product: int) -> int:
        if min(a, b) < 2 or product < self.product:
            return 0
        (most_a, most_b), piece = self.widths, self.piece
        if a > most_a:
            pieces, rest = _cut(a, most_a, piece, piece - self.sign)
            last = self._count(rest, b, rest + b)
            return pieces * self._count(piece, b, min(product, b + piece)) + last
        if b > most_b:
            pieces, rest = _cut(b, most_b, most_b, most_b - self.sign)
            last = self._count(a, rest, a + rest)
            return pieces * self._count(a, most_b, min(product, a + most_b)) + last
        return 1


def _cut(width: int, most: int, piece: int, step: int) -> tuple[int, int]:
    """The number of pieces of a factor without the last one, and the bits of the last one."""
    pieces = (width - most + piece - (piece - step) - 1) // step
    return pieces, width - pieces * step


@dataclass(frozen=True)
class Blocks:
    """One mode of a block RAM.

    address : address bits at the narrowest width
    widths : possible bits of a row; each is twice the one before, apart from parity bits
    units : block RAMs that one block in this mode occupies
    cost : of such a block in ``memory_libmap``
    byte : the fewest bits that can be written at once
    least : index of the first of ``widths`` that can be written
    """

    address: int
    widths: tuple[int, ...]
    units: int
    cost: int
    byte: int
    least: int = 0

    def best(self, rows: int, bits: int, writable: bool) -> tuple[int, int]:
        """Cost and number of block RAMs of a memory, at the cheapest width."""
        found: tuple[int, int] | None = None
        for index, width in enumerate(self.widths):
            if writable and index < self.least:
                continue
            parts = -(-rows // (1 << (self.address - index)))
            byte = min(self.byte, width) if writable else 1
            columns = parts * -(-bits // byte) * byte
            count = -(-columns // width)
            muxes = (parts - 1) * bits + (parts if writable and parts > 1 else 0)
            cost = self.cost * count + muxes / 2
            if found is None or cost < found[0]:
                found = int(cost), self.units * count
        assert found is not None
        return found


@dataclass(frozen=True)
class Family:
    """A device family, with the blocks that Yosys maps to.

    target : a key of ``flow.synth.TARGETS``
    block_bits : bits of a block RAM, with those for parity
    lut_bits : entries of a LUT's table
    lut_ram : whether LUTs can be RAM; if not, a RAM outside blocks is made of flip-flops
    """

    target: str
    tiles: Tiles
    blocks: tuple[Blocks, ...]
    block_bits: int
    lut_bits: int
    lut_ram: bool = True

    def dsps(self, product: Product) -> int:
        """DSP blocks of one of a product's multipliers."""
        return self.tiles.count(product.a, product.b, product.signed)

    def block_rams(self, rows: int, bits: int, *, writable: bool) -> int:
        """The number of block RAMs of a memory of ``rows`` rows of ``bits`` bits."""
        return min(way.best(rows, bits, writable) for way in self.blocks)[1]

    def prefers_blocks(self, rows: int, bits: int) -> bool:
        """Whether a RAM without a fixed place goes into blocks; outside, each bit costs 1."""
        return min(way.best(rows, bits, True) for way in self.blocks)[0] < rows * bits


@dataclass(frozen=True)
class Device:
    """The resources of a device.

    block_rams : number; of 4 kbit each on iCE40, else of 18 kbit
    luts : number; with 4 inputs on iCE40 (logic cells) and ECP5, with 6 on 7-series
    """

    name: str
    family: Family
    dsps: int
    block_rams: int
    luts: int

    @property
    def budget(self) -> dict[str, int]:
        """The resources that a core may use, by the names of ``flow.synth.Resources``."""
        return {"dsps": self.dsps, "block_rams": self.block_rams, "luts": self.luts}

    @property
    def memory_bits(self) -> int:
        """The bits that all block RAMs and all LUTs can hold, an upper bound for any core."""
        family = self.family
        return self.block_rams * family.block_bits + self.luts * family.lut_bits


def _widths(most: int) -> tuple[int, ...]:
    return tuple(width for width in (1, 2, 4, 9, 18, 36, 72) if width <= most)


ICE40 = Family(
    "ice40",
    Tiles((16, 16), piece=16, sign=0, product=11),
    (Blocks(11, (2, 4, 8, 16), 1, 64, byte=1),),
    block_bits=4096,
    lut_bits=16,
    lut_ram=False,
)
ECP5 = Family(
    "ecp5",
    Tiles((18, 18), piece=18, sign=0, product=0),
    (
        Blocks(14, _widths(18), 1, 128, byte=9),
        Blocks(14, _widths(36), 1, 128, byte=9, least=3),
    ),
    block_bits=18 * 1024,
    lut_bits=16,
)
SERIES_7 = Family(
    "xilinx",
    Tiles((25, 18), piece=18, sign=1, product=9, signed_only=True),
    (
        Blocks(14, _widths(36), 1, 129, byte=9),
        Blocks(15, _widths(72), 2, 257, byte=9),
        Blocks(16, _widths(9), 4, 513, byte=9),
    ),
    block_bits=18 * 1024,
    lut_bits=64,
)

DEVICES: dict[str, Device] = {
    device.name: device
    for device in (
        Device("up5k", ICE40, dsps=8, block_rams=30, luts=5_280),
        Device("ecp5-12", ECP5, dsps=28, block_rams=32, luts=12_000),
        Device("ecp5-25", ECP5, dsps=28, block_rams=56, luts=24_288),
        Device("ecp5-45", ECP5, dsps=72, block_rams=108, luts=43_848),
        Device("ecp5-85", ECP5, dsps=156, block_rams=208, luts=83_640),
        Device("xc7s25", SERIES_7, dsps=80, block_rams=90, luts=14_600),
        Device("xc7a35t", SERIES_7, dsps=90, block_rams=100, luts=20_800),
        Device("xc7a100t", SERIES_7, dsps=240, block_rams=270, luts=63_400),
        Device("xc7z010", SERIES_7, dsps=80, block_rams=120, luts=17_600),
        Device("xc7z020", SERIES_7, dsps=220, block_rams=280, luts=53_200),
        Device("xc7z045", SERIES_7, dsps=900, block_rams=1090, luts=218_600),
    )
}

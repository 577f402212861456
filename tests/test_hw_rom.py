"""The ROM: every word (of the deepest a part) through its port, from LUTs and block RAM, folded."""

import numpy as np
import pytest
from amaranth import signed
from amaranth.lib import data
from amaranth.sim import Simulator
from tercet.gen.verilog.emit import to_rtlil
from tercet.hw.rom import Rom
from tercet.hw.storage import Kind, folded_rows, rom_storage

# depth, fields of a row, least cycles: kind, cycles, rows as folded
ROMS = {
    "two": ((2, 3, 1), (Kind.LUT, 1, 2)),
    "nine": ((9, 3, 1), (Kind.LUT, 1, 9)),
    "nine_late": ((9, 3, 2), (Kind.LUT, 2, 9)),
    "block": ((70, 3, 1), (Kind.BLOCK, 2, 70)),
    "three_folds_of_2048": ((5_000, 1, 1), (Kind.BLOCK, 3, 2_048)),
    "three_folds_later": ((2_500, 2, 4), (Kind.BLOCK, 4, 1_024)),
    "three_folds_of_1024": ((2_500, 2, 1), (Kind.BLOCK, 3, 1_024)),
    "seventeen_folds": ((33_000, 1, 1), (Kind.BLOCK, 3, 2_048)),
}

MOST_READS = 6_000


@pytest.mark.parametrize("name", ROMS)
def test_reads_back_every_row_and_stands_still(name, seed):
    (depth, fields, least), (kind, cycles, folded) = ROMS[name]
    rng = np.random.default_rng([seed, *name.encode()])
    rows = rng.integers(-128, 128, (depth, fields)).tolist()
    layout = data.ArrayLayout(signed(8), fields)
    rom = Rom(rows=rows, layout=layout, read_cycles=least)
    assert (rom.storage.kind, rom.read_cycles, folded_rows(rom.storage)) == (kind, cycles, folded)
    assert rom.storage.bits == depth * fields * 8
    reads = min(depth, MOST_READS)
    order = rng.permutation(depth)[:reads].tolist()

    async def read(ctx):
        ctx.set(rom.en, 1)
        for step in range(reads + cycles - 1):
            ctx.set(rom.address, order[min(step, reads - 1)])
            await ctx.tick()
            if step >= cycles - 1:
                expected = rows[order[step - cycles + 1]]
                assert list(ctx.get(rom.row)) == expected
            if step % 7 == 3:  # it stands still, whatever the address
                ctx.set(rom.en, 0)
                ctx.set(rom.address, order[step // 2])
                await ctx.tick().repeat(2)
                assert step < cycles - 1 or list(ctx.get(rom.row)) == expected
                ctx.set(rom.en, 1)

    simulator = Simulator(rom)
    simulator.add_clock(1e-8)
    simulator.add_testbench(read)
    simulator.run()


def test_takes_rows_of_any_integers():
    numbers = np.array([[1, -2, 3], [4, 5, -6]])
    layout = data.ArrayLayout(signed(40), 3)
    rows = [Rom(rows=rows, layout=layout) for rows in (numbers, numbers.tolist(), list(numbers))]
    rows.append(Rom(rows=[list(row) for row in numbers], layout=layout))
    assert len({to_rtlil(rom, "rom") for rom in rows}) == 1
    with pytest.raises(ValueError, match=r"^Row 0: 18446744073709551615 does not fit 40 signed"):
        Rom(rows=np.full((2, 3), (1 << 64) - 1, np.uint64), layout=layout)


@pytest.mark.parametrize(
    ("rows", "row_bits", "folded"),
    [
        (4_500, 16, 512),  # 4 blocks of 512 x 36, where 1024 x 18 takes 5
        (7_200, 56, 2_048),  # 25 blocks of 2048 x 9, where 8192 x 2 without a fold would take 28
        (16_000, 24, 2_048),
        (48_000, 8, 2_048),  # a block less with 1024, but 47 folds of those are too many
        (600_000, 1, 600_000),  # of no shape few enough
        (2_048, 9, 2_048),
        (300, 72, 300),
        (64, 5_000, 64),  # in LUTs
    ],
)
def test_folds_take_few_blocks(rows, row_bits, folded):
    assert folded_rows(rom_storage(rows, row_bits)) == folded


@pytest.mark.parametrize("depth", [1, 6])
def test_equal_rows_are_a_constant(depth):
    rom = Rom(rows=[[5, -3]] * depth, layout=data.ArrayLayout(signed(8), 2))
    assert rom.storage.bits == 0

    async def read(ctx):
        for address in range(depth):
            ctx.set(rom.address, address)
            assert list(ctx.get(rom.row)) == [5, -3]

    simulator = Simulator(rom)
    simulator.add_testbench(read)
    simulator.run()


def test_holds_values_of_any_width():
    rom = Rom(rows=[[-(1 << 69)], [(1 << 69) - 1]], layout=data.ArrayLayout(signed(70), 1))
    assert rom.storage.bits == 140


@pytest.mark.parametrize("rows", [[[1], [2]], [[1, 2, 3], [4, 5, 6]], [[1, 2], [3]]])
def test_refuses_rows_of_another_length(rows):
    with pytest.raises(ValueError, match=r"^Rows must have 2 values each, as the layout has "):
        Rom(rows=rows, layout=data.ArrayLayout(signed(4), 2))


def test_refuses_a_value_that_does_not_fit():
    with pytest.raises(ValueError, match=r"^Row 1: 8 does not fit 4 signed bits$"):
        Rom(rows=[[7], [8]], layout=data.ArrayLayout(signed(4), 1))

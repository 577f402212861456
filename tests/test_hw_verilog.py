"""The Verilog of single components, of corner cases above all, passes Verilator's lint."""

import numpy as np
import pytest
from amaranth import signed, unsigned
from tercet.gen.verilog.emit import to_verilog
from tercet.hw.add import Add
from tercet.hw.concat import Concat
from tercet.hw.fork import Fork
from tercet.hw.geometry import PatchGeometry
from tercet.hw.maxpool import MaxPool
from tercet.hw.patch import PatchEngine, PatchSpec
from tercet.hw.relu import Relu
from tercet.hw.requant import Requantizer
from tercet.hw.requantizer_spec import RequantizerSpec
from tercet.hw.table import Table, TableSpec
from tercet.hw.upsample import Upsample, UpsampleSpec
from tercet.hw.window import WindowReader, WindowSpec
from tercet.model.requant import Requant, Rounding
from veriloglint import lint
from windowgen import WINDOWS, window_geometry

FLOAT32 = Requant((12345, 54321), 30, Rounding.FLOAT32, 0, 255, offsets=(-77,))
PER_CHANNEL = Requant((5, 6), 16, Rounding.HALF_AWAY, 0, 255, offsets=(1, 2))
DEPTHWISE = PatchGeometry.depthwise(height=4, width=6, channels=2, kernel=(2, 3))


def reader(name, shape):
    return WindowReader(
        WindowSpec(geometry=window_geometry(*WINDOWS[name]), activation=shape, fill=0)
    )


def requantizer(requant):
    return Requantizer(
        RequantizerSpec(
            requant=requant,
            zero_point=3,
            channels=2,
            accumulator_width=20,
            activation=unsigned(8),
        )
    )


def table(activation, first, count, lanes=1):
    values = tuple(value * 37 % 256 for value in range(count))
    return Table(
        TableSpec(
            activation=activation, result=unsigned(8), first=first, values=values, lanes=lanes
        )
    )


def upsample(width, channels, factor):
    return Upsample(
        UpsampleSpec(
            height=3, width=width, pixel_elements=channels, factor=factor, activation=signed(8)
        )
    )


COMPONENTS = {
    "window_of_one": lambda: reader("one_pixel", unsigned(8)),
    "windows_padded": lambda: reader("padding_per_side", signed(8)),
    "windows_padded_above": lambda: reader("one_row", unsigned(8)),
    "windows_with_taps_never_inside": lambda: WindowReader(
        WindowSpec(
            geometry=window_geometry((3, 2, 1), (1, 3), (1, 1), (0, 0, 0, 2), (1, 1), taps=3),
            activation=unsigned(8),
            fill=0,
        )
    ),
    "windows_apart": lambda: reader("stride_above_kernel", unsigned(8)),
    "max_pool": lambda: MaxPool(geometry=DEPTHWISE, activation=signed(8)),
    "average": lambda: PatchEngine(
        PatchSpec(
            geometry=DEPTHWISE,
            activation=unsigned(8),
            zero_point=255,
            weights=np.ones((2, 2, 3, 1), dtype=np.int64),
            bias=[0, 0],
            accumulator_width=12,
        )
    ),
    "add": lambda: Add(
        requant=FLOAT32, zero_points=(0, -128, 3), activations=(unsigned(8), signed(8), unsigned(8))
    ),
    "concat": lambda: Concat(
        channels=(1, 3),
        requant=FLOAT32,
        zero_points=(0, -128, 3),
        activations=(unsigned(8), signed(8), unsigned(8)),
    ),
    "concat_of_one_grid": lambda: Concat(
        channels=(2, 1),
        requant=None,
        zero_points=(3, 3, 3),
        activations=(unsigned(8), unsigned(8), unsigned(8)),
    ),
    "float32": lambda: requantizer(FLOAT32),
    "offsets": lambda: requantizer(PER_CHANNEL),
    "relu": lambda: Relu(activation=unsigned(8), low=0, high=200),
    "table": lambda: table(signed(8), first=-100, count=150, lanes=2),
    "table_of_one": lambda: table(signed(8), first=-7, count=1),
    "table_in_luts": lambda: table(unsigned(1), first=0, count=2),
    "upsample": lambda: upsample(width=5, channels=3, factor=(2, 3)),
    "upsample_rows": lambda: upsample(width=1, channels=1, factor=(2, 1)),
    "upsample_columns": lambda: upsample(width=40, channels=8, factor=(1, 2)),
    "fork": lambda: Fork(shape=unsigned(8)),
}


@pytest.mark.verilator
@pytest.mark.parametrize("name", COMPONENTS)
def test_lints_without_warnings_that_matter(name, tmp_path):
    verilog = tmp_path / f"{name}.v"
    verilog.write_text(to_verilog(COMPONENTS[name](), name, "lint"))
    assert lint(verilog) == []

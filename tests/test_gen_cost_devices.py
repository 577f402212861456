"""What devices have, and how many of their blocks Yosys uses, against Yosys itself."""

import json
import re

import numpy as np
import pytest
from tercet.gen.cost.devices import DEVICES, ECP5, ICE40, SERIES_7
from tercet.gen.flow.yosys import run_yosys

FAMILIES = {family.target: family for family in (ECP5, ICE40, SERIES_7)}
SYNTH = {  # as ``flow.synth.TARGETS`` has it, module by module and no further than blocks
    "ecp5": "synth_ecp5 -noflatten -run begin:map_gates",
    "ice40": "synth_ice40 -dsp -noflatten -run begin:map_ffram",
    "xilinx": "synth_xilinx -family xc7 -run begin:map_ffram",
}
CELLS = {  # block RAMs and multipliers by what they count for
    "block_rams": {"DP16KD": 1, "SB_RAM40_4K": 1, "RAMB18E1": 1, "RAMB36E1": 2},
    "dsps": {"MULT18X18D": 1, "SB_MAC16": 1, "DSP48E1": 1},
}


def mapped(folder, target, modules, kind):
    """Block RAMs or multipliers of each of several modules."""
    instances = "\n".join(f"(* keep *) m{index} i{index}();" for index in range(len(modules)))
    (folder / "t.v").write_text("\n".join([*modules, f"module top;\n{instances}\nendmodule"]))
    run_yosys(
        [
            "read_verilog t.v",
            f"{SYNTH[target]} -top top",
            "tee -q -o stat.json stat -json",
        ],
        folder,
    )
    found = json.loads((folder / "stat.json").read_text())["modules"]
    counts = []
    for index in range(len(modules)):
        cells = found[f"\\m{index}"]["num_cells_by_type"]
        counts.append(sum(CELLS[kind].get(cell, 0) * count for cell, count in cells.items()))
    return counts


def ram(index, rows, bits):
    high = (rows - 1).bit_length() - 1
    return f"""
module m{index}(input clk, en, we, input [{high}:0] r, w, input [{bits - 1}:0] d,
                output reg [{bits - 1}:0] q);
  (* no_rw_check, ram_style = "block" *) reg [{bits - 1}:0] m[0:{rows - 1}];
  always @(posedge clk) begin if (en) q <= m[r]; if (we) m[w] <= d; end
endmodule"""


def rom(index, rows, bits, folder, rng):
    high, name = (rows - 1).bit_length() - 1, folder / f"m{index}.hex"
    digits = rng.integers(0, 16, (rows, -(-bits // 4)))
    digits[:, 0] %= 1 << ((bits - 1) % 4 + 1)
    name.write_text("\n".join("".join(f"{digit:x}" for digit in row) for row in digits))
    return f"""
module m{index}(input clk, en, input [{high}:0] r, output reg [{bits - 1}:0] q);
  (* rom_style = "block" *) reg [{bits - 1}:0] m[0:{rows - 1}];
  initial $readmemh("{name}", m);
  always @(posedge clk) if (en) q <= m[r];
endmodule"""


@pytest.mark.yosys
@pytest.mark.parametrize("writable", [False, True], ids=["rom", "ram"])
@pytest.mark.parametrize("target", FAMILIES)
def test_yosys_takes_as_many_block_rams(target, writable, tmp_path, kept, seed):
    rng = np.random.default_rng([seed, writable])
    shapes = [(512, 36), (513, 36), (1024, 18), (1025, 18), (3000, 6), (3000, 24), (100, 90)]
    shapes += [
        (int(rng.integers(65, 40_000 // bits)), int(bits)) for bits in rng.integers(8, 100, 6)
    ]
    modules = [
        ram(index, *shape) if writable else rom(index, *shape, tmp_path, rng)
        for index, shape in enumerate(shapes)
    ]
    family = FAMILIES[target]
    expected = [family.block_rams(*shape, writable=writable) for shape in shapes]
    contents = [path.read_bytes() for path in sorted(tmp_path.glob("*.hex"))]
    found = kept(lambda: mapped(tmp_path, target, modules, "block_rams"), f"{shapes}", *contents)
    assert found == expected


@pytest.mark.yosys
@pytest.mark.parametrize("target", FAMILIES)
def test_yosys_takes_as_many_multipliers(target, tmp_path, kept):
    widths = [(a, b) for a in (2, 5, 9, 16, 17, 18, 19, 25, 26, 33, 36, 40, 52) for b in (1, 2, 3)]
    widths += [(a, b) for a in (9, 16, 18, 22, 25, 26, 36, 44) for b in (8, 9, 16, 17, 18, 19, 31)]
    modules = [
        f"module m{index}(input clk, input signed [{a - 1}:0] a, input signed [{b - 1}:0] b, "
        f"output reg signed [{a + b - 1}:0] y); always @(posedge clk) y <= a * b; endmodule"
        for index, (a, b) in enumerate(widths)
    ]
    tiles = FAMILIES[target].tiles
    expected = [tiles.count(a, b) for a, b in widths]
    found = kept(lambda: mapped(tmp_path, target, modules, "dsps"))
    assert dict(zip(widths, found, strict=True)) == dict(zip(widths, expected, strict=True))


def test_a_wider_multiplier_never_takes_fewer_blocks():
    for family in FAMILIES.values():
        counts = np.array([[family.tiles.count(a, b) for a in range(1, 50)] for b in range(1, 50)])
        assert (counts == counts.T).all()
        assert counts[7, 8] == 1


def test_the_table_of_devices():
    assert {name: tuple(device.budget.values()) for name, device in DEVICES.items()} == {
        "up5k": (8, 30, 5280),
        "ecp5-12": (28, 32, 12000),
        "ecp5-25": (28, 56, 24288),
        "ecp5-45": (72, 108, 43848),
        "ecp5-85": (156, 208, 83640),
        "xc7s25": (80, 90, 14600),
        "xc7a35t": (90, 100, 20800),
        "xc7a100t": (240, 270, 63400),
        "xc7z010": (80, 120, 17600),
        "xc7z020": (220, 280, 53200),
        "xc7z045": (900, 1090, 218600),
    }
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in DEVICES)

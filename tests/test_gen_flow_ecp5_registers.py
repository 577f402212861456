"""Registers in the blocks of an ECP5: what moves, what stays, and that it computes the same."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from amaranth import signed
from amaranth.lib import data
from ecp5cases import CASES, MODULE
from simcore import FRAMES, OUTPUT, RESETS, Core
from synthesized import synthesized
from tercet.gen.flow.synth import synthesize
from tercet.gen.flow.yosys import run_yosys
from tercet.gen.verilog.build import write_core
from tercet.gen.verilog.emit import to_verilog
from tercet.hw.rom import Rom
from tercet.hw.storage import folded_rows
from tercet.model import load
from tercet.model.data import digits_for_simulation, fit_to

pytestmark = [pytest.mark.yosys, pytest.mark.slow]


DATA = Path(__file__).parent / "data"
MOVED = ("REG_INPUTA_CLK", "REG_INPUTB_CLK", "REG_OUTPUT_CLK")


def packed(verilog, top, folder):
    """The cells of a Verilog file for ECP5, and the file that they are in."""
    netlist = folder / f"{top}.json"
    synthesize(verilog, top, "ecp5", netlist)
    return json.loads(netlist.read_text())["modules"][top]["cells"], netlist


def registers(cells, kind="MULT18X18D", names=MOVED):
    """Of each block of a kind, by its name before a dot or underscore, which registers it uses."""
    return {
        name.split("_")[0].split(".")[0]: tuple(
            cell["parameters"].get(key, "NONE") not in ("NONE", "NOREG") for key in names
        )
        for name, cell in cells.items()
        if cell["type"] == kind
    }


def as_verilog(netlist, top, path, name=None):
    """Write a netlist as Verilog, its cells replaced by what they do."""
    alone = path.with_suffix(".json")
    module = json.loads(netlist.read_text())["modules"][top]
    alone.write_text(json.dumps({"modules": {top: module}}))
    shutil.copyfile(DATA / "ecp5_blocks.v", path.parent / "ecp5_blocks.v")
    run_yosys(
        [
            f"read_json {alone.name}",
            "read_verilog -overwrite -D NO_INCLUDES -I +/ecp5 +/ecp5/cells_sim.v",
            "read_verilog -overwrite ecp5_blocks.v",
            "setattr -mod -unset lib_whitebox -unset whitebox =*",
            f"hierarchy -check -top {top}",
            "proc",
            "flatten",
            "opt_clean",
            f"rename {top} {name or top}",
            f"write_verilog -noattr {path.name}",
        ],
        path.parent,
    )
    return path


@pytest.fixture(scope="module")
def plain(tmp_path_factory, shared, seed):
    """The packed netlist of plain as Verilog: its core, and its cells."""
    folder = tmp_path_factory.mktemp("packed")
    network = load("plain")
    facts = write_core(network, folder)
    _, netlist = synthesized(shared, folder / "rtl" / "plain.v", "plain", "ecp5")
    cells = json.loads(netlist.read_text())["modules"]["plain"]["cells"]
    as_verilog(netlist, "plain", folder / "rtl" / "plain.v")
    return Core(network, {**facts, "streams": []}, folder, seed), cells


def test_the_multipliers_and_block_rams_of_plain_have_their_registers_inside(plain):
    _, cells = plain
    multipliers = {name: cell for name, cell in cells.items() if cell["type"] == "MULT18X18D"}
    assert len(multipliers) == 8
    for name, cell in multipliers.items():
        # an accumulator is clamped by its flip-flops' reset, so that they stay outside
        inside = MOVED[2:] if ".requantizer." in name else MOVED
        assert [key for key in MOVED if cell["parameters"].get(key) == "CLK0"] == list(inside)
        assert cell["connections"]["RST0"] == ["0"]
    memories = [cell for cell in cells.values() if cell["type"] == "DP16KD"]
    assert [cell["parameters"]["REGMODE_A"] for cell in memories] == ["OUTREG"] * 2


@pytest.mark.icarus
@pytest.mark.mnist
def test_the_packed_netlist_of_plain_equals_the_golden_model(plain):
    core, _ = plain
    shape = core.network.tensors[core.network.input].shape
    images = fit_to(digits_for_simulation(3).images, shape)
    for outcome in core.outcomes(core.compiled("icarus"), [FRAMES, OUTPUT, RESETS], images):
        assert outcome.failure is None, outcome.test
        assert outcome.facts["mismatches"] == 0
        assert outcome.facts["values_compared"] > 0


BENCH = """
module bench;
    reg clk = 0, rst = 1, en = 0, we = 0;
    reg [5:0] row = 0;
    reg [35:0] in = 0;
    wire [31:0] rtl, gates;
    integer step, wrong = 0, seed = SEED;
    TOP a(.clk(clk), .rst(rst), .en(en), .we(we), .row(row), .in(in), .out(rtl));
    gate_level b(.clk(clk), .rst(rst), .en(en), .we(we), .row(row), .in(in), .out(gates));
    initial begin
        for (step = 0; step < STEPS; step = step + 1) begin
            rst = step < 2 || step % 1000 == 999;
            en = $random(seed) % 4 != 0;
            in = {$random(seed), $random(seed)};
            row = $random(seed);
            we = in[5:0] != row && (step < 8000 || step % 3 == 0);
            #1 clk = 1;
            #1 clk = 0;
            #1;
            if (step > STEPS / 2 && rtl !== gates) wrong = wrong + 1;
        end
        $display("%0d wrong", wrong);
    end
endmodule
"""


def simulate(folder, original, netlist, seed, steps):
    """How often a packed netlist differs from its Verilog under random inputs, once memories are
    full."""
    top = netlist.stem
    packed_verilog = as_verilog(netlist, top, folder / "packed.v", "gate_level")
    bench = folder / "bench.v"
    text = BENCH.replace("SEED", str(seed)).replace("STEPS", str(steps)).replace("TOP", top)
    bench.write_text(text)
    program = folder / "bench"
    command = ["iverilog", "-g2012", "-o", program, bench, original, packed_verilog]
    subprocess.run(command, check=True)
    ran = subprocess.run(["vvp", program], check=True, capture_output=True, text=True)
    return int(ran.stdout.split()[0])


@pytest.mark.icarus
def test_blocks_of_every_shape_compute_the_same(tmp_path, seed):
    original = DATA / "ecp5_memories.v"
    cells, netlist = packed(original, "ecp5_memories", tmp_path)
    assert registers(cells) == {
        **dict.fromkeys(("ab", "ac", "scaled"), (True, True, True)),
        "cleared": (False, False, False),  # it has a reset
    }
    memories = registers(cells, "DP16KD", ("REGMODE_A", "REGMODE_B"))
    assert memories == {
        "wide": (True, True),
        "narrow": (False, True),
        **dict.fromkeys(("rom", "deep"), (True, False)),
    }
    assert simulate(tmp_path, original, netlist, seed, 20000) == 0
    wrong = json.loads(netlist.read_text())
    for cell in wrong["modules"]["ecp5_memories"]["cells"].values():
        if cell["parameters"].get("REGMODE_A") == "OUTREG":
            cell["connections"]["OCEA"] = ["1"]
    netlist.write_text(json.dumps(wrong))
    assert simulate(tmp_path, original, netlist, seed, 20000) > 0


@pytest.mark.icarus
@pytest.mark.parametrize("name", CASES)
def test_only_what_stays_the_same_moves(name, tmp_path, seed):
    body, multipliers, memories = CASES[name]
    original = tmp_path / "t.v"
    original.write_text(MODULE.replace("BODY", body))
    cells, netlist = packed(original, "t", tmp_path)
    found = [cell for cell in cells.values() if cell["type"] == "MULT18X18D"]
    inside = [tuple(cell["parameters"].get(key) == "CLK0" for key in MOVED) for cell in found]
    assert sorted(inside) == sorted(multipliers)
    found = [cell["parameters"] for cell in cells.values() if cell["type"] == "DP16KD"]
    modes = [tuple(each[f"REGMODE_{side}"] == "OUTREG" for side in "AB") for each in found]
    assert modes == memories
    assert simulate(tmp_path, original, netlist, seed, 6000) == 0


@pytest.mark.parametrize(
    ("rows", "bits", "blocks"),
    [
        (70, 24, 1),
        (5_000, 8, 3),
        (4_096, 64, 15),
        (1_500, 36, 3),
        (16_000, 24, 22),
        (48_000, 8, 22),
    ],
)
def test_a_rom_of_any_depth_has_its_register_in_its_blocks(rows, bits, blocks, tmp_path, seed):
    values = np.random.default_rng(seed).integers(-128, 128, (rows, bits // 4)) >> 4
    rom = Rom(rows=values, layout=data.ArrayLayout(signed(4), bits // 4))
    assert rom.read_cycles == 2 + (folded_rows(rom.storage) < rows)
    (tmp_path / "rom.v").write_text(to_verilog(rom, "rom", "A ROM."))
    cells, _ = packed(tmp_path / "rom.v", "rom", tmp_path)
    modes = [cell["parameters"]["REGMODE_A"] for cell in cells.values() if cell["type"] == "DP16KD"]
    assert modes == ["OUTREG"] * blocks

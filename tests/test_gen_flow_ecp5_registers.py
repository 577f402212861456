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
from tercet.model.studies.rows import sources

pytestmark = [pytest.mark.yosys, pytest.mark.slow]


DATA = Path(__file__).parent / "data"
GATES = (DATA / "ecp5_blocks.v").read_bytes()
COUNTS = "mismatches", "values_compared"  # facts of a simulation
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
def plain(tmp_path_factory, seed):
    """The core of plain."""
    folder = tmp_path_factory.mktemp("packed")
    network = load("plain")
    return Core(network, write_core(network, folder), folder, seed)


def packed_plain(plain, shared):
    """The packed netlist of plain, and its cells."""
    _, netlist = synthesized(shared, plain.verilog, "plain", "ecp5")
    return netlist, json.loads(netlist.read_text())["modules"]["plain"]["cells"]


def test_the_multipliers_and_block_rams_of_plain_have_their_registers_inside(plain, shared, kept):
    def blocks():
        _, cells = packed_plain(plain, shared)
        return {
            name: {key: cell["parameters"].get(key) for key in (*MOVED, "REGMODE_A")}
            | {"RST0": cell["connections"].get("RST0")}
            for name, cell in cells.items()
            if cell["type"] in ("MULT18X18D", "DP16KD")
        }

    cells = kept(blocks, plain.verilog.read_bytes())
    memories = [cell for cell in cells.values() if cell["REGMODE_A"] is not None]
    assert [cell["REGMODE_A"] for cell in memories] == ["OUTREG"] * 2
    multipliers = {name: cell for name, cell in cells.items() if cell["REGMODE_A"] is None}
    assert len(multipliers) == 8
    for name, cell in multipliers.items():
        # an accumulator is clamped by its flip-flops' reset, so that they stay outside
        inside = MOVED[2:] if ".requantizer." in name else MOVED
        assert [key for key in MOVED if cell[key] == "CLK0"] == list(inside)
        assert cell["RST0"] == ["0"]


@pytest.mark.icarus
@pytest.mark.mnist
def test_the_packed_netlist_of_plain_equals_the_golden_model(plain, shared, tmp_path, kept, seed):
    tests = [FRAMES, OUTPUT, RESETS]
    shape = plain.network.tensors[plain.network.input].shape
    images = fit_to(digits_for_simulation(3).images, shape)

    def outcomes():
        core = Core(plain.network, {**plain.manifest, "streams": []}, tmp_path, seed)
        core.verilog.parent.mkdir()
        as_verilog(packed_plain(plain, shared)[0], "plain", core.verilog)
        return [
            [outcome.test, outcome.failure, *map(outcome.facts.get, COUNTS)]
            for outcome in core.outcomes(core.compiled("icarus"), tests, images)
        ]

    golden = json.dumps(plain.network(images).tolist())
    run = (f"sim/run/{name}.py" for name in ("compile", "job", "runner", "simulators"))
    bench = sources("sim/bench/*.py", *run)
    found = kept(outcomes, plain.verilog.read_bytes(), GATES, golden, bench)
    assert [test for test, *_ in found] == tests
    for test, failure, mismatches, values_compared in found:
        assert failure is None, test
        assert mismatches == 0
        assert values_compared > 0


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
def test_blocks_of_every_shape_compute_the_same(tmp_path, kept, seed):
    original = DATA / "ecp5_memories.v"

    def found():
        cells, netlist = packed(original, "ecp5_memories", tmp_path)
        right = simulate(tmp_path, original, netlist, seed, 20000)
        wrong = json.loads(netlist.read_text())
        for cell in wrong["modules"]["ecp5_memories"]["cells"].values():
            if cell["parameters"].get("REGMODE_A") == "OUTREG":
                cell["connections"]["OCEA"] = ["1"]
        netlist.write_text(json.dumps(wrong))
        return (
            registers(cells),
            registers(cells, "DP16KD", ("REGMODE_A", "REGMODE_B")),
            right,
            simulate(tmp_path, original, netlist, seed, 20000),
        )

    multipliers, memories, differ, mutant_differs = kept(
        found, original.read_bytes(), GATES, f"{seed}"
    )
    assert {name: tuple(used) for name, used in multipliers.items()} == {
        **dict.fromkeys(("ab", "ac", "scaled"), (True, True, True)),
        "cleared": (False, False, False),  # it has a reset
    }
    assert {name: tuple(used) for name, used in memories.items()} == {
        "wide": (True, True),
        "narrow": (False, True),
        **dict.fromkeys(("rom", "deep"), (True, False)),
    }
    assert differ == 0
    assert mutant_differs > 0


@pytest.mark.icarus
@pytest.mark.parametrize("name", CASES)
def test_only_what_stays_the_same_moves(name, tmp_path, kept, seed):
    body, multipliers, memories = CASES[name]
    original = tmp_path / "t.v"
    original.write_text(MODULE.replace("BODY", body))

    def moved():
        cells, netlist = packed(original, "t", tmp_path)
        found = [cell for cell in cells.values() if cell["type"] == "MULT18X18D"]
        inside = [[cell["parameters"].get(key) == "CLK0" for key in MOVED] for cell in found]
        found = [cell["parameters"] for cell in cells.values() if cell["type"] == "DP16KD"]
        modes = [[each[f"REGMODE_{side}"] == "OUTREG" for side in "AB"] for each in found]
        return inside, modes, simulate(tmp_path, original, netlist, seed, 6000)

    once = {"anew": True} if name == "all" else {}  # a kept fact compared with Yosys in each run
    inside, modes, wrong = kept(moved, GATES, f"{seed}", **once)
    assert sorted(map(tuple, inside)) == sorted(multipliers)
    assert [tuple(mode) for mode in modes] == memories
    assert wrong == 0


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
def test_a_rom_of_any_depth_has_its_register_in_its_blocks(
    rows, bits, blocks, tmp_path, kept, seed
):
    values = np.random.default_rng(seed).integers(-128, 128, (rows, bits // 4)) >> 4
    rom = Rom(rows=values, layout=data.ArrayLayout(signed(4), bits // 4))
    assert rom.read_cycles == 2 + (folded_rows(rom.storage) < rows)
    verilog = tmp_path / "rom.v"
    verilog.write_text(to_verilog(rom, "rom", "A ROM."))

    def modes():
        cells, _ = packed(verilog, "rom", tmp_path)
        found = [cell["parameters"] for cell in cells.values() if cell["type"] == "DP16KD"]
        return [parameters["REGMODE_A"] for parameters in found]

    assert kept(modes, verilog.read_bytes()) == ["OUTREG"] * blocks

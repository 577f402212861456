"""The bench's document: what a reader sees."""

import re
from pathlib import Path

from measuredrows import RESOURCES, TIMING, core, rows
from tercet.sim.measure.document import markdown
from tercet.sim.measure.plans import NETS, PLANS

ROOT = Path(__file__).parent.parent


def section(text, title):
    """Table rows and notes of a section, as lists of cells and lines."""
    body = text.split(f"\n## {title}\n")[1].split("\n## ")[0]
    cells = [line.strip("| ").split(" | ") for line in body.splitlines() if line.startswith("|")]
    return cells, [line for line in body.splitlines() if line.startswith("- ")]


def test_the_document_has_a_line_for_each_core_and_reasons_below():
    text = markdown(rows())
    lines, notes = section(text, "Cores")
    assert lines[2] == [
        *("`plain`", "one value a clock", "6 + 3", "784", "961"),
        *("102,551", "11,395", "5,832"),
    ]
    assert len(lines) == 2 + len(NETS) * len(PLANS)
    assert set(lines[-1][2:]) == {"-"}
    assert notes == [
        "- `plain` (64 multipliers, fewest multipliers); "
        + "; ".join(f"`{net}`" for net in NETS[1:])
        + ": left out of this run"
    ]
    assert markdown(rows()) == text


def test_the_document_sets_aims_beside_figures_and_says_why_some_are_missed():
    made = rows()
    made["cells", "separable", "default", "xilinx"] = {**RESOURCES.facts(), "luts": 500, "dsps": 10}
    clocked = {"pnr": TIMING.facts() | {"fmax_mhz": 120.0}}
    made["emission", "mnist_cnn", "64"] = core()
    made["cells", "mnist_cnn", "64", "ecp5"] = RESOURCES.facts() | clocked
    unplaced = {"pnr": {"does_not_fit": "needs 9 of 8"}}
    made["cells", "mobilenet", "64", "ecp5"] = RESOURCES.facts() | unplaced
    made["emission", "mobilenet", "default"] = core(emission_cpu_s=20.0)
    lines, notes = section(markdown(made), "Aims")
    by_what = {line[0]: line[1:] for line in lines}
    default = "one value a clock"
    assert by_what[f"`plain`, {default}, 7-series, LUT"] == ["at most 500", "634", "no"]
    assert by_what[f"`plain`, {default}, 7-series, DSP48E1"] == ["at most 9", "9", "yes"]
    assert by_what[f"`plain`, {default}, ECP5-85F, MHz"] == ["at least 140", "80.4", "no"]
    assert by_what[f"`plain`, {default}, iCE40 UP5K, MHz"] == ["at least 30", "-", "no"]
    separable = f"`separable`, {default}, 7-series"
    assert by_what[f"{separable}, LUT"] == ["below `plain`'s 634", "500", "yes"]
    assert by_what[f"{separable}, DSP48E1"] == ["below `plain`'s 9", "10", "no"]
    assert by_what[f"{separable}, FF"] == ["below `plain`'s 863", "863", "no"]
    larger = "64 multipliers, ECP5-85F, MHz"
    assert by_what[f"`mnist_cnn`, {larger}"] == ["at least 120", "120.0", "yes"]
    assert by_what[f"`lenet_avg`, {larger}"] == ["at least 120", "-", "-"]
    assert by_what[f"`mobilenet`, {larger}"] == ["at least 120", "-", "no"]
    assert by_what["`plain`, writing the Verilog, CPU s"] == ["below 2", "0.5", "yes"]
    assert by_what["`mobilenet`, writing the Verilog, CPU s"] == ["below 20", "20.0", "no"]
    assert f"- `mobilenet`, {larger}: needs 9 of 8" in notes
    path = "from `rom.DOA` to `product.D`, 9.5 ns of logic and 2.7 of routing"
    assert f"- `plain`, {default}, ECP5-85F, MHz: {path}" in notes
    assert not any("`plain`, writing" in note or "`mnist_cnn`" in note for note in notes)


def test_the_document_shows_cells_clocks_and_paths():
    text = markdown(rows())
    line = section(text, "ECP5")[0][2]
    assert line[2:] == ["634", "863", "160", "9", "1", "35", "80.4 (79.4 to 81.4)"]
    assert section(text, "7-series")[0][2][2:] == ["634", "863", "160", "9", "1", "35"]
    line, *_ = section(text, "iCE40")[0][2:]
    assert line[2:] == ["634", "863", "160", "9", "1", "-"]
    assert "- `plain` (one value a clock): needs 12 of 8" in section(text, "iCE40")[1]
    paths, _ = section(text, "Critical paths")
    assert paths[2][3:] == ["`rom.DOA`", "`product.D`", "rom, engine", "9.5", "2.7"]


def test_the_document_sets_peers_beside_our_cores():
    made = rows()
    assert "Nothing was measured" not in section(markdown(made), "Beside other generators")
    made["peers", "nngen"] = {
        **core(cycles_per_image=3073, emission_cpu_s=2.0, settings="so and so"),
        **{"version": "1.3.4", "images": 20, "digits": "MNIST", "mismatches": 0},
        "values_compared": 200,
    }
    del made["peers", "nngen"]["rom_bits"]
    made["peers", "nngen", "ecp5"] = {**RESOURCES.facts(), "luts": 6340, "pnr": TIMING.facts()}
    lines, notes = section(markdown(made), "Beside other generators")
    assert notes[0] == (
        "- nngen 1.3.4: so and so. Its Verilog in Icarus, 20 digits (MNIST): 0 of 200 scores "
        "differ from the golden model's."
    )
    by_core = {(line[0], line[3]): line for line in lines if len(line) == 12}
    assert by_core["nngen 1.3.4", "ECP5"][1:7] == ["3,073", "-", "ECP5", "6,340", "863", "9"]
    assert by_core["tercet, one value a clock", "ECP5"][9:] == ["80.4", "102,551", "161.8"]
    assert ["nngen 1.3.4", "4.00", "100", "3,000"] in lines
    assert {name for name, _ in by_core} >= {"da4ml"}


def test_the_document_gives_speeds_as_ratios():
    made = rows()
    made["golden", "plain"] = {
        **{"golden_images_per_s": 700_000.0, "torch_images_per_s": 350_000.0},
        "onnxruntime_reason": "it will not",
    }
    made["simulation", "plain"] = {"icarus_cycles_per_s": 1e4, "verilator_cycles_per_s": 25_000.4}
    lines, notes = section(markdown(made), "Golden model and simulation")
    assert lines[2] == ["`plain`", "700,000", "2.00", "-", "10,000", "25,000"]
    assert notes[0] == "- `plain` (ONNX Runtime): it will not"


def test_the_document_shows_emission_against_the_rom_bits():
    made = rows()
    made["emission", "separable", "default"] = core(rom_bits=11664, emission_cpu_s=0.75)
    lines, _ = section(markdown(made), "Writing the Verilog")
    assert [line[2:6] for line in lines[2:]] == [
        ["5,832", "1.0", "0.50", "85.7"],
        ["11,664", "2.0", "0.75", "64.3"],
    ]


def test_the_document_tells_how_emission_grows():
    made = rows()
    for times, net in enumerate(NETS[:3], start=1):
        more = {"emission_cpu_s": 0.5 * times**2, "peak_mib": 100.0 * times}
        made["emission", net, "default"] = core(rom_bits=1000 * times, **more)
    found = re.search(
        r"power ([\d.]+) of the ROM bits, and memory with the power ([\d.]+);", markdown(made)
    )
    assert found.groups() == ("2.00", "1.00")


def test_the_document_that_is_there_was_written_by_the_bench():
    text = (ROOT / "docs" / "performance.md").read_text()
    titles = [line for line in text.splitlines() if line.startswith("#")]
    assert titles == [line for line in markdown(rows()).splitlines() if line.startswith("#")]

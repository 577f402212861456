"""The bench's rows and its document: what is kept, what is refused, what a reader sees."""

import json
import re
from pathlib import Path

import pytest
from tercet.gen.cli import main
from tercet.gen.flow import nextpnr
from tercet.gen.flow.nextpnr import DoesNotFitError, Timing
from tercet.gen.flow.pnr_report import CriticalPath, Routed
from tercet.gen.flow.synth import TARGETS, Resources
from tercet.gen.flow.yosys import FlowError
from tercet.gen.plan import make_plan
from tercet.model import load
from tercet.sim import command_bench
from tercet.sim.measure import cells, emission, tasks
from tercet.sim.measure.document import markdown
from tercet.sim.measure.markdown import number, paragraphs, reasons, table
from tercet.sim.measure.plans import NETS, PLANS
from tercet.sim.measure.store import NotMeasuredError, Store, fingerprint, sources
from tercet.sim.measure.tasks import Task, measure
from tercet.sim.peers.run import PEERS

ROOT = Path(__file__).parent.parent
PATH = CriticalPath("rom.DOA", "product.D", ("rom", "engine"), 9.5, 2.7)
TIMING = Timing("ECP5-85F", tuple(Routed(seed, 78.4 + seed, {}, PATH) for seed in (1, 2, 3)))
RESOURCES = Resources(634, 863, 160, 9, 1, 35, 5832, frozenset())


def core(**other):
    """An emission row."""
    return {
        "cycles_per_image": 784,
        "latency_cycles": 961,
        "multipliers": 6,
        "requantizer_multipliers": 3,
        "rom_bits": 5832,
        "emission_cpu_s": 0.5,
        "peak_mib": 99.6,
        "verilog_lines": 3000,
        "verilog": "core.v",
        **other,
    }


def rows():
    """A row for each task: `plain` by the default plan measured, all else not."""
    made = {task.key: {"reason": "left out of this run"} for task in tasks.tasks()}
    made["emission", "plain", "default"] = core()
    for target in TARGETS:
        made["cells", "plain", "default", target] = RESOURCES.facts()
    made["cells", "plain", "default", "ecp5"]["pnr"] = TIMING.facts()
    made["cells", "plain", "default", "ice40"]["pnr"] = {"does_not_fit": "needs 12 of 8"}
    return made


def section(text, title):
    """Table rows and notes of a section, as lists of cells and lines."""
    body = text.split(f"\n## {title}\n")[1].split("\n## ")[0]
    cells = [line.strip("| ").split(" | ") for line in body.splitlines() if line.startswith("|")]
    return cells, [line for line in body.splitlines() if line.startswith("- ")]


# -- the store


def test_the_networks_are_those_shipped():
    assert sorted(NETS) == sorted(path.stem for path in (ROOT / "model" / "zoo").glob("*.json"))


def test_the_plans_are_made_of_goals():
    plans = {key: make_plan(load("lenet_avg"), plan.goal) for key, plan in PLANS.items()}
    assert plans["fewest"].multipliers < plans["default"].multipliers
    assert plans["default"].multipliers <= plans["64"].multipliers <= 64


def test_a_row_is_made_once_for_the_same_key(tmp_path):
    made = []

    def make():
        made.append(1)
        return {"n": len(made)}

    store = Store(tmp_path)
    assert [store.kept("a/b.json", key, make)["n"] for key in "xxyyx"] == [1, 1, 2, 2, 3]
    store.refusal = "no time"
    assert store.kept("a/b.json", "x", make) == {"n": 3}
    with pytest.raises(NotMeasuredError, match=r"^no time$"):
        store.kept("a/b.json", "z", make)


def test_a_broken_file_is_made_anew(tmp_path):
    (tmp_path / "b.json").write_text('{"key": "x", "fa')
    assert Store(tmp_path).kept("b.json", "x", lambda: {"n": 1}) == {"n": 1}
    assert json.loads((tmp_path / "b.json").read_text()) == {"key": "x", "facts": {"n": 1}}


def test_fingerprints_tell_parts_apart():
    assert fingerprint("ab", "c") != fingerprint("a", "bc")
    assert fingerprint("ab", b"c") == fingerprint("ab", "c")
    assert sources("gen/flow/*.py") != sources("gen/flow/synth.py")


# -- rows


def test_a_row_takes_over_why_the_one_before_is_missing(tmp_path):
    task = Task(("b",), lambda needed, store: {"n": 1}, after=("a",))
    assert measure(task, {("a",): {"reason": "why"}}, Store(tmp_path)) == {"reason": "why"}
    assert measure(task, {("a",): {}}, Store(tmp_path)) == {"n": 1}


def test_what_a_user_can_mend_becomes_a_reason(tmp_path):
    def fail(needed, store):
        raise FlowError("Yosys failed")

    assert measure(Task(("a",), fail), {}, Store(tmp_path)) == {"reason": "Yosys failed"}


def test_each_row_has_the_one_that_it_needs_before_it():
    seen = set()
    for task in tasks.tasks():
        assert task.after is None or task.after in seen
        assert task.key not in seen
        seen.add(task.key)
    assert {key[0] for key in seen} == set(tasks.PARTS)
    assert len([key for key in seen if key[0] == "cells"]) == len(NETS) * len(PLANS) * len(TARGETS)


def test_long_images_are_not_simulated(tmp_path):
    task = next(task for task in tasks.tasks() if task.key == ("simulation", "lenet_avg"))
    needed = {("emission", "lenet_avg", "default"): core(cycles_per_image=2001)}
    reason = "an image takes 2001 cycles, minutes of simulation"
    assert measure(task, needed, Store(tmp_path)) == {"reason": reason}


@pytest.mark.parametrize(
    ("error", "pnr"),
    [
        (None, TIMING.facts()),
        (DoesNotFitError("too large"), {"does_not_fit": "too large"}),
    ],
)
def test_cells_hold_the_clock_or_why_there_is_none(error, pnr, monkeypatch, tmp_path):
    def place_and_route(netlist, target):
        if error:
            raise error
        return TIMING

    monkeypatch.setattr(cells, "synthesize", lambda *words: RESOURCES)
    monkeypatch.setattr(cells, "place_and_route", place_and_route)
    (tmp_path / "core.v").write_text("module")
    found = cells.cells_of(tmp_path / "core.v", "core", "ecp5", Store(tmp_path))
    assert found == {**RESOURCES.facts(), "pnr": pnr}
    assert nextpnr.DEVICES.keys() == {"ecp5", "ice40"}
    assert "pnr" not in cells.cells_of(tmp_path / "core.v", "core", "xilinx", Store(tmp_path))


def test_a_failure_of_place_and_route_is_not_kept(monkeypatch, tmp_path):
    def place_and_route(netlist, target):
        raise FlowError("killed")

    monkeypatch.setattr(cells, "synthesize", lambda *words: RESOURCES)
    monkeypatch.setattr(cells, "place_and_route", place_and_route)
    (tmp_path / "core.v").write_text("module")
    with pytest.raises(FlowError, match=r"^killed$"):
        cells.cells_of(tmp_path / "core.v", "core", "ecp5", Store(tmp_path))
    assert not (tmp_path / "cells").exists()


def test_a_core_is_written_by_a_process_of_its_own(tmp_path):
    store = Store(tmp_path)
    facts = emission.core_facts("plain", PLANS["fewest"], store)
    plan = make_plan(load("plain"), PLANS["fewest"].goal)
    assert facts["cycles_per_image"] == plan.cycles_per_image
    assert facts["multipliers"] == plan.multipliers
    assert facts["rom_bits"] == 5832
    assert Path(facts["verilog"]).read_text().count("\n") == facts["verilog_lines"] > 1000
    assert 0 < facts["emission_cpu_s"] < 60
    assert 20 < facts["peak_mib"] < 2000
    store.refusal = "kept"
    assert emission.core_facts("plain", PLANS["fewest"], store) == facts


# -- the document


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
    found = re.search(r"power of ([\d.]+) and memory to that of ([\d.]+);", markdown(made))
    assert found.groups() == ("2.00", "1.00")


def test_tables_and_notes():
    assert table(["a"], []) == "Nothing was measured.\n"
    assert table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |\n"
    assert (number(None), number(12345.6)) == ("-", "12,346")
    assert reasons([]) == ""
    words = "word " * 30
    assert paragraphs(f"# A\n\n{words}\n\n`a b`") == (
        f"# A\n\n{('word ' * 20).strip()}\n{('word ' * 10).strip()}\n\n`a b`\n"
    )
    assert reasons([("x", "p", "why"), ("x", "q", "why"), ("y", "p", "why")], whole=2) == (
        "\nNot measured:\n\n- x; y (p): why\n"
    )


# -- the command


@pytest.fixture
def quick(monkeypatch):
    """Tasks that only count: two of two parts."""
    ran = []

    def task(*key):
        def run(needed, store):
            return store.kept(f"{key[1]}.json", "k", lambda: ran.append(key) or {"n": len(ran)})

        return Task(key, run)

    made = [task("emission", "plain"), task("golden", "separable")]
    monkeypatch.setattr(command_bench, "tasks", lambda: made)
    monkeypatch.setattr(command_bench, "markdown", lambda rows: f"{len(rows)} rows\n")
    return ran


def call(tmp_path, *words):
    """Facts of the command."""
    places = ["-o", str(tmp_path / "docs" / "page.md"), "--work", str(tmp_path / "work")]
    assert main(["bench", *words, *places, "--json", str(tmp_path / "facts.json")]) == 0
    return json.loads((tmp_path / "facts.json").read_text())


def test_the_command_measures_what_is_wanted_and_keeps_it(quick, tmp_path, capsys):
    facts = call(tmp_path, "--part", "golden")
    assert facts == {
        "emission plain": {"reason": "left out of this run"},
        "golden separable": {"n": 1},
    }
    assert (tmp_path / "docs" / "page.md").read_text() == "2 rows\n"
    assert "1 rows measured, 1 not, with the reasons -> " in capsys.readouterr().out
    assert call(tmp_path, "plain") == {"emission plain": {"n": 2}, "golden separable": {"n": 1}}
    call(tmp_path)
    assert quick == [("golden", "separable"), ("emission", "plain")]


def test_the_command_stops_when_its_time_is_over(quick, tmp_path, monkeypatch):
    now = iter([0.0, 59.0, 61.0])
    monkeypatch.setattr(command_bench.time, "monotonic", lambda: next(now))
    facts = call(tmp_path, "--minutes", "1")
    reason = "the 1 minutes given were over"
    assert facts == {"emission plain": {"n": 1}, "golden separable": {"reason": reason}}


def test_the_command_knows_the_shipped_networks_only(tmp_path, capsys):
    assert main(["bench", "mine", "-o", str(tmp_path / "page.md")]) == 1
    message = "tercet bench: error: The bench knows no network 'mine'; it measures those shipped: "
    assert capsys.readouterr().err == f"{message}{', '.join(NETS)}\n"
    assert set(PEERS) == {"nngen", "da4ml"}


def test_the_document_that_is_there_was_written_by_the_bench():
    text = (ROOT / "docs" / "performance.md").read_text()
    titles = [line for line in text.splitlines() if line.startswith("#")]
    assert titles == [line for line in markdown(rows()).splitlines() if line.startswith("#")]

"""show, verilog and synth as a user calls them."""

import json

import numpy as np
import pytest
from otherprocess import holder
from randomnets import random_network
from tablenet import tables
from tercet.gen.cli import main
from tercet.gen.commands import synth as command_synth
from tercet.gen.flow.nextpnr import DoesNotFitError, Timing
from tercet.gen.flow.pnr_report import CriticalPath, Routed
from tercet.gen.flow.synth import Resources
from tercet.model import files, save
from unet import unet

RESOURCES = Resources(0, 0, 0, 0, 1, 0, 7, frozenset({"conv1.engine.weights"}))


@pytest.fixture
def net(tmp_path):
    rng = np.random.default_rng(3)
    path = tmp_path / "net.json"
    save(random_network(rng, shape=(9, 9, 1), depth=2, argmax=True, per_channel=True), path)
    return str(path)


def call(words, tmp_path):
    """Exit code and facts of a command."""
    code = main([*words, "--json", str(tmp_path / "facts.json")])
    return code, json.loads((tmp_path / "facts.json").read_text())


def test_show_lists_tensors_and_layers(net, tmp_path, capsys):
    code, facts = call(["show", net], tmp_path)
    out = capsys.readouterr().out
    assert code == 0
    assert list(facts["tensors"]) == sorted(["image", "conv0_out", "conv1_out", "class"])
    assert [layer["kind"] for layer in facts["layers"]] == ["conv2d", "conv2d", "argmax"]
    for word in ("9 x 9 x 1", "conv0_out", "rounding", f"{facts['weights']} weights"):
        assert word in out


def test_show_has_the_entries_of_tables_and_the_factors_of_upsampling(tmp_path, capsys):
    rng = np.random.default_rng(3)
    for network, name, key, value, shown in (
        (tables(rng), "few", "entries", 16, "few      table of 16 "),
        (unet(rng, (2, 3)), "up", "factor", [2, 3], "up       upsample 2x3 "),
    ):
        save(network, tmp_path / "net.json")
        code, facts = call(["show", str(tmp_path / "net.json")], tmp_path)
        assert code == 0
        (layer,) = (layer for layer in facts["layers"] if layer["name"] == name)
        assert layer[key] == value
        assert shown in capsys.readouterr().out


def test_verilog_writes_the_core_where_it_is_told(net, tmp_path, capsys):
    code, facts = call(["verilog", net, "-o", str(tmp_path / "out")], tmp_path)
    assert code == 0
    assert (tmp_path / "out" / "rtl" / "net.v").is_file()
    assert json.loads((tmp_path / "out" / "manifest.json").read_text()) == facts
    assert f"{facts['cycles_per_image']} cycles per image" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["verilog"], ["synth"], ["sim"], ["fuzz"]])
def test_a_command_waits_for_the_folder_that_another_run_uses(words, tmp_path, monkeypatch):
    class WaitedError(Exception):
        pass

    def waited(text, folder):
        assert folder == tmp_path / "out"
        raise WaitedError

    monkeypatch.setattr(files.logger, "warning", waited)
    other = holder(tmp_path / "out")
    net = [] if words == ["fuzz"] else ["plain"]
    with pytest.raises(WaitedError):
        main([*words, *net, "-o", str(tmp_path / "out")])
    other.communicate("\n")
    assert not (tmp_path / "out").exists()


@pytest.mark.yosys
def test_synth_counts_cells(net, tmp_path, capsys):
    words = ["synth", net, "--target", "ice40", "-o", str(tmp_path / "out")]
    code, facts = call(words, tmp_path)
    assert code == 0
    assert facts["targets"]["ice40"]["luts"] > 0
    out = capsys.readouterr().out
    assert "block rams" in out
    assert f"Netlists for nextpnr in {tmp_path / 'out'}: " in out


def no_cells(verilog, top, target, netlist):
    """In place of synthesis."""
    netlist.write_text("{}")
    return RESOURCES


def test_synth_shows_the_clock_or_why_there_is_none(net, tmp_path, capsys, monkeypatch):
    path = CriticalPath("a.Q", "b.D", ("a", "b"), 2.5, 1.25)
    timing = Timing("a device", (Routed(1, 266.6667, {"FF": 2}, path),))

    def place_and_route(netlist, target):
        if target == "ice40":
            raise DoesNotFitError("too large")
        return timing

    monkeypatch.setattr(command_synth, "synthesize", no_cells)
    monkeypatch.setattr(command_synth, "_complaints", lambda *words: [])
    monkeypatch.setattr(command_synth, "place_and_route", place_and_route)
    code, facts = call(["synth", net, "--pnr", "-o", str(tmp_path / "out")], tmp_path)
    assert code == 0
    assert facts["targets"]["ecp5"]["pnr"] == json.loads(json.dumps(timing.facts()))
    assert facts["targets"]["ice40"]["pnr"] == {"does_not_fit": "too large"}
    assert "pnr" not in facts["targets"]["xilinx"]
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line.split()[-1] for line in lines if line.strip()}
    assert [rows[target] for target in ("ecp5", "ice40", "xilinx")] == ["266.7", "-", "-"]
    assert lines[-2:] == [
        "a device: the critical path goes from a.Q to b.D, 2.5 ns of logic and 1.2 ns of routing, "
        "through a, b",
        "too large",
    ]


def test_synth_says_where_the_manifest_is_wrong(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command_synth, "synthesize", no_cells)
    code, _ = call(["synth", "plain", "--target", "ecp5", "-o", str(tmp_path / "out")], tmp_path)
    assert code == 1
    assert capsys.readouterr().out.splitlines()[-4:] == [
        "ecp5: 7 ROM bits, but the manifest says 5832",
        "ecp5: conv1.engine.weights is in block RAM, but the manifest says it is not",
        "ecp5: conv2.engine.weights is not in block RAM, but the manifest says it is",
        "ecp5: conv3.engine.weights is not in block RAM, but the manifest says it is",
    ]


@pytest.mark.parametrize("command", ["show", "plan", "verilog", "synth"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("hello", "not JSON: Expecting value: line 1 column 1 (char 0)"),
        ("[]", "The file must be an object, not []"),
    ],
)
def test_a_bad_file_is_one_sentence_and_nothing_written(
    command, content, message, tmp_path, capsys
):
    bad = tmp_path / "bad.json"
    bad.write_text(content)
    words = [command, str(bad)]
    if command in ("verilog", "synth"):
        words += ["-o", str(tmp_path / "out")]
    assert main(words) == 1
    assert capsys.readouterr().err == f"tercet {command}: error: {bad}: {message}\n"
    assert not (tmp_path / "out").exists()

"""`tercet plan` as a user calls it: tables at two widths, goals, what is said of them, sweeps."""

import io
import json
import re

import numpy as np
import pytest
from randomnets import random_network
from residualnet import residual
from rich.console import Console
from tercet.gen.cli import main
from tercet.gen.commands import plan as command_plan
from tercet.model import save


@pytest.fixture
def net(tmp_path):
    rng = np.random.default_rng(3)
    path = tmp_path / "net.json"
    save(random_network(rng, shape=(9, 9, 1), depth=2, argmax=True, per_channel=True), path)
    return str(path)


@pytest.fixture
def plan(tmp_path, capsys):
    """Runs `tercet plan` with words; what it printed, and its facts."""

    def run(*words, code=0):
        assert main(["plan", *words, "--json", str(tmp_path / "facts.json")]) == code
        return capsys.readouterr().out, json.loads((tmp_path / "facts.json").read_text())

    return run


def test_a_row_per_layer_and_the_whole(net, plan):
    out, facts = plan(net, "--cycles", "500")
    assert f"net: {facts['cycles_per_image']} cycles between images\n" in out
    assert f"  {facts['latency_cycles']} cycles from first beat in to last beat out\n" in out
    assert f"  {facts['multipliers']} multipliers in the layers and 2 in the requantizers\n" in out
    assert f"  {facts['rom_bits']} ROM bits\n" in out
    for layer in facts["layers"]:
        (row,) = [line.split() for line in out.splitlines() if line.startswith(f" {layer['name']}")]
        form = facts["plan"][layer["name"]]
        assert form["P"] * form["S"] == layer["multipliers"]
        assert row[1:6] == [
            str(layer["multiplies"]), f"{form['P']}x{form['S']}", str(form["R"]),
            str(layer["cycles"]), f"{layer['utilization']:.0%}",
        ]  # fmt: skip
        assert row[6:8] == [str(facts["accumulator_bits"][layer["name"]]), str(layer["rom_bits"])]
    assert facts["goal"] == {"cycles": 500}
    assert facts["shortfall"] == ""


def test_utilization_is_multiplies_over_multiplier_cycles(plan):
    out, facts = plan("plain")
    multiplies = sum(layer["multiplies"] for layer in facts["layers"])
    assert (multiplies, facts["multipliers"], facts["cycles_per_image"]) == (4185, 6, 784)
    assert facts["utilization"] == round(4185 / 6 / 784, 4) == 0.8897
    assert "  0.890 multiplies per multiplier and cycle\n" in out


def test_bars_tell_multiplying_from_busy_and_from_waiting(plan):
    out, _ = plan("plain")
    bars = re.findall(r"[█▒░]{16}", out)
    assert bars == ["█" * 15 + "▒", "█" * 15 + "░", "█" * 11 + "▒▒" + "░" * 3]


@pytest.mark.parametrize(("width", "tables"), [(80, 2), (120, 1), (160, 1)])
def test_lines_fit_the_terminal(plan, monkeypatch, width, tables):
    out = io.StringIO()
    monkeypatch.setattr(command_plan, "console", lambda: Console(width=width, file=out))
    plan("separable")
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in out.getvalue()
    assert len([line for line in lines if line.startswith(" pw3 ")]) == tables
    assert [line for line in lines if line.startswith("separable: ")][:-1] == (
        ["separable: plan".ljust(len(lines[0]))]
        if tables == 1
        else [line for line in lines if re.match("separable: (work|memory) *$", line)]
    )


def test_images_a_second_are_told_where_the_clock_is(plan):
    out, facts = plan("plain", "--clock", "100")
    assert facts["images_per_second"] == 1e8 / 784
    assert "  127,551 images/s and a latency of 10.45 µs at 100 MHz\n" in out


def test_a_rate_is_a_number_of_cycles(plan):
    _, facts = plan("plain", "--fps", "60000", "--clock", "100.5")
    assert facts["goal"] == {"images_per_second": 60000, "clock_mhz": 100.5, "cycles": 1675}
    assert facts["cycles_per_image"] <= 1675
    assert facts["multipliers"] < 6


def test_as_fast_as_so_many_multipliers_can_be(plan):
    _, facts = plan("plain", "--multipliers", "5")
    assert facts["multipliers"] <= 5
    _, six = plan("plain", "--multipliers", "6")
    assert facts["cycles_per_image"] > six["cycles_per_image"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--cycles", "5"],
            r"The goal of 5 cycles between images is out of reach: layer '\w+' takes \d+ cycles at "
            r"its fastest(, one for each of \d+ values)?; this is the nearest plan\.",
        ),
        (
            ["--fps", "1e9", "--clock", "100"],
            r"The goal of 1000000000 images/s at 100 MHz \(0 cycles between images\) is out of "
            r"reach: layer '\w+' takes \d+ cycles at its fastest(, one for each of \d+ values)?; "
            r"this is the nearest plan\.",
        ),
        (
            ["--multipliers", "1"],
            r"The goal of 1 multipliers is out of reach: 2 layers multiply and take at least 2; "
            r"this is the nearest plan\.",
        ),
    ],
)
def test_a_goal_out_of_reach_gets_the_nearest_plan_and_why(net, plan, words, message):
    out, facts = plan(net, *words, code=1)
    assert re.fullmatch(message, out.splitlines()[-1])
    assert out.splitlines()[-1] == facts["shortfall"] + "."


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cycles", "0"], "argument --cycles: must be at least 1, not 0"),
        (["--multipliers", "x"], "argument --multipliers: must be an integer, not 'x'"),
        (["--clock", "x"], "argument --clock: must be a number, not 'x'"),
        (["--clock", "0"], "argument --clock: must be above 0 and finite, not 0"),
        (["--fps", "nan", "--clock", "1"], "argument --fps: must be above 0 and finite, not nan"),
        (["--fps", "1e999999999"], "argument --fps: must be above 0 and finite, not 1e999999999"),
        (["--fps", "1e-9999999"], "argument --fps: must be above 0 and finite, not 1e-9999999"),
        (["--cycles", "9", "--multipliers", "9"], "--multipliers: not allowed with argument --cyc"),
        (["--fps", "9"], "--fps needs a clock; add --clock MHZ"),
    ],
)
def test_goals_that_are_none_are_wrong_usage(net, capsys, words, message):
    assert main(["plan", net, *words]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("command", ["verilog", "sim", "synth"])
def test_other_commands_have_no_use_for_a_clock_alone(command, net, capsys, tmp_path):
    assert main([command, net, "--clock", "50", "-o", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == (
        f"tercet {command}: error: --clock is for --fps alone; add --fps F or leave --clock out\n"
    )
    assert not (tmp_path / "out").exists()


def test_verilog_is_of_the_goals_plan(net, tmp_path, capsys):
    words = ["--multipliers", "1", "-o", str(tmp_path / "out")]
    assert main(["verilog", net, *words]) == 1  # the goal is missed, and the nearest plan written
    assert capsys.readouterr().out.startswith("The goal of 1 multipliers is out of reach: ")
    facts = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert facts["multipliers"] == 2
    assert facts["goal"] == {"multipliers": 1}


def test_counts_the_requantizers_there_are(tmp_path, plan):
    """A maximum pool has none, an addition two."""
    path = tmp_path / "residual.json"
    save(residual(np.random.default_rng(1)), path)
    out, facts = plan(str(path))
    counts = {layer["name"]: layer["requantizer_multipliers"] for layer in facts["layers"]}
    assert (counts["a"], counts["max"], counts["sum"], counts["relu"]) == (1, 0, 2, 0)
    assert f" and {sum(counts.values())} in the requantizers\n" in out


def test_a_sweep_is_the_plans_that_none_beats(plan):
    out, facts = plan("separable", "--sweep")
    points = [(each["multipliers"], each["cycles"]) for each in facts["plans"]]
    assert points == sorted(points)
    assert points == sorted(points, key=lambda point: -point[1])
    for multipliers, cycles in points:
        assert re.search(rf"^ +{multipliers} +{cycles} ", out, re.MULTILINE)
        of_goal = plan("separable", "--cycles", str(cycles))[1]
        assert (of_goal["multipliers"], of_goal["cycles_per_image"]) == (multipliers, cycles)
    assert out.count("●") == len(points)


@pytest.mark.parametrize("width", [80, 120])
def test_the_picture_of_a_sweep_fits(plan, monkeypatch, width):
    out = io.StringIO()
    monkeypatch.setattr(command_plan, "console", lambda: Console(width=width, file=out))
    plan("plain", "--sweep")
    assert max(map(len, out.getvalue().splitlines())) <= width


def test_a_device_tells_what_is_used(plan):
    out, facts = plan("plain", "--device", "xc7a35t")
    assert facts["goal"] == {"device": "xc7a35t"}
    assert facts["shortfall"] == ""
    used = facts["device"]
    there = {kind: of["there"] for kind, of in used.items()}
    assert there == {"dsps": 90, "block_rams": 100, "luts": 20800}
    assert f"  {used['dsps']['used']} of 90 DSP blocks\n" in out
    assert f"  {used['block_rams']['used']} of 100 block RAMs\n" in out
    assert f"  about {used['luts']['used']} of 20800 LUTs\n" in out


def test_an_unknown_device_is_wrong_usage(net, capsys):
    assert main(["plan", net, "--device", "ecp6"]) == 2
    assert "invalid choice: 'ecp6' (choose from" in capsys.readouterr().err

"""The bench's rows: what is kept, what is refused, what the command makes of them."""

import json
import time
from pathlib import Path

import pytest
from measuredrows import core
from tercet.gen.cli import main
from tercet.gen.flow.synth import TARGETS
from tercet.gen.flow.yosys import FlowError
from tercet.gen.plan import make_plan
from tercet.model import load
from tercet.model.studies.rows import Store
from tercet.sim import command_bench
from tercet.sim.measure import emission, tasks
from tercet.sim.measure.peers.run import PEERS
from tercet.sim.measure.plans import NETS, PLANS
from tercet.sim.measure.tasks import Task, measure

ROOT = Path(__file__).parent.parent


def test_the_networks_are_those_shipped():
    assert sorted(NETS) == sorted(path.stem for path in (ROOT / "model" / "zoo").glob("*.json"))


@pytest.mark.slow
def test_the_plans_are_made_of_goals():
    plans = {key: make_plan(load("plain"), plan.goal) for key, plan in PLANS.items()}
    assert plans["fewest"].multipliers < plans["default"].multipliers
    assert plans["default"].multipliers <= plans["64"].multipliers <= 64


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


@pytest.fixture
def quick(monkeypatch):
    """Tasks that only count: two of two parts."""
    ran = []

    def task(*key):
        def count():
            ran.append(key)
            return {"n": len(ran)}

        def run(needed, store):
            return store.kept(f"{key[1]}.json", "k", count)

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
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    facts = call(tmp_path, "--minutes", "1")
    reason = "the 1 minutes given were over"
    assert facts == {"emission plain": {"n": 1}, "golden separable": {"reason": reason}}


def test_the_command_knows_the_shipped_networks_only(tmp_path, capsys):
    assert main(["bench", "mine", "-o", str(tmp_path / "page.md")]) == 1
    message = (
        "tercet bench: error: The bench knows no network 'mine'; it measures the shipped ones: "
    )
    assert capsys.readouterr().err == f"{message}{', '.join(NETS)}\n"
    assert set(PEERS) == {"nngen", "da4ml"}

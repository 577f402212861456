"""The goal of a latency: the plan meets it, and none with many fewer multipliers does."""

import pytest
from tercet.gen.plan import make_plan
from tercet.gen.plan.goals import LatencyGoal
from tercet.model import load


@pytest.mark.parametrize(("name", "latency"), [("plain", 500), ("plain", 100), ("separable", 2500)])
def test_a_latency_is_met_without_waste(name, latency):
    network = load(name)
    plan = make_plan(network, LatencyGoal(latency))
    assert plan.shortfall == ""
    assert plan.latency_cycles <= latency
    assert plan.goal == {"latency_cycles": latency}
    slowest = max(layer.cycles_alone for layer in plan.layers)
    slower = make_plan(network, slowest + slowest // 20 + 2)
    if slower.multipliers < plan.multipliers:
        assert slower.latency_cycles > latency


def test_a_latency_out_of_reach_gets_the_fastest_plan():
    plan = make_plan(load("plain"), LatencyGoal(60))
    fastest = make_plan(load("plain"), 1)
    assert plan.latency_cycles == fastest.latency_cycles == 81
    assert plan.shortfall == (
        "The goal of a latency of 60 cycles is out of reach: the fastest plan takes 81; this is "
        "the nearest plan"
    )

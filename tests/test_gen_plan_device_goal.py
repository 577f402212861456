"""Devices as goals: plans that fit, and why others do not; costs against Yosys."""

import re
from dataclasses import replace
from importlib import metadata

import numpy as np
import pytest
from occupied import occupied_luts
from residualnet import residual
from synthesized import synthesized
from tercet.gen.cost.devices import DEVICES, ECP5, ICE40, SERIES_7, Device
from tercet.gen.cost.parts import Cost, cost_of_part
from tercet.gen.plan import device_goal, make_plan
from tercet.gen.plan.cost import cost_of_core
from tercet.gen.plan.device_goal import DeviceGoal
from tercet.gen.plan.forms import Forms
from tercet.gen.plan.goals import CycleGoal
from tercet.gen.verilog.build import write_core
from tercet.model import NetworkError, load

LUT_ERROR = 0.2  # of the estimate


def of(dsps, block_rams, luts, family=ECP5):
    return DeviceGoal(Device("made-up", family, dsps, block_rams, luts))


def test_a_roomy_device_gets_the_fastest_plan():
    network = load("plain")
    fastest = make_plan(network, 1)
    plan = make_plan(network, of(10_000, 10_000, 10_000_000))
    assert plan.cycles_per_image == fastest.cycles_per_image
    assert plan.multipliers == fastest.multipliers
    assert plan.shortfall == ""


@pytest.mark.parametrize("dsps", [6, 7, 8, 9])
def test_dsp_blocks_limit_the_cycles(dsps):
    network = load("plain")
    goal = of(dsps, 100, 100_000)
    plan = make_plan(network, goal)
    used, there = goal.used(plan)["dsps"]
    assert used <= there == dsps
    faster = make_plan(network, max(part.cycles for part in parts_of(plan)) - 1)
    if faster.shortfall == "":
        assert cost_of_core(faster, ECP5).dsps > dsps


def parts_of(plan):
    return [layer.part for layer in plan.layers]


def test_queues_are_given_room():
    """What is not a layer's is known from a first plan, and the second one leaves it."""
    plan = make_plan(load("plain"), 784)
    layers = sum((cost_of_part(part, ECP5) for part in parts_of(plan)), Cost())
    whole = cost_of_core(plan, ECP5)
    assert of(100, 100, whole.luts).tighter(plan) is None
    tighter = of(100, 100, whole.luts - 1).tighter(plan)
    assert layers + tighter.rest == whole
    assert tighter.rest.luts > 0
    assert tighter.tighter(plan) is None


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ((2, 9, 99_999), r"it takes \d+ DSP blocks of 2, layer '\w+' alone \d+"),
        ((99, 9, 9), r"it takes about \d+ LUTs of 9, layer '\w+' alone about \d+"),
        (
            (2, 9, 9),
            r"it takes \d+ DSP blocks of 2, layer '\w+' alone \d+ and about \d+ LUTs of 9, layer "
            r"'\w+' alone about \d+",
        ),
    ],
)
def test_what_does_not_fit_is_said_with_the_layer(budget, message):
    plan = make_plan(load("plain"), of(*budget))
    assert re.fullmatch(
        f"The goal of fitting made-up is out of reach: {message}; this is the nearest plan",
        plan.shortfall,
    )


def test_products_are_those_of_all_kinds_of_layers(seed):
    """A pool's sums and a factor of a power of two are no multiplications."""
    network = residual(np.random.default_rng(seed))
    plan = make_plan(network)
    for part in parts_of(plan):
        count = sum(product.count for product in part.products())
        assert count <= part.multipliers + part.requantizer_multipliers
        if part.layer.kind == "max_pool2d":
            assert count == 0
    assert sum(len(part.products()) for part in parts_of(plan))


CASES = [("plain", None), ("plain", 112), ("separable", None)]


@pytest.mark.yosys
@pytest.mark.parametrize("family", [ECP5, SERIES_7, ICE40], ids=lambda family: family.target)
@pytest.mark.parametrize(("name", "goal"), CASES)
def test_costs_are_what_a_core_takes(name, goal, family, shared, tmp_path, kept):
    """DSP blocks and block RAMs exactly as Yosys counts them, LUTs about as nextpnr packs them. Of
    many multipliers on iCE40 some have narrow weights only, and Yosys makes LUTs of those."""
    if family is not SERIES_7:
        pytest.importorskip(f"yowasp_nextpnr_{family.target}", reason="nextpnr is not installed")
    network = load(name)
    plan = make_plan(network, goal)
    facts = write_core(network, tmp_path, goal)
    verilog, top = tmp_path / facts["verilog"], facts["top"]

    def occupied():
        found, netlist = synthesized(shared, verilog, top, family.target)
        return {**found.facts(), "luts": occupied_luts(found, netlist, top, family.target)}

    pnr = "" if family is SERIES_7 else metadata.version(f"yowasp-nextpnr-{family.target}")
    there = kept(occupied, verilog.read_bytes(), pnr)
    cost = cost_of_core(plan, family)
    narrow = 10 if (family, goal) == (ICE40, 112) else 0
    assert there["dsps"] <= cost.dsps <= there["dsps"] + narrow
    wide = 2 if family is SERIES_7 else 1  # one of 36 kbit counts as one there and as two here
    assert there["block_rams"] <= cost.block_rams <= wide * there["block_rams"]
    assert abs(cost.luts / there["luts"] - 1) < LUT_ERROR


def test_devices_by_name_are_goals():
    assert device_goal.NAMES.keys() == DEVICES["up5k"].budget.keys()
    assert str(DeviceGoal(DEVICES["up5k"])) == "fitting up5k"
    assert DeviceGoal(DEVICES["up5k"]).facts() == {"device": "up5k"}


def test_weights_that_no_plan_can_hold_are_refused_at_once(monkeypatch):
    monkeypatch.setattr(Forms, "cheapest", lambda *_: pytest.fail("searched"))
    with pytest.raises(NetworkError) as raised:
        make_plan(load("mobilenet"), DeviceGoal(DEVICES["up5k"]))
    weights = sum(
        layer.weights.values.size for layer in load("mobilenet").layers if hasattr(layer, "weights")
    )
    assert str(raised.value) == (
        f"The goal of fitting up5k is out of reach: the weights have {8 * weights:,} bits, and "
        "up5k holds at most 207,360, in its 30 block RAMs and all 5,280 LUTs; choose a larger "
        "device, or fewer bits for the weights"
    )


def test_another_goal_chooses_the_plan_and_the_device_must_hold_it():
    network = load("plain")
    goal = DeviceGoal(DEVICES["up5k"], other=CycleGoal(784))
    alone, plan = make_plan(network, 784), make_plan(network, goal)
    assert (plan.multipliers, plan.cycles_per_image) == (alone.multipliers, alone.cycles_per_image)
    assert plan.shortfall == ""
    assert plan.goal == {"device": "up5k", "cycles": 784}
    plan = make_plan(network, replace(goal, other=CycleGoal(3)))
    assert re.fullmatch(
        r"The goal of fitting up5k and of 3 cycles between images is out of reach: it takes 171 "
        r"DSP blocks of 8, layer 'conv1' alone 90 and about \d+ LUTs of 5280, layer 'conv1' alone "
        r"about \d+; layer 'conv1' takes 28 cycles at its fastest; this is the nearest plan",
        plan.shortfall,
    )

"""Plans of every kind against the core, cycle for cycle: many multipliers, wide beats, one."""

from dataclasses import replace

import numpy as np
import pytest
from plancheck import check_plan
from randomnets import random_network
from tercet.gen.plan import make_plan
from tercet.model import load

# (cycles between images, input lanes, multipliers)
PLANS = {
    "plain": [
        (2242, 1, 3),
        (784, 1, 6),
        (280, 4, 17),
        (112, 7, 50),
        (28, 28, 155),
    ],
    "separable": [
        (784, 1, 6),
        (280, 4, 8),
        (112, 7, 19),
        (56, 14, 51),
        (28, 28, 56),
    ],
}


@pytest.mark.parametrize(
    ("name", "plan"), [(name, plan) for name, plans in PLANS.items() for plan in plans]
)
def test_the_stride_3_nets_keep_their_plans(name, plan, seed):
    """From one multiplier a layer to a row of pixels a clock."""
    goal = 4185 if plan[2] == 3 else plan[0]
    made = check_plan(load(name), goal, np.random.default_rng(seed))
    assert (made.cycles_per_image, made.input_lanes, made.multipliers) == plan


@pytest.mark.parametrize(
    ("name", "cycles", "lanes"),
    [("plain", 280, 3), ("plain", 112, 9), ("separable", 56, 27)],
)
def test_row_aligned_plans_take_the_beats_of_the_first_layer(name, cycles, lanes, seed):
    rng = np.random.default_rng(seed)
    made = check_plan(load(name), cycles, rng, row_aligned=True)
    assert (made.cycles_per_image, made.input_lanes, made.row_lanes) == (cycles, lanes, lanes)


def test_a_row_a_beat_is_aligned_as_it_is():
    network = load("plain")
    aligned = make_plan(network, 28, row_aligned=True)
    assert replace(aligned, row_aligned=False) == make_plan(network, 28)


def test_images_without_gaps_have_beats_that_divide_a_row():
    for name, cycles in (("plain", 280), ("plain", 112), ("separable", 56), ("lenet_avg", 300)):
        plan = make_plan(load(name), cycles)
        height, width, channels = plan.network.tensors[plan.network.input].shape
        assert width * channels % plan.input_lanes == 0
        assert plan.input_beats * plan.input_lanes == height * width * channels


def test_a_row_a_clock_uses_its_multipliers():
    assert make_plan(load("plain"), 28).utilization > 0.96
    assert make_plan(load("separable"), 28).utilization > 0.95


@pytest.mark.parametrize("case", range(24))
def test_random_networks_keep_plans_of_any_goal(case, seed):
    rng = np.random.default_rng([seed, case])
    shape = (*(int(extent) for extent in rng.integers(2, 12, 2)), int(rng.integers(1, 5)))
    network = random_network(
        rng, shape=shape, depth=int(rng.integers(1, 4)), windows=bool(case % 2)
    )
    values = int(np.prod(shape))
    check_plan(
        network, int(rng.choice([1, values // 8 + 1, values // 3 + 1, values, 4 * values])), rng
    )

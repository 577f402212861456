"""Upsampling in a core: results, cycles as planned, and its lanes."""

import numpy as np
import pytest
from plancheck import check_plan
from residualnet import UINT8
from tercet.gen.plan import make_plan
from tercet.model.builder import Builder, Grid, Window
from unet import unet


@pytest.mark.parametrize("goal", [None, 1])
@pytest.mark.parametrize("factor", [(2, 2), (1, 3), (3, 1)])
def test_a_core_takes_the_cycles_of_its_plan(factor, goal, seed):
    rng = np.random.default_rng([seed, *factor])
    network = unet(rng, factor)
    plan = check_plan(network, goal, rng, 4)
    (part,) = (layer.part for layer in plan.layers if layer.name == "up")
    assert part.cycles == np.prod(part.y.shape) // part.output_lanes <= plan.cycles_per_image
    assert [memory.rows for memory in part.memories] == [4 * 4 // part.output_lanes]
    assert part.products() == []


@pytest.mark.parametrize("shape", [(2, 3, 4), (1, 1, 2), (3, 5, 1)])
@pytest.mark.parametrize("goal", [None, 1])
def test_the_first_and_last_layer_may_upsample(shape, goal, seed):
    rng = np.random.default_rng(seed)
    builder = Builder("net")
    x = builder.upsample("up", builder.input(shape, Grid(UINT8, 1.0, 0)), (2, 3))
    builder.upsample("again", builder.upsample("same", x, (1, 1)), (1, 2))
    plan = check_plan(builder.network(), goal, rng, 4)
    assert [layer.name for layer in plan.layers] == ["up", "again"]


def test_lanes_are_as_few_as_the_goal_allows():
    builder = Builder("net")
    x = builder.upsample("up", builder.input((2, 3, 4), Grid(UINT8, 1.0, 0)), (2, 2))
    builder.max_pool2d("pool", x, (2, 2), Window(stride=(2, 2)))
    network, lanes = builder.network(), []
    for goal in (96, 48, 24):
        plan = make_plan(network, goal)
        assert plan.cycles_per_image == goal
        lanes.append(plan.layers[0].part.output_lanes)
    assert lanes == [1, 2, 4]

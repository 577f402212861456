"""The plan against the hardware, cycle for cycle."""

from dataclasses import replace

import numpy as np
import pytest
from anylayers import any_layers
from hwsim import run_core
from plancheck import check_plan
from randomnets import random_network
from residualnet import RESCALE, residual
from tercet.gen.plan import make_plan
from tercet.gen.verilog.core import Core, ports_of
from tercet.model.dtypes import IntType
from tercet.model.fuzz.convs import network_of, random_conv
from tercet.model.fuzz.draws import random_images, random_tensor
from tercet.model.layers import Argmax, Flatten, Tensor
from tercet.model.layers.linear import Linear
from tercet.model.requant import Rounding
from tercet.model.search.policies import by_reference

# Shapes, depth and goal (cycles between images; None is one value per cycle).
CASES = {
    "one_layer": ((6, 6, 1), 1, None),
    "two_layers": ((12, 11, 2), 2, None),
    "three_layers": ((18, 19, 1), 3, None),
    "starved_of_multipliers": ((9, 9, 2), 2, 10_000),
    "all_the_multipliers": ((9, 9, 2), 2, 1),
    "one_value": ((1, 1, 1), 1, None),
    "two_values_many_layers": ((1, 2, 1), 4, None),
    "nine_values_many_layers": ((3, 3, 1), 4, None),
    "one_row": ((1, 16, 3), 2, None),
}


@pytest.mark.parametrize("argmax", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_predicts_cycles_and_latency_of_the_core(name, argmax, seed):
    shape, depth, goal = CASES[name]
    rng = np.random.default_rng([seed, *name.encode(), argmax])
    network = random_network(rng, shape=shape, depth=depth, argmax=argmax)
    check_plan(network, goal, rng, 24 if "value" in name else 4)


def test_builds_what_rounds_as_float32_and_what_has_offsets(seed):
    rng = np.random.default_rng([seed, 32])
    network = random_network(rng, shape=(6, 6, 2), depth=2, rounding=Rounding.FLOAT32, argmax=False)
    first, second = any_layers(network)
    offsets = tuple(rng.integers(-(1 << 20), 1 << 20, second.out_channels).tolist())
    requant = replace(second.requant, rounding=Rounding.HALF_EVEN, offsets=offsets)
    network = replace(network, layers=[first, replace(second, requant=requant)])
    check_plan(network, None, rng, 4)


def test_the_shipped_stride_3_nets_take_a_pixel_a_clock(stride_3):
    network, multipliers = stride_3
    plan = make_plan(network)
    assert [layer.multipliers for layer in plan.layers] == multipliers
    assert plan.cycles_per_image == 784


@pytest.fixture(params=[("plain", [3, 2, 1]), ("separable", [1] * 6)], ids=lambda p: p[0])
def stride_3(request):
    from tercet.model import load

    return load(request.param[0]), request.param[1]


def test_the_class_has_a_port_even_where_there_is_one_class(seed):
    rng = np.random.default_rng(seed)
    x = random_tensor(rng, "image", (2, 2, 1))
    conv, y = random_conv(rng, x, kernel=(2, 2), out_channels=1)
    index = Tensor("class", (1, 1, 1), IntType(1, signed=False), 1.0, 0)
    network = network_of(x, [conv, Argmax("argmax", y.name, "class")], [y, index])
    assert ports_of(make_plan(network))["m_axis_tuser"] == {"direction": "out", "width": 1}
    run = run_core(Core(plan=make_plan(network)), random_images(rng, x, 3), 3)
    assert [best for _, _, best in run.outputs] == [0, 0, 0]


@pytest.mark.parametrize("goal", [None, 10_000, 1])
@pytest.mark.parametrize("case", range(8))
def test_predicts_any_windows(case, goal, seed):
    rng = np.random.default_rng([seed, case, goal or 0])
    shape = (*(int(extent) for extent in rng.integers(2, 11, 2)), int(rng.integers(1, 4)))
    network = random_network(rng, shape=shape, depth=2, windows=True)
    check_plan(network, goal, rng)


@pytest.mark.parametrize("goal", [None, 10_000, 1])
def test_builds_linear_layers_behind_a_flattened_map(goal, seed):
    rng = np.random.default_rng([seed, goal or 0])
    x = random_tensor(rng, "image", (7, 5, 2))
    conv, y = random_conv(rng, x, kernel=(2, 2), out_channels=4)
    flat = replace(y, name="flat", shape=(1, 1, 3 * 2 * 4))
    first, hidden = random_conv(rng, flat, name="fc1", kernel=(1, 1), groups=1, out_channels=7)
    second, scores = random_conv(rng, hidden, name="fc2", kernel=(1, 1), groups=1, out_channels=5)
    index = Tensor("class", (1, 1, 1), IntType(3, signed=False), 1.0, 0)
    layers = [conv, Flatten("flatten", y.name, "flat")]
    layers += [Linear(**vars(layer)) for layer in (first, second)]
    layers.append(Argmax("argmax", scores.name, "class"))
    network = network_of(x, layers, [y, flat, hidden, scores, index])
    plan = check_plan(network, goal, rng, 8)  # the queues fill slowly
    assert [layer.name for layer in plan.layers] == ["conv", "fc1", "fc2"]


@pytest.mark.parametrize("tail", [0, 3])
def test_results_before_an_images_last_value_find_room(tail, seed):
    """They wait for the verdict that comes with it; without room for them it never would."""
    rng = np.random.default_rng([seed, tail])
    x = random_tensor(rng, "image", (2 + tail, 5, 3))
    conv, y = random_conv(rng, x, kernel=(2, 5), groups=3, out_channels=12)
    if tail:
        conv, y = random_conv(rng, x, kernel=(2, 5), stride=(9, 9), out_channels=12, groups=3)
    plan = check_plan(network_of(x, [conv], [y]), 10_000, rng, 4)
    assert plan.fifo_depths[plan.links.out] == (12 if tail else 7)


@pytest.mark.parametrize(
    ("goal", "exact"), [(None, True), (10_000, False), (1, True), (None, False)]
)
def test_builds_pools_additions_and_relus(goal, exact, seed):
    rng = np.random.default_rng([seed, exact])
    network = residual(rng, by_reference() if exact else RESCALE)
    plan = check_plan(network, goal, rng, 2 if goal == 10_000 else 4)
    kinds = {layer.name: layer.part.layer.kind for layer in plan.layers}
    assert {"add", "relu", "max_pool2d", "avg_pool2d", "linear"} < set(kinds.values())
    forked = {link: depth for link, depth in plan.fifo_depths.items() if link.source == "a"}
    assert len(forked) == 2  # one way around the second convolution
    assert min(forked.values()) >= 3

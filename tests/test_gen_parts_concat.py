"""Concatenations in a core: results, cycles as planned, and what the timing model says of them."""

import numpy as np
import pytest
from amaranth import unsigned
from channelends import sink, source
from hwsim import PAUSES, run_core, run_ports
from inceptionnet import inception
from plancheck import check_plan
from randomnets import random_concat
from residualnet import INT8, RESCALE, UINT8
from tercet.gen.timing.channel import Channel, run
from tercet.gen.timing.processes import Pipeline, take_turns
from tercet.gen.verilog.core import Core
from tercet.hw.concat import Concat
from tercet.model.builder import Builder, Grid, Output, Window
from tercet.model.fuzz.draws import random_images
from tercet.model.layers.weights import Weights
from tercet.model.requant import Requant, Rounding


@pytest.mark.parametrize(("one_grid", "goal"), [(True, 10_000), (True, 1), (False, None)])
def test_branches_meet_in_as_many_cycles_as_planned(one_grid, goal, seed):
    network = inception(np.random.default_rng([seed, one_grid]), one_grid)
    images = 2 if goal == 10_000 else 4
    plan = check_plan(network, goal, np.random.default_rng(seed), images)
    parts = {layer.name: layer.part for layer in plan.layers}
    multipliers = [parts[name].requantizer_multipliers for name in ("branches", "dense")]
    assert multipliers == [0 if one_grid else 1, 1]
    assert parts["branches"].cycles == 3 * 4 * 6
    assert parts["dense"].cycles == 3 * 4 * 11


@pytest.mark.parametrize("case", range(8))
def test_random_concatenations_take_as_many_cycles_as_planned(case, seed):
    rng = np.random.default_rng([seed, case])
    check_plan(random_concat(rng), None, rng, images=12)


def unlike(rng, join):
    """Two ways that meet: one that looks 16 columns ahead, one that is six pipelines long."""
    builder, grid = Builder("net"), Grid(UINT8, 0.02, 10)
    x = builder.input((1, 20, 1), grid)

    def conv(name, x, window):
        weights = Weights(
            rng.integers(-99, 99, (1, 1, 1 + window.dilation[1] // 16, 1)), INT8, (0.01,)
        )
        return builder.conv2d(
            name, x, weights, np.zeros(1, np.int64), Output(grid, RESCALE), window=window
        )

    ahead = conv("ahead", x, Window(padding=(0, 0, 0, 16), dilation=(1, 16)))
    for index in range(6):
        x = conv(f"long{index}", x, Window())
    if join == "add":
        builder.add("join", ahead, x, Output(grid, RESCALE))
    else:
        builder.concat("join", [ahead, x], Output(grid, RESCALE))
    return builder.network()


@pytest.mark.parametrize("join", ["add", "concat"])
def test_ways_that_meet_never_wait_for_each_other(join, seed):
    """At full speed the long way's pipelines hold what its queue must where values come slowly."""
    rng = np.random.default_rng(seed)
    network = unlike(rng, join)
    plan = check_plan(network, None, rng, images=2)
    values = random_images(rng, network.tensors["image"], 1)
    scores = network(values)
    run = run_core(Core(plan=plan), values, scores.size, gap=80)
    assert [value for value, _, _ in run.outputs] == scores.ravel().tolist()
    (depth,) = (plan.fifo_depths[link] for link in plan.fifo_depths if link.source == "long5")
    assert depth == 16


@pytest.mark.parametrize("pauses", PAUSES)
@pytest.mark.parametrize("copies", [True, False])
def test_a_concatenation_takes_the_same_cycles(copies, pauses, seed):
    channels, pixels = (2, 1, 3), 30
    unit = Concat(
        channels=channels,
        requant=None if copies else Requant((1,), 1, Rounding.FLOOR, 0, 255),
        zero_points=(0, 0, 0, 0),
        activations=(unsigned(8),) * 4,
    )
    sent = {f"i_{index}": [[0]] * (count * pixels) for index, count in enumerate(channels)}
    beats = pixels * sum(channels)
    runs = run_ports(unit, sent, {"o": beats}, pauses=pauses, seed=seed)
    inputs, both, o = [Channel() for _ in channels], Channel(), Channel()
    processes = [take_turns(inputs, both, channels, pixels)]
    if copies:
        o = both
    else:
        processes += Pipeline(both, o, Concat.LATENCY, [(beats, 1, 1)]).processes()
    ends = [
        source(i, count * pixels, pauses, seed, index)
        for index, (i, count) in enumerate(zip(inputs, channels, strict=True))
    ]
    ends.append(sink(o, beats, pauses, seed, len(channels)))
    run([*ends, *processes])
    for index, i in enumerate(inputs):
        assert runs[f"i_{index}"].taken == list(i.takes)
    assert runs["o"].given == list(o.takes)

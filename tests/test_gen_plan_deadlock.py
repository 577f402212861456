"""The least depths with which a core cannot stop: with them it runs, whoever pauses; with one entry
less it stops, in the timing model and in hardware."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth.sim import Simulator
from hwsim import PAUSES
from inceptionnet import SAME
from residualnet import INT8, RESCALE, UINT8
from tercet.gen.plan import make_plan
from tercet.gen.plan.deadlock import least_depths
from tercet.gen.plan.schedule import _Core
from tercet.gen.timing.channel import StuckError
from tercet.gen.verilog.core import Core
from tercet.model.builder import Builder, Grid, Output, Window
from tercet.model.fuzz.draws import random_images
from tercet.model.layers.weights import Weights

QUIET = 400  # cycles without a beat, more than any of these cores needs for one
SLOW = 80  # cycles of pause before each value, in which all comes to rest


def around(rng, join, stem, pool):
    """A skip around a 3x3 convolution with padding 1, and with ``pool`` a 3x3 pool behind it."""
    builder, grid = Builder("net"), Grid(UINT8, 0.02, 10)
    height, width = rng.integers((2, 3), (3, 5)).tolist()
    x = builder.input((height, width, int(rng.integers(1, 3))), grid)

    def conv(name, x, channels, size, window):
        values = rng.integers(-99, 99, (channels, size, size, x.shape[2]))
        weights, bias = Weights(values, INT8, (0.01,)), np.zeros(channels, np.int64)
        return builder.conv2d(name, x, weights, bias, Output(grid, RESCALE), window=window)

    if stem:
        x = conv("stem", x, int(rng.integers(1, 4)), 1, Window())
    y = conv("long", x, x.shape[2], 3, SAME)
    if pool:
        y = builder.max_pool2d("pool", y, (3, 3), SAME)
    builder.add("join", x, y, Output(grid, RESCALE)) if join == "add" else builder.concat(
        "join", [x, y], Output(grid, RESCALE)
    )
    return builder.network()


def least_of(plan):
    """The plan with the least depth where ways meet, and the link of the shorter way."""
    parts = [layer.part for layer in plan.layers]
    beats = parts[0].x.shape[0] * parts[0].x.shape[1] * parts[0].x.shape[2]
    least = least_depths(parts, plan.links, beats)
    (skip,) = (link for link in least if link.port == 0)
    plan = with_depth(plan, plan.links.out, parts[-1].results)
    return with_depth(plan, skip, least[skip]), skip


def with_depth(plan, link, depth):
    return replace(plan, fifo_depths={**plan.fifo_depths, link: depth})


def model(plan, images=2, spacing=0):
    parts = [layer.part for layer in plan.layers]
    return _Core(
        parts,
        plan.links,
        plan.argmax,
        plan.fifo_depths,
        plan.verdict_depth,
        images=images,
        spacing=spacing,
    )


def flow(plan, images, rng, pauses=(0.0, 0.0), gap=0):
    """Results that come of the core until nothing moves any more, with random pauses, or ``gap``
    cycles of pause before each value."""
    core, results = Core(plan=plan), []
    values = images.reshape(len(images), -1).tolist()
    sent = [
        (value, index == len(image) - 1) for image in values for index, value in enumerate(image)
    ]

    async def send(ctx):
        for value, last in sent:
            ctx.set(core.s_axis_tvalid, 0)
            idle = gap
            while idle or rng.random() < pauses[0]:
                await ctx.tick()
                idle = max(idle - 1, 0)
            ctx.set(core.s_axis_tdata, value)
            ctx.set(core.s_axis_tlast, last)
            ctx.set(core.s_axis_tvalid, 1)
            ready = 0
            while not ready:
                *_, ready = await ctx.tick().sample(core.s_axis_tready)
        ctx.set(core.s_axis_tvalid, 0)

    async def receive(ctx):
        quiet = 0
        while quiet < QUIET:
            ctx.set(core.m_axis_tready, rng.random() >= pauses[1])
            *_, into, taken, valid, value, ready = await ctx.tick().sample(
                core.s_axis_tvalid,
                core.s_axis_tready,
                core.m_axis_tvalid,
                core.m_axis_tdata,
                core.m_axis_tready,
            )
            results.extend([value] * (valid & ready))
            quiet = 0 if (into & taken) | (valid & ready) else quiet + 1

    simulator = Simulator(core)
    simulator.add_clock(1e-8)
    simulator.add_testbench(send, background=True)
    simulator.add_testbench(receive)
    simulator.run()
    return results


CASES = [
    (join, stem, pool) for join in ("add", "concat") for stem in (False, True) for pool in (0, 1)
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
def test_runs_with_the_least_depth_and_stops_with_one_less(case, seed):
    rng = np.random.default_rng([seed, CASES.index(case)])
    network = around(rng, *case)
    least, skip = least_of(make_plan(network))
    depth = least.fifo_depths[skip]
    assert depth > 3
    images = random_images(rng, network.tensors["image"], 2)
    expected = network(images).ravel().tolist()
    pause = SLOW * images[0].size
    model(least), model(least, spacing=pause)
    assert flow(least, images, rng, gap=SLOW) == expected
    for pauses in PAUSES.values():
        assert flow(least, images, rng, pauses) == expected
    less = with_depth(least, skip, depth - 1)
    with pytest.raises(StuckError):
        model(less, spacing=pause)
    assert len(flow(less, images, rng, gap=SLOW)) < len(expected)

"""A plan held to its core: results, ends of frames, latency, distances between images."""

import numpy as np
from hwsim import run_core
from tercet.gen.plan import make_plan
from tercet.gen.verilog.core import Core
from tercet.model.fuzz.draws import random_images


def check_plan(network, goal, rng, images=5, **options):
    """The core's results are those of the golden model, its cycles those of the plan; returns the
    plan."""
    plan = make_plan(network, goal, **options)
    values = random_images(rng, network.tensors[network.input], images)
    scores = network(values)
    run = run_core(Core(plan=plan), values, scores.size)
    width = 8 * -(-network.tensors[network.output].dtype.bits // 8)
    assert [value for value, *_ in run.outputs] == (
        scores.reshape(-1).astype(np.int64) % (1 << width)
    ).tolist()
    results = scores.shape[1]
    last = [last for _, last, _ in run.outputs]
    assert last == [index % results == results - 1 for index in range(scores.size)]
    if network.layers[-1].kind == "argmax":
        classes = [best for _, last, best in run.outputs if last]
        assert classes == scores.argmax(axis=1).tolist()
    ends = run.given[results - 1 :: results]
    assert ends[0] - run.taken[0] == plan.latency_cycles
    stated = [*plan.first_cycles, *[plan.cycles_per_image] * images][: images - 1]
    assert np.diff(ends).tolist() == stated
    return plan

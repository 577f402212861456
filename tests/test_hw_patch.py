"""The patch engine against the golden convolution, over a table of shapes."""

from __future__ import annotations

import numpy as np
import pytest
from amaranth import unsigned
from hwsim import run_streams
from patchcheck import SHAPES, build, check
from tercet.hw.geometry import PatchGeometry
from tercet.hw.patch import MOST_LATE, PatchEngine, PatchSpec, patch_latency
from tercet.hw.stream import StreamFifo
from tercet.hw.tree import tree_stages
from tercet.model.fuzz.draws import random_images

IN_BLOCKS = {  # their weights
    *("whole_map", "stride_3", "sums_in_blocks", "weights_in_blocks", "weights_folded"),
    "bias_in_blocks",
}

# As above, then pixels and channels at once
AT_ONCE = {
    "part_of_the_channels": ((4, 5, 6), (2, 2), 5, 1, 2, 1, 3),
    "all_channels": ((4, 5, 6), (2, 2), 5, 1, 3, 1, 6),
    "part_of_a_groups_channels": ((4, 5, 8), (2, 2), 6, 2, 3, 1, 2),
    "two_groups": ((4, 5, 8), (2, 2), 8, 4, 2, 1, 4),
    "all_groups": ((4, 4, 6), (2, 2), 6, 3, 2, 1, 6),
    "depthwise_two": ((6, 7, 4), (3, 3), 4, 4, 1, 1, 2),
    "depthwise_row_of_kernel": ((9, 9, 3), (3, 3), 3, 3, 1, 3, 3),
    "row_of_kernel": ((9, 9, 2), (3, 3), 4, 1, 3, 3, 2),
    "part_of_a_kernels_row": ((4, 9, 2), (2, 4), 3, 1, 1, 2, 2),
    "row_of_kernel_tail": ((6, 10, 1), (3, 3), 5, 1, 2, 3, 1),
    "row_of_kernel_longer_tail": ((7, 11, 1), (3, 3), 2, 1, 1, 3, 1),
    "three_patches": ((6, 28, 1), (3, 3), 3, 1, 3, 9, 1),
    "whole_row_with_tail": ((7, 28, 1), (3, 3), 3, 1, 3, 28, 1),
    "whole_row": ((6, 6, 2), (2, 2), 3, 1, 3, 6, 2),
    "pointwise_three_pixels": ((3, 9, 2), (1, 1), 4, 1, 4, 3, 2),
    "whole_map_many_terms": ((5, 5, 4), (5, 5), 6, 1, 2, 5, 4),
    "linear": ((1, 1, 24), (1, 1), 10, 1, 4, 1, 24),
    "depthwise_multiplier_2_cells": ((4, 4, 4), (2, 2), 8, 4, 2, 1, 2),
}


# Without pauses: test_takes_the_cycles_that_the_geometry_says.
@pytest.mark.parametrize("pauses", ["input", "output", "both"])
@pytest.mark.parametrize("name", SHAPES | AT_ONCE)
def test_equals_golden_accumulators(name, pauses, seed):
    rng = np.random.default_rng([seed, *name.encode()])
    engine, conv, x = build(rng, *(SHAPES | AT_ONCE)[name])
    check(engine, conv, x, random_images(rng, x, 2), pauses, seed)


@pytest.mark.parametrize(("pauses", "credits"), [("both", 1), ("output", 3)])
@pytest.mark.parametrize("name", SHAPES | AT_ONCE)
def test_equals_golden_accumulators_with_credits(name, pauses, credits, seed):
    rng = np.random.default_rng([seed, credits, *name.encode()])
    engine, conv, x = build(rng, *(SHAPES | AT_ONCE)[name], credits=credits)
    check(engine, conv, x, random_images(rng, x, 2), pauses, seed)


@pytest.mark.parametrize("dtype", ["int8", "uint4", "int3", "uint12", "int16"])
def test_takes_every_activation_type(dtype, seed):
    rng = np.random.default_rng([seed, *dtype.encode()])
    engine, conv, x = build(rng, *SHAPES["groups_between"], dtype=dtype)
    check(engine, conv, x, random_images(rng, x, 3), "none", seed)


@pytest.mark.parametrize("credits", [0, 17])
@pytest.mark.parametrize("name", ["stride_3", "groups_between_slots", "all_channels", "linear"])
def test_equals_golden_accumulators_without_a_bias(name, credits, seed):
    rng = np.random.default_rng([seed, *name.encode()])
    engine, conv, x = build(rng, *(SHAPES | AT_ONCE)[name], bias=False, credits=credits)
    check(engine, conv, x, random_images(rng, x, 3), "none", seed)


@pytest.mark.parametrize("credits", [0, 17])
@pytest.mark.parametrize("name", SHAPES | AT_ONCE)
def test_takes_the_cycles_that_the_geometry_says(name, credits, seed):
    rng = np.random.default_rng([seed, *name.encode()])
    engine, conv, x = build(rng, *(SHAPES | AT_ONCE)[name], credits=credits)
    run = check(engine, conv, x, random_images(rng, x, 3), "none", seed)
    g = engine.spec.geometry
    assert run.taken[2 * g.beats - 1] - run.taken[g.beats - 1] == g.cycles
    first_patch = ((g.kernel[0] - 1) * g.row_beats + g.kx_steps - 1) * g.pixel_steps
    completing = run.taken[first_patch + g.channel_steps - 1]
    assert run.given[0] == completing - (g.slots - 1) + engine.spec.latency
    queue = 1 + StreamFifo.LATENCY + (g.terms > 1) if credits else 0
    late = (name in IN_BLOCKS) + (name == "weights_folded")
    assert engine.spec.latency == 4 + late + tree_stages(g.terms) + queue


@pytest.mark.parametrize("credits", [0, 1, 17])
@pytest.mark.parametrize("reset_after", [3, 14, 33, 40])
@pytest.mark.parametrize("name", ["pointwise", "tail_both"])
def test_forgets_at_reset(name, reset_after, credits, seed):
    rng = np.random.default_rng([seed, reset_after, *name.encode()])
    engine, conv, x = build(rng, *SHAPES[name], credits=credits)
    check(engine, conv, x, random_images(rng, x, 2), "both", seed, reset_after)


@pytest.mark.parametrize("terms", [1, 2, 25])
def test_one_credit_is_soon_there_again(terms, seed):
    rng = np.random.default_rng(seed)
    shape = (1, 1, 20 * terms), (1, 1), 3, 1, 3, 1, terms
    engine, conv, x = build(rng, *shape, credits=1)
    g = engine.spec.geometry
    assert engine.spec.latency <= patch_latency(g, MOST_LATE, 1) < g.beats
    run = check(engine, conv, x, random_images(rng, x, 3), "none", seed)
    assert run.taken == list(range(3 * g.beats))


@pytest.mark.parametrize("credits", [0, 3])
def test_a_folded_bias_is_there_in_time(credits, seed):
    rng = np.random.default_rng(seed)
    outputs = 2100
    bias = rng.integers(-(1 << 17), 1 << 17, outputs)
    engine = PatchEngine(
        PatchSpec(
            geometry=PatchGeometry(
                height=1, width=2, in_channels=1, kernel=(1, 1), out_channels=outputs
            ),
            activation=unsigned(8),
            zero_point=0,
            weights=np.ones((outputs, 1, 1, 1), np.int64),  # a constant, at hand at once
            bias=bias,
            accumulator_width=19,
            credits=credits,
        )
    )
    run = run_streams(engine, [[3], [200]], 2 * outputs)
    assert [sums[0] for sums in run.outputs] == [*(bias + 3), *(bias + 200)]


def test_refuses_weights_of_another_shape():
    geometry = PatchGeometry(height=2, width=2, in_channels=1, kernel=(2, 2), out_channels=3)
    with pytest.raises(
        ValueError, match=r"^Weights must have the shape \(3, 2, 2, 1\), not \(3, 2, 2, 2\)$"
    ):
        PatchEngine(
            PatchSpec(
                geometry=geometry,
                activation=unsigned(8),
                zero_point=0,
                weights=np.zeros((3, 2, 2, 2), dtype=np.int64),
                bias=[0, 0, 0],
                accumulator_width=20,
            )
        )

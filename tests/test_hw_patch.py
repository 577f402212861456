"""The patch engine against the golden convolution, over a table of shapes."""

from __future__ import annotations

import numpy as np
import pytest
from amaranth import signed, unsigned
from hwsim import PAUSES, run_streams
from tercet.hw.geometry import PatchGeometry
from tercet.hw.patch import PatchEngine
from tercet.model.conv import accumulate
from tercet.model.dtypes import IntType, signed_width
from tercet.model.fuzz.convs import random_conv
from tercet.model.fuzz.draws import random_images, random_tensor
from tercet.model.layout import per_slot
from tercet.model.ranges import accumulator_bounds

# (height, width, channels), kernel, output channels, groups, lanes
SHAPES = {
    "one_row": ((1, 8, 2), (1, 4), 3, 1, 1),
    "one_column": ((8, 1, 2), (2, 1), 2, 1, 2),
    "one_pixel": ((1, 1, 5), (1, 1), 4, 1, 2),
    "one_channel_one_output": ((6, 6, 1), (3, 3), 1, 1, 1),
    "whole_map": ((3, 3, 4), (3, 3), 10, 1, 1),
    "whole_map_all_lanes": ((2, 3, 2), (2, 3), 4, 1, 4),
    "non_square": ((4, 9, 2), (2, 3), 4, 1, 2),
    "tail_right": ((4, 7, 1), (2, 2), 2, 1, 1),
    "tail_below": ((7, 4, 1), (2, 2), 2, 1, 1),
    "tail_both": ((8, 11, 2), (3, 4), 3, 1, 3),
    "stride_2": ((6, 6, 3), (2, 2), 5, 1, 1),
    "stride_3": ((9, 9, 3), (3, 3), 6, 1, 2),
    "stride_4": ((9, 9, 1), (4, 4), 3, 1, 3),
    "stride_5": ((10, 11, 2), (5, 5), 2, 1, 1),
    "lanes_do_not_divide": ((4, 4, 2), (2, 2), 5, 1, 2),
    "lanes_do_not_divide_many": ((4, 4, 2), (2, 2), 7, 1, 4),
    "kernel_of_one_row": ((3, 7, 4), (1, 3), 6, 2, 2),
    "kernel_of_one_row_one_sum": ((2, 6, 1), (1, 2), 3, 1, 3),
    "pointwise": ((3, 3, 4), (1, 1), 6, 1, 1),
    "pointwise_one_output": ((3, 3, 4), (1, 1), 1, 1, 1),
    "depthwise": ((6, 7, 3), (3, 3), 3, 3, 1),
    "depthwise_multiplier_2": ((4, 4, 3), (2, 2), 6, 3, 1),
    "depthwise_multiplier_2_lanes": ((4, 4, 3), (2, 2), 6, 3, 2),
    "groups_between": ((4, 5, 4), (2, 2), 6, 2, 1),
    "groups_between_slots": ((5, 4, 6), (2, 2), 6, 2, 2),
    # partial sums whose memory would be too late, and some that just are not
    "two_in_turn": ((4, 4, 2), (2, 2), 2, 1, 1),
    "three_in_turn": ((4, 4, 2), (2, 2), 3, 1, 1),
    "two_groups_in_turn": ((4, 4, 2), (2, 2), 2, 2, 1),
    "two_columns_in_turn": ((6, 2, 1), (2, 1), 1, 1, 1),
    "three_columns_in_turn": ((4, 3, 1), (2, 1), 1, 1, 1),
    "sums_in_blocks": ((2, 2, 2), (2, 2), 60, 1, 1),
    "sums_in_blocks_soon_used_again": ((4, 68, 4), (2, 2), 2, 2, 1),
}


def build(rng, shape, kernel, out_channels, groups, lanes, *, dtype="uint8", bias=True):
    """An engine and its layer; the accumulator is exactly as wide as the bounds say."""
    x = random_tensor(rng, "x", shape, IntType.parse(dtype))
    conv, _ = random_conv(
        rng, x, out_channels=out_channels, kernel=kernel, groups=groups, bias=bias, symmetric=False
    )
    lo, hi = accumulator_bounds(conv, x.dtype.qmin, x.dtype.qmax, x.zero_point)
    engine = PatchEngine(
        geometry=PatchGeometry(
            height=shape[0],
            width=shape[1],
            in_channels=shape[2],
            kernel=kernel,
            out_channels=out_channels,
            groups=groups,
            lanes=lanes,
        ),
        activation=signed(x.dtype.bits) if x.dtype.signed else unsigned(x.dtype.bits),
        zero_point=x.zero_point,
        weights=conv.weights.centered,
        bias=conv.bias,
        accumulator_width=signed_width(int(lo.min()), int(hi.max())),
    )
    return engine, conv, x


def expected_beats(acc, groups, lanes):
    """Golden sums (N, OH, OW, OC) as the engine's beats, lists of P."""
    positions = acc.reshape(-1, acc.shape[3]).T  # (OC, positions)
    arranged = per_slot(positions, groups, lanes)  # (groups, slots, lanes, positions)
    return arranged.transpose(3, 0, 1, 2).reshape(-1, lanes).tolist()


def check(engine, conv, x, images, pauses, seed):
    beats = expected_beats(
        accumulate(images, conv, x.zero_point), conv.groups, engine.geometry.lanes
    )
    sent = [[int(value)] for value in images.reshape(-1)]
    run = run_streams(engine, sent, len(beats), pauses=pauses, seed=seed)
    assert [list(payload) for payload in run.outputs] == beats
    return run


@pytest.mark.parametrize("pauses", PAUSES)
@pytest.mark.parametrize("name", SHAPES)
def test_equals_golden_accumulators(name, pauses, seed):
    rng = np.random.default_rng([seed, *name.encode()])
    engine, conv, x = build(rng, *SHAPES[name])
    check(engine, conv, x, random_images(rng, x, 3), pauses, seed)


@pytest.mark.parametrize("dtype", ["int8", "uint4", "int3", "uint12", "int16"])
def test_takes_every_activation_type(dtype, seed):
    rng = np.random.default_rng([seed, *dtype.encode()])
    engine, conv, x = build(rng, *SHAPES["groups_between"], dtype=dtype)
    check(engine, conv, x, random_images(rng, x, 3), "none", seed)


@pytest.mark.parametrize("name", SHAPES)
def test_takes_the_cycles_that_the_geometry_says(name, seed):
    rng = np.random.default_rng([seed, *name.encode()])
    engine, conv, x = build(rng, *SHAPES[name], bias=False)
    run = check(engine, conv, x, random_images(rng, x, 3), "none", seed)
    g = engine.geometry
    values = g.height * g.width * g.in_channels
    assert run.taken[2 * values - 1] - run.taken[values - 1] == g.busy_cycles
    first_patch = ((g.kernel[0] - 1) * g.width + g.kernel[1] - 1) * g.in_channels
    completing = run.taken[first_patch + g.channels_per_group - 1]
    assert run.given[0] == completing - (g.slots - 1) + PatchEngine.LATENCY


def test_refuses_weights_of_another_shape():
    geometry = PatchGeometry(height=2, width=2, in_channels=1, kernel=(2, 2), out_channels=3)
    with pytest.raises(
        ValueError, match=r"^Weights must have the shape \(3, 2, 2, 1\), not \(3, 2, 2, 2\)$"
    ):
        PatchEngine(
            geometry=geometry,
            activation=unsigned(8),
            zero_point=0,
            weights=np.zeros((3, 2, 2, 2), dtype=np.int64),
            bias=[0, 0, 0],
            accumulator_width=20,
        )

"""The patch engine held to the golden convolution, over a table of shapes."""

from __future__ import annotations

from amaranth import signed, unsigned
from hwsim import run_streams
from tercet.hw.geometry import PatchGeometry
from tercet.hw.patch import PatchEngine, PatchSpec
from tercet.model.dtypes import IntType, signed_width
from tercet.model.fuzz.convs import random_conv
from tercet.model.fuzz.draws import random_tensor
from tercet.model.golden.fastconv import accumulate
from tercet.model.layout import as_beats, per_slot

# (height, width, channels), kernel, output channels, groups, P
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
    "weights_in_blocks": ((6, 6, 4), (3, 3), 8, 1, 2),
    "weights_folded": ((1, 1, 700), (1, 1), 5, 1, 2),
    "bias_in_blocks": ((2, 4, 2), (2, 2), 140, 2, 1),
    "sums_in_blocks_soon_used_again": ((4, 68, 4), (2, 2), 2, 2, 1),
}


def build(
    rng,
    shape,
    kernel,
    out_channels,
    groups,
    pe,
    pixels=1,
    channels=1,
    *,
    dtype="uint8",
    bias=True,
    credits=0,
):
    """An engine and its layer; the accumulator is exactly as wide as the bounds say."""
    x = random_tensor(rng, "x", shape, IntType.parse(dtype))
    conv, _ = random_conv(
        rng, x, out_channels=out_channels, kernel=kernel, groups=groups, bias=bias, symmetric=False
    )
    lo, hi = conv.sums_within(x.dtype.qmin, x.dtype.qmax, x.zero_point)
    engine = PatchEngine(
        PatchSpec(
            geometry=PatchGeometry(
                height=shape[0],
                width=shape[1],
                in_channels=shape[2],
                kernel=kernel,
                out_channels=out_channels,
                groups=groups,
                pe=pe,
                pixels=pixels,
                channels_at_once=channels,
            ),
            activation=signed(x.dtype.bits) if x.dtype.signed else unsigned(x.dtype.bits),
            zero_point=x.zero_point,
            weights=conv.weights.centered,
            bias=conv.bias,
            accumulator_width=signed_width(int(lo.min()), int(hi.max())),
            credits=credits,
        )
    )
    return engine, conv, x


def expected_beats(acc, geometry):
    """Golden sums (N, OH, OW, OC) as the engine's beats, lists of P for each cell."""
    if geometry.cells > 1:
        return acc.reshape(-1, geometry.sums).tolist()
    positions = acc.reshape(-1, acc.shape[3]).T  # (OC, positions)
    arranged = per_slot(positions, geometry.groups, geometry.pe)
    return arranged.transpose(3, 0, 1, 2).reshape(-1, geometry.pe).tolist()


def check(engine, conv, x, images, pauses, seed, reset_after=0):
    g = engine.spec.geometry
    beats = expected_beats(accumulate(images, conv, x.zero_point), g)
    sent = as_beats(images, g.pixels * g.channels_at_once, fill=x.dtype.qmax)
    sent = sent.reshape(-1, sent.shape[2]).tolist()
    run = run_streams(engine, sent, len(beats), pauses=pauses, seed=seed, reset_after=reset_after)
    assert [list(payload) for payload in run.outputs] == beats
    return run

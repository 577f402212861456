"""The fast convolution against the plain loops, and both against PyTorch."""

from dataclasses import replace

import numpy as np
import pytest
from tercet.model.dtypes import IntType
from tercet.model.fuzz.convs import random_conv, random_window
from tercet.model.fuzz.draws import INT8, UINT8, random_images, random_tensor
from tercet.model.golden.fastconv import FLOAT32_EXACT, accumulate
from tercet.model.layers.conv import accumulate_loop
from tercet.model.layers.weights import Weights
from tercet.model.layers.windows import output_extents

UINT16 = IntType(16, signed=False)
INT4 = IntType(4, signed=True)

# name: (shape of the input, arguments of random_conv)
SHAPES = {
    "plain-first": ((28, 28, 1), {"kernel": (3, 3), "out_channels": 3}),
    "stride-equals-kernel-with-tail": ((8, 11, 2), {"kernel": (3, 3), "groups": 1}),
    "stride-above-kernel": ((11, 9, 2), {"kernel": (2, 2), "stride": (3, 4), "groups": 1}),
    "stride-below-kernel": ((9, 8, 2), {"kernel": (3, 4), "stride": (1, 2), "groups": 1}),
    "stride-per-axis": ((10, 10, 1), {"kernel": (3, 2), "stride": (1, 5)}),
    "pointwise": ((4, 5, 6), {"kernel": (1, 1), "groups": 1, "out_channels": 4}),
    "pointwise-stride-2": ((5, 4, 3), {"kernel": (1, 1), "stride": (2, 2), "groups": 1}),
    "whole-map": ((4, 3, 5), {"kernel": (4, 3), "groups": 1, "out_channels": 10}),
    "one-pixel": ((1, 1, 4), {"kernel": (1, 1), "groups": 1}),
    "one-row": ((1, 12, 3), {"kernel": (1, 4), "stride": (1, 3), "groups": 1}),
    "one-column": ((12, 1, 3), {"kernel": (3, 1), "groups": 1}),
    "one-channel": ((6, 6, 1), {"kernel": (2, 3), "out_channels": 1}),
    "five-by-five-pad-2": ((7, 7, 1), {"kernel": (5, 5), "stride": (1, 1), "padding": (2,) * 4}),
    "padding-per-side": (
        (5, 6, 2),
        {"kernel": (3, 3), "stride": (2, 2), "padding": (1, 0, 2, 3), "groups": 1},
    ),
    "padding-beyond-the-kernel": ((3, 3, 1), {"kernel": (2, 2), "padding": (3, 4, 0, 2)}),
    "kernel-beyond-the-map": ((2, 2, 2), {"kernel": (5, 5), "padding": (2,) * 4, "groups": 1}),
    "dilation": ((9, 10, 2), {"kernel": (3, 3), "stride": (1, 1), "dilation": (2, 3), "groups": 1}),
    "dilation-pad-stride": (
        (9, 9, 2),
        {"kernel": (3, 2), "stride": (2, 3), "dilation": (3, 2), "padding": (1, 2, 3, 0)},
    ),
    "depthwise": ((9, 9, 4), {"kernel": (3, 3), "groups": 4, "out_channels": 4}),
    "depthwise-multiplier-2": ((6, 6, 3), {"kernel": (3, 3), "groups": 3, "out_channels": 6}),
    "groups-between": ((6, 6, 6), {"kernel": (3, 3), "groups": 2, "out_channels": 8}),
    "groups-20": ((3, 3, 20), {"kernel": (3, 3), "groups": 20, "out_channels": 20}),
}
# name: (input type, its zero point, arguments of random_conv)
NUMBERS = {
    "uint8": (UINT8, 0, {}),
    "zero-point": (UINT8, 131, {"bias": True}),
    "signed": (INT8, -7, {}),
    "asymmetric-weights": (UINT8, 255, {"symmetric": False, "per_channel": False}),
    "asymmetric-per-channel": (
        INT8,
        127,
        {"symmetric": False, "per_channel": True, "weight_type": UINT8, "bias": True},
    ),
    "int4": (INT4, -8, {"weight_type": IntType(2, signed=True)}),
    "float64": (UINT16, 40_000, {"symmetric": False, "bias": True}),
}


def draw(seed, shape, arguments, dtype, zero_point, numbers):
    rng = np.random.default_rng(seed)
    x = random_tensor(rng, "x", shape, dtype, zero_point)
    conv, _ = random_conv(rng, x, **arguments, **numbers)
    return random_images(rng, x, 3), conv


@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_fast_form_equals_the_loops(seed, shape, numbers):
    images, conv = draw(seed, *SHAPES[shape], *NUMBERS[numbers])
    zero_point = NUMBERS[numbers][1]
    fast = accumulate(images, conv, zero_point)
    assert fast.dtype == np.int64
    assert np.array_equal(fast, [accumulate_loop(x, conv, zero_point) for x in images])


@pytest.mark.parametrize("case", range(40))
def test_the_fast_form_equals_the_loops_for_any_window(seed, case):
    rng = np.random.default_rng([seed, case])
    height, width, channels = (int(n) for n in rng.integers(1, 9, 3))
    x = random_tensor(rng, "x", (height, width, channels))
    conv, y = random_conv(rng, x, **random_window(rng, height, width), symmetric=False, bias=True)
    images = random_images(rng, x, 2)
    fast = accumulate(images, conv, x.zero_point)
    assert fast.shape == (2, *y.shape)
    assert np.array_equal(fast, [accumulate_loop(image, conv, x.zero_point) for image in images])


@pytest.mark.torch
@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_fast_form_equals_pytorch(seed, shape, numbers):
    torch = pytest.importorskip("torch")
    images, conv = draw(seed, *SHAPES[shape], *NUMBERS[numbers])
    zero_point = NUMBERS[numbers][1]
    top, left, bottom, right = conv.padding
    weight_zero_points = np.resize(conv.weights.zero_points, conv.out_channels)
    centered = torch.tensor(images.astype(np.float64) - zero_point).permute(0, 3, 1, 2)
    weights = conv.weights.values - weight_zero_points.reshape(-1, 1, 1, 1)
    acc = torch.nn.functional.conv2d(  # exact: every sum is far below 2**53
        torch.nn.functional.pad(centered, (left, right, top, bottom)),
        torch.tensor(weights.astype(np.float64)).permute(0, 3, 1, 2),
        torch.tensor(conv.bias.astype(np.float64)),
        stride=conv.stride,
        dilation=conv.dilation,
        groups=conv.groups,
    )
    expected = acc.permute(0, 2, 3, 1).numpy().astype(np.int64)
    assert np.array_equal(accumulate(images, conv, zero_point), expected)


def test_a_convolution_by_hand(seed):
    x = random_tensor(np.random.default_rng(seed), "x", (2, 3, 1), UINT8, zero_point=10)
    conv, _ = random_conv(
        np.random.default_rng(seed), x, kernel=(2, 2), stride=(1, 1), out_channels=1
    )
    weights = Weights(np.array([[[[1], [2]], [[3], [-4]]]]), INT8, (1.0,), (1,))
    conv = replace(conv, weights=weights, bias=np.array([100]), padding=(0, 1, 0, 0))
    image = np.array([[[11], [12], [13]], [[14], [15], [16]]], dtype=np.uint8)
    # centered: image 1 2 3 / 4 5 6 behind a column of zeros, weights 0 1 / 2 -5
    expected = [[[100 + 1 - 20], [100 + 2 + 8 - 25], [100 + 3 + 10 - 30]]]
    assert accumulate_loop(image, conv, 10).tolist() == expected
    assert accumulate(image[np.newaxis], conv, 10).tolist() == [expected]


@pytest.mark.parametrize("last", [65280, 65281])
def test_sums_at_the_end_of_float32_are_exact(seed, last):
    # 257 * 65281 = 2**24 + 1: the first integer that float32 cannot hold
    x = random_tensor(np.random.default_rng(seed), "x", (1, 1, 257), UINT16, zero_point=0)
    conv, _ = random_conv(np.random.default_rng(seed), x, groups=1, out_channels=1)
    ones = Weights(np.ones((1, 1, 1, 257), dtype=np.int64), INT8, (1.0,))
    conv = replace(conv, weights=ones, bias=np.array([0]))
    image = np.full((1, 1, 1, 257), 65281, dtype=np.uint16)
    image[0, 0, 0, -1] = last
    assert accumulate(image, conv, 0).tolist() == [[[[FLOAT32_EXACT + 1 + last - 65281]]]]


def test_the_bound_on_float32_counts_magnitudes_not_sums(seed):
    # the signs cancel in the result; on the way partial sums pass 2**24
    rng = np.random.default_rng(seed)
    x = random_tensor(rng, "x", (1, 1, 600), UINT16, zero_point=0)
    conv, _ = random_conv(rng, x, groups=1, out_channels=1)
    signs = np.repeat([1, -1], 300).reshape(1, 1, 1, 600)
    conv = replace(conv, weights=Weights(signs, INT8, (1.0,)), bias=np.array([0]))
    image = rng.integers(60_000, 65_535, (1, 1, 1, 600)).astype(np.uint16)
    expected = int((image.astype(np.int64) * signs).sum())
    assert accumulate(image, conv, 0).tolist() == [[[[expected]]]]


@pytest.mark.parametrize(("sign", "acc"), [(1, 1 << 31), (-1, -(1 << 31) - 1)])
def test_the_loops_refuse_a_sum_outside_int32(seed, sign, acc):
    x = random_tensor(np.random.default_rng(seed), "x", (1, 1, 1), UINT8, zero_point=0)
    conv, _ = random_conv(np.random.default_rng(seed), x, out_channels=1)
    weights = Weights(np.full((1, 1, 1, 1), sign), INT8, (1.0,))
    conv = replace(conv, weights=weights, bias=np.array([acc - 5 * sign]))
    image = np.full((1, 1, 1), 5, dtype=np.uint8)
    with pytest.raises(OverflowError) as caught:
        accumulate_loop(image, conv, 0)
    assert str(caught.value) == f"Layer 'conv': accumulator {acc} leaves int32"
    image -= 1
    assert accumulate_loop(image, conv, 0).tolist() == [[[acc - sign]]]


def test_no_images_give_no_sums(seed):
    images, conv = draw(seed, *SHAPES["plain-first"], *NUMBERS["uint8"])
    assert accumulate(images[:0], conv, 0).shape == (0, 9, 9, 3)


@pytest.mark.parametrize("size", range(1, 9))
@pytest.mark.parametrize("kernel", range(1, 5))
@pytest.mark.parametrize("stride", range(1, 5))
def test_the_extent_counts_the_windows_that_fit(size, kernel, stride):
    for pads in ((0, 0), (1, 0), (0, 2), (2, 2)):
        for dilation in (1, 2, 3):
            span = dilation * (kernel - 1) + 1
            starts = range(0, size + sum(pads) - span + 1, stride)
            extents = output_extents(
                (size, 9), (kernel, 1), (stride, 1), (pads[0], 0, pads[1], 0), (dilation, 1)
            )
            assert max(extents[0], 0) == len(starts)
            assert extents[1] == 9

"""Accumulator bounds by brute force: attained, and exceeded by nothing, partial sums included."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from anylayers import any_layers
from randomnets import random_network
from tercet.model.dtypes import IntType
from tercet.model.fuzz.convs import network_of, random_conv
from tercet.model.fuzz.draws import random_images, random_tensor
from tercet.model.golden.fastconv import accumulate
from tercet.model.layers import Argmax, Relu, Tensor

UINT2 = IntType(2, signed=False)
INT2 = IntType(2, signed=True)
INT3 = IntType(3, signed=True)


def one_window(rng, dtype, zero_point, taps=6):
    """A convolution of one window of ``taps`` activations."""
    x = random_tensor(rng, "x", (1, 1, taps), dtype, zero_point)
    conv, _ = random_conv(
        rng, x, kernel=(1, 1), groups=1, out_channels=3, symmetric=False, bias=True
    )
    return conv


def every_input(low, high, taps=6):
    """All images of one window: (N, 1, 1, taps)."""
    values = list(product(range(low, high + 1), repeat=taps))
    return np.array(values, dtype=np.int16).reshape(-1, 1, 1, taps)


@pytest.mark.parametrize("case", range(10))
@pytest.mark.parametrize(("dtype", "zero_point"), [(UINT2, 0), (UINT2, 2), (INT2, -2), (INT2, 1)])
def test_bounds_are_attained_and_never_exceeded(seed, case, dtype, zero_point):
    conv = one_window(np.random.default_rng([seed, case]), dtype, zero_point)
    acc = accumulate(every_input(dtype.qmin, dtype.qmax), conv, zero_point).reshape(-1, 3)
    lo, hi = conv.sums_within(dtype.qmin, dtype.qmax, zero_point)
    assert lo.tolist() == acc.min(axis=0).tolist()
    assert hi.tolist() == acc.max(axis=0).tolist()


@pytest.mark.parametrize("case", range(10))
@pytest.mark.parametrize("clamp", [(-1, 1), (0, 2), (1, 3), (-4, -2)])
def test_a_clamped_input_narrows_the_bounds_and_zero_always_counts(seed, case, clamp):
    # outside the clamp the zero point still comes in as padding
    conv = one_window(np.random.default_rng([seed, case]), INT3, zero_point=0)
    inputs = every_input(min(clamp[0], 0), max(clamp[1], 0))
    reachable = [v == 0 or clamp[0] <= v <= clamp[1] for v in range(-4, 4)]
    inputs = inputs[np.array(reachable)[inputs + 4].all(axis=(1, 2, 3))]
    acc = accumulate(inputs, conv, 0).reshape(-1, 3)
    lo, hi = conv.sums_within(*clamp, zero_point=0)
    assert lo.tolist() == acc.min(axis=0).tolist()
    assert hi.tolist() == acc.max(axis=0).tolist()


@pytest.mark.parametrize("case", range(10))
def test_partial_sums_that_begin_with_the_bias_stay_inside_in_any_order(seed, case):
    rng = np.random.default_rng([seed, case])
    conv = one_window(rng, UINT2, zero_point=1)
    lo, hi = conv.sums_within(0, 3, 1)
    products = (every_input(0, 3).reshape(-1, 1, 6) - 1) * conv.weights.centered.reshape(1, 3, 6)
    for _ in range(5):
        shuffled = products[..., rng.permutation(6)]
        partial = conv.bias[:, None] + shuffled.cumsum(axis=2)
        assert (partial >= lo[:, None]).all()
        assert (partial <= hi[:, None]).all()


@pytest.mark.parametrize("case", range(10))
@pytest.mark.parametrize("windows", [False, True])
def test_no_layer_of_a_network_leaves_its_bounds(seed, case, windows):
    rng = np.random.default_rng([seed, case])
    net = random_network(rng, windows=windows, symmetric=False, bias=True)
    values = net.trace(random_images(rng, net.tensors[net.input], 4))
    for layer in any_layers(net):
        x = values[layer.input]
        low, high = net.value_range(layer.input)
        assert low <= x.min()
        assert x.max() <= high
        if layer.kind == "conv2d":
            acc = accumulate(x, layer, net.tensors[layer.input].zero_point)
            lo, hi = layer.sum_bounds(net)
            assert (acc >= lo).all()
            assert (acc <= hi).all()


def test_the_extreme_inputs_reach_both_bounds(seed):
    # a fused ReLU makes the second layer's activations 9 to 200
    rng = np.random.default_rng(seed)
    x = random_tensor(rng, "x", (2, 2, 2))
    first, middle = random_conv(rng, x, name="first", kernel=(1, 1), groups=1, out_channels=2)
    middle = replace(middle, zero_point=9)
    first = replace(first, requant=replace(first.requant, low=9, high=200))
    second, y = random_conv(rng, middle, name="second", kernel=(2, 2), groups=1, out_channels=3)
    net = network_of(x, [first, second], [middle, y])
    assert net.value_range("x") == (0, 255)
    assert net.value_range(middle.name) == (9, 200)
    lo, hi = second.sum_bounds(net)
    for channel in range(3):
        weights = second.weights.centered[channel]
        most = np.where(weights > 0, 200, 9)[np.newaxis]
        least = np.where(weights > 0, 9, 200)[np.newaxis]
        assert accumulate(most, second, 9)[0, 0, 0, channel] == hi[channel]
        assert accumulate(least, second, 9)[0, 0, 0, channel] == lo[channel]


def test_a_class_is_below_the_number_of_classes(seed):
    rng = np.random.default_rng(seed)
    x = random_tensor(rng, "x", (1, 1, 4))
    conv, y = random_conv(rng, x, out_channels=5, groups=1)
    classes = Tensor("class", (1, 1, 1), IntType(3, signed=False), 1.0, 0)
    net = network_of(x, [conv, Argmax("argmax", y.name, "class")], [y, classes])
    assert net.value_range("class") == (0, 4)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(30, 200, (200, 200)), (0, 220, (201, 220)), (250, 255, (250, 250))],
)
def test_a_relu_clamps_both_ends_of_its_range(seed, low, high, expected):
    # the clamp may lie below or above all that comes in; then its end is what comes out
    rng = np.random.default_rng(seed)
    x = random_tensor(rng, "x", (2, 2, 1))
    conv, middle = random_conv(rng, x, kernel=(1, 1), groups=1)
    conv = replace(conv, requant=replace(conv.requant, low=201, high=240))
    relu = Relu("relu", middle.name, "y", low=low, high=high)
    net = network_of(x, [conv, relu], [middle, replace(middle, name="y")])
    assert net.value_range("y") == expected
    values = net.trace(random_images(rng, x, 9))["y"]
    assert expected[0] <= values.min() <= values.max() <= expected[1]

"""Value ranges channel by channel: attained where inputs are free, and exceeded by nothing."""

from itertools import product

import numpy as np
import pytest
from channelranges import channel_ranges
from randomnets import random_network
from residualnet import residual
from tercet.model.dtypes import IntType
from tercet.model.fuzz.convs import network_of, random_conv
from tercet.model.fuzz.draws import random_images, random_tensor
from tercet.model.golden.fastconv import accumulate
from tercet.model.layers import Flatten, Tensor
from tercet.model.layers.conv import Conv2d
from tercet.model.layers.pool import AvgPool2d
from tercet.model.layers.weights import Weights
from tercet.model.requant import Requant, Rounding, requantize


@pytest.mark.parametrize("case", range(10))
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_every_channel_of_the_input_counts_with_its_own_ends(seed, case, groups):
    rng = np.random.default_rng([seed, case, groups])
    x = random_tensor(rng, "x", (1, 1, 4), IntType(4, signed=True), zero_point=0)
    arguments = {"kernel": (1, 1), "groups": groups, "out_channels": 8, "symmetric": False}
    conv, y = random_conv(rng, x, bias=True, **arguments)
    low, high = -rng.integers(0, 3, 4), rng.integers(0, 3, 4)
    ends = [range(a, b + 1) for a, b in zip(low, high, strict=True)]
    images = np.array(list(product(*ends))).reshape(-1, 1, 1, 4)
    acc = accumulate(images, conv, 0).reshape(-1, 8)
    lo, hi = conv.sums_within(low, high, 0)
    assert (lo.tolist(), hi.tolist()) == (acc.min(axis=0).tolist(), acc.max(axis=0).tolist())
    outputs = requantize(acc, conv.requant, y.zero_point)
    found = conv.channel_bounds([(low, high)], (0, y.zero_point))
    assert found[0].tolist() == outputs.min(axis=0).tolist()
    assert found[1].tolist() == outputs.max(axis=0).tolist()


@pytest.mark.parametrize("padding", [0, 1])
def test_a_pool_adds_zeros_where_it_is_padded(padding):
    requant = Requant((1,), 2, Rounding.HALF_EVEN, -128, 127)
    pool = AvgPool2d(
        name="pool", input="x", output="y", kernel=(2, 2), stride=(2, 2), padding=(padding,) * 4,
        requant=requant,
    )  # fmt: skip
    low, high = pool.channel_bounds([(np.array([10, -7]), np.array([20, -5]))], (3, 1))
    assert low.tolist() == [1 if padding else 8, -9]
    assert high.tolist() == [18, 1 if padding else -7]


def networks(seed):
    for case in range(12):
        rng = np.random.default_rng([seed, case])
        yield random_network(rng, windows=bool(case % 2), symmetric=False, bias=True), rng
        yield residual(rng), rng


def test_no_value_leaves_its_channels_range_and_no_range_that_of_its_tensor(seed):
    tighter = 0
    for net, rng in networks(seed):
        images = random_images(rng, net.tensors[net.input], 5)
        ranges = channel_ranges(net)
        for name, values in net.trace(images).items():
            low, high = ranges[name]
            assert low.shape == high.shape == (net.tensors[name].shape[2],)
            assert (values >= low).all()
            assert (values <= high).all()
            least, greatest = net.value_range(name)
            assert least <= low.min()
            assert high.max() <= greatest
            tighter += low.min() > least or high.max() < greatest
    assert tighter > 0


def test_a_flattening_keeps_the_order_of_the_channels():
    x = Tensor("x", (1, 2, 1), IntType(8, signed=False), 1.0, 0)
    y = Tensor("y", (1, 2, 2), IntType(12, signed=False), 1.0, 0)
    flat = Tensor("flat", (1, 1, 4), y.dtype, 1.0, 0)
    weights = Weights(np.array([1, 3]).reshape(2, 1, 1, 1), IntType(8, signed=True), (1.0,))
    requant = Requant((1,), 0, Rounding.FLOOR, 0, 4095)
    conv = Conv2d("conv", "x", "y", weights, np.array([2, 0]), requant=requant)
    ranges = channel_ranges(network_of(x, [conv, Flatten("flat", "y", "flat")], [y, flat]))
    assert ranges["flat"][0].tolist() == [2, 0, 2, 0]
    assert ranges["flat"][1].tolist() == [257, 765, 257, 765]

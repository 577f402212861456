"""Ranges through linear layers in a row: attained or nearly, and exceeded by nothing."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from tercet.model.dtypes import IntType
from tercet.model.frontends.scale_shift.affine import Affine
from tercet.model.fuzz.convs import random_conv
from tercet.model.fuzz.draws import random_tensor
from tercet.model.golden.fastconv import accumulate
from tercet.model.layers.conv import Conv2d
from tercet.model.layers.weights import Weights
from tercet.model.requant import Requant, Rounding, requantize

INT8 = IntType(8, signed=True)
RULES = [rule for rule in Rounding if rule is not Rounding.FLOAT32]


def layer(rng, rule, channels, inputs, shift=4):
    """A 1x1 convolution whose clamp never acts."""
    weights = Weights(rng.integers(-9, 10, (channels, 1, 1, inputs)), INT8, (1.0,))
    multipliers = tuple(rng.integers(1, 40, channels).tolist())
    offsets = tuple(rng.integers(-30, 30, channels).tolist())
    requant = Requant(multipliers, shift, rule, -(1 << 40), 1 << 40, offsets=offsets)
    return Conv2d("conv", "x", "y", weights, rng.integers(-20, 20, channels), requant=requant)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("case", range(5))
def test_three_layers_stay_inside_and_come_near(seed, case, rule):
    rng = np.random.default_rng([seed, case])
    layers = [layer(rng, rule, 4, 3), layer(rng, rule, 5, 4), layer(rng, rule, 3, 5)]
    low, high = np.array([-2, 0, 1]), np.array([3, 4, 1])
    ends = [range(a, b + 1) for a, b in zip(low, high, strict=True)]
    x = np.array(list(product(*ends))).reshape(-1, 1, 1, 3)
    form = None
    for number, conv in enumerate(layers):
        x = requantize(accumulate(x, conv, 0), conv.requant, 0)
        form = form.through(conv) if form else Affine.after(conv, low, high)
        least, most = form.bounds()
        found = x.reshape(-1, conv.out_channels)
        assert (least <= found.min(axis=0)).all()
        assert (found.max(axis=0) <= most).all()
        slack = (form.error_high - form.error_low) >> form.shift
        assert (found.min(axis=0) - least <= slack + 1).all()
        assert (most - found.max(axis=0) <= slack + 1).all()
        if number == 0:
            assert (least.tolist(), most.tolist()) == (
                found.min(axis=0).tolist(),
                found.max(axis=0).tolist(),
            ) or rule is not Rounding.FLOOR


def test_what_cancels_is_not_added_up():
    rng = np.random.default_rng(1)
    first, second = layer(rng, Rounding.FLOOR, 2, 1, shift=0), layer(rng, Rounding.FLOOR, 1, 2)
    first = replace(
        first,
        weights=Weights(np.full((2, 1, 1, 1), 5), INT8, (1.0,)),
        bias=np.array([0, 0]),
        requant=Requant((1,), 0, Rounding.FLOOR, -(1 << 40), 1 << 40),
    )
    second = replace(
        second,
        weights=Weights(np.array([7, -7]).reshape(1, 1, 1, 2), INT8, (1.0,)),
        bias=np.array([3]),
        requant=Requant((1,), 0, Rounding.FLOOR, -(1 << 40), 1 << 40),
    )
    low, high = Affine.after(first, np.array([-50]), np.array([90])).through(second).bounds()
    assert (low.tolist(), high.tolist()) == ([3], [3])


@pytest.mark.parametrize("padding", [0, 1])
def test_a_window_counts_each_position_and_its_padding(padding):
    rng = np.random.default_rng(2)
    x = random_tensor(rng, "x", (4, 4, 2), INT8, zero_point=0)
    conv, _ = random_conv(
        rng, x, kernel=(3, 3), padding=(padding,) * 4, groups=1, out_channels=1, bias=False
    )
    requant = Requant((1,), 0, Rounding.FLOOR, -(1 << 40), 1 << 40)
    conv = replace(conv, requant=requant)
    low, high = Affine.after(conv, np.array([4, 5]), np.array([6, 5])).bounds()
    weights = conv.weights.values[0].reshape(-1, 2)
    ends = [np.array([[0 if padding else 4, 6], [0 if padding else 5, 5]])] * 9
    products = weights[:, :, None] * np.array(ends)
    assert low.tolist() == [products.min(axis=2).sum()]
    assert high.tolist() == [products.max(axis=2).sum()]

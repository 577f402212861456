"""Pools, add, relu and flatten: fast forms against loops, loops against exact rationals."""

from fractions import Fraction

import numpy as np
import pytest
from rationals import round_exactly
from tercet.model import NetworkError, golden
from tercet.model.formats import json_file
from tercet.model.fuzz.convs import network_of
from tercet.model.fuzz.draws import INT8, UINT8, random_images, random_tensor
from tercet.model.layers import Flatten, Relu, Tensor
from tercet.model.layers.add import Add
from tercet.model.layers.pool import AvgPool2d, MaxPool2d
from tercet.model.layers.windows import output_extents
from tercet.model.requant import Requant, Rounding

# (H, W, C), kernel, stride, padding
WINDOWS = {
    "disjoint": ((6, 8, 3), (2, 2), (2, 2), (0, 0, 0, 0)),
    "overlapping": ((7, 7, 2), (3, 3), (2, 2), (0, 0, 0, 0)),
    "gaps": ((9, 8, 1), (2, 2), (3, 4), (0, 0, 0, 0)),
    "tail": ((5, 7, 2), (2, 2), (2, 2), (0, 0, 0, 0)),
    "padded": ((6, 5, 2), (3, 3), (2, 1), (1, 1, 1, 1)),
    "one_side": ((5, 5, 1), (3, 2), (2, 2), (2, 0, 1, 1)),
    "global": ((4, 3, 5), (4, 3), (4, 3), (0, 0, 0, 0)),
    "non_square": ((3, 9, 1), (1, 4), (1, 3), (0, 0, 0, 0)),
    "one_pixel": ((1, 1, 4), (1, 1), (1, 1), (0, 0, 0, 0)),
}


def pooled(x, kernel, stride, padding, **changes):
    """The tensor that a pool of ``x`` writes."""
    shape = (*output_extents(x.shape, kernel, stride, padding), x.shape[2])
    values = {"dtype": x.dtype, "scale": x.scale, "zero_point": x.zero_point} | changes
    return Tensor("y", shape, **values)


def both(network, images):
    """The output by the fast forms, which equal the loops in every tensor."""
    fast, loop = golden.trace(network, images), golden.trace_loop(network, images)
    for name, values in loop.items():
        assert fast[name].dtype == values.dtype
        np.testing.assert_array_equal(fast[name], values)
    again = json_file.loads(json_file.dumps(network))
    assert json_file.dumps(again) == json_file.dumps(network)
    return fast[network.output]


@pytest.mark.parametrize("dtype", [UINT8, INT8], ids=str)
@pytest.mark.parametrize("name", WINDOWS)
def test_max_pool_picks_the_greatest_value_in_the_map(name, dtype, seed):
    rng = np.random.default_rng([seed, *name.encode()])
    shape, kernel, stride, padding = WINDOWS[name]
    x = random_tensor(rng, "x", shape, dtype)
    y = pooled(x, kernel, stride, padding)
    pool = MaxPool2d(
        name="pool", input="x", output="y", kernel=kernel, stride=stride, padding=padding
    )
    images = random_images(rng, x, 4)
    result = both(network_of(x, [pool], [y]), images)
    top, left, _, _ = padding
    for n, oy, ox, c in np.ndindex(result.shape):
        rows = range(max(oy * stride[0] - top, 0), oy * stride[0] - top + kernel[0])
        columns = range(max(ox * stride[1] - left, 0), ox * stride[1] - left + kernel[1])
        inside = images[n, rows.start : rows.stop, columns.start : columns.stop, c]
        assert result[n, oy, ox, c] == inside.max()


@pytest.mark.parametrize("rule", Rounding)
@pytest.mark.parametrize("name", WINDOWS)
def test_average_pool_rounds_the_exact_mean_once(name, rule, seed):
    rng = np.random.default_rng([seed, *name.encode()])
    shape, kernel, stride, padding = WINDOWS[name]
    x = random_tensor(rng, "x", shape)
    y = pooled(x, kernel, stride, padding, zero_point=int(rng.integers(0, 256)))
    requant = Requant((int(rng.integers(1, 999)),), 10, rule, 0, 255)
    pool = AvgPool2d(
        name="pool",
        input="x",
        output="y",
        kernel=kernel,
        stride=stride,
        padding=padding,
        requant=requant,
    )
    images = random_images(rng, x, 3)
    result = both(network_of(x, [pool], [y]), images)
    centered = np.pad(
        images.astype(np.int64) - x.zero_point,
        ((0, 0), (padding[0], padding[2]), (padding[1], padding[3]), (0, 0)),
    )
    for n, oy, ox, c in np.ndindex(result.shape):
        top, left = oy * stride[0], ox * stride[1]
        window = centered[n, top : top + kernel[0], left : left + kernel[1], c]
        exact = round_exactly(Fraction(int(window.sum()) * requant.multipliers[0], 1024), rule)
        assert result[n, oy, ox, c] == min(max(exact + y.zero_point, 0), 255)


@pytest.mark.parametrize("rule", Rounding)
def test_add_rounds_the_exact_sum_once(rule, seed):
    rng = np.random.default_rng(seed)
    x = random_tensor(rng, "x", (3, 4, 2))
    half = Relu(name="half", input="x", output="half", low=3, high=120)
    other = Tensor("half", x.shape, x.dtype, x.scale, x.zero_point)
    y = random_tensor(rng, "y", x.shape, INT8)
    requant = Requant((37, 141), 8, rule, -100, 127)
    add = Add(name="add", input="x", other="half", output="y", requant=requant)
    images = random_images(rng, x, 4)
    result = both(network_of(x, [half, add], [other, y]), images)
    for at in np.ndindex(result.shape):
        a = int(images[at])
        b = min(max(a, 3), 120)
        total = (a - x.zero_point) * 37 + (b - x.zero_point) * 141
        exact = round_exactly(Fraction(total, 256), rule) + y.zero_point
        assert result[at] == min(max(exact, -100), 127)


def test_flatten_keeps_raster_order_with_channels_last(seed):
    rng = np.random.default_rng(seed)
    x = random_tensor(rng, "x", (2, 3, 4))
    y = Tensor("y", (1, 1, 24), x.dtype, x.scale, x.zero_point)
    images = random_images(rng, x, 3)
    result = both(network_of(x, [Flatten("flatten", "x", "y")], [y]), images)
    assert result.reshape(3, 24).tolist() == images.reshape(3, 24).tolist()


def refusal(layers, x, tensors):
    with pytest.raises(NetworkError) as error:
        network_of(x, layers, tensors)
    return str(error.value)


X = Tensor("x", (4, 4, 1), UINT8, 0.5, 3)
POOL = {"name": "pool", "input": "x", "output": "y", "kernel": (2, 2), "stride": (2, 2)}
SAME = Requant((1,), 0, Rounding.FLOOR, 0, 255)


@pytest.mark.parametrize(
    ("layer", "shape", "changes", "message"),
    [
        (
            MaxPool2d(**POOL),
            (2, 2, 1),
            {"zero_point": 4},
            "Layer 'pool': 'y' must have the type, scale and zero point of 'x', since its values "
            "are the same",
        ),
        (
            MaxPool2d(**POOL),
            (4, 2, 1),
            {},
            "Layer 'pool': output 'y' must have the shape [2, 2, 1], not [4, 2, 1]",
        ),
        (
            MaxPool2d(**(POOL | {"kernel": (5, 2)})),
            (1, 2, 1),
            {},
            "Layer 'pool': the kernel 5x2 does not fit the 4x4 map of 'x'",
        ),
        (
            MaxPool2d(**(POOL | {"stride": (0, 2)})),
            (2, 2, 1),
            {},
            "Layer 'pool': kernel and stride must be at least 1, not [2, 2] and [0, 2]",
        ),
        (
            AvgPool2d(**POOL, padding=(2, 0, 0, 0), requant=SAME),
            (2, 2, 1),
            {},
            "Layer 'pool': padding must be at least 0 and less than the kernel [2, 2], "
            "not [2, 0, 0, 0]",
        ),
        (
            AvgPool2d(**POOL, requant=Requant((1, 2), 0, Rounding.FLOOR, 0, 255)),
            (2, 2, 1),
            {},
            "Layer 'pool': multipliers must number 1, not 2",
        ),
        (
            Flatten("flatten", "x", "y"),
            (1, 1, 15),
            {},
            "Layer 'flatten': output 'y' must have the shape [1, 1, 16], not [1, 1, 15]",
        ),
        (
            Relu(name="relu", input="x", output="y", low=3, high=256),
            (4, 4, 1),
            {},
            "Layer 'relu': the clamp [3, 256] must rise and lie in [0, 255] as uint8 of 'y' does",
        ),
        (
            Relu(name="relu", input="x", output="y", low=3, high=255),
            (4, 4, 2),
            {},
            "Layer 'relu': output 'y' must have the shape [4, 4, 1], not [4, 4, 2]",
        ),
        (
            Add(name="add", input="x", other="x", output="y", requant=SAME),
            (4, 4, 1),
            {},
            "Layer 'add': multipliers must number 2, not 1",
        ),
        (
            Add(name="add", input="x", other="x", output="y", requant=SAME),
            (4, 1, 1),
            {},
            "Layer 'add': 'x', 'x' and 'y' must have one shape, not [4, 4, 1], [4, 4, 1] "
            "and [4, 1, 1]",
        ),
        (
            Add(name="add", input="x", other="z", output="y", requant=SAME),
            (4, 4, 1),
            {},
            "Layer 'add': input 'z' is no tensor; there are x, y",
        ),
    ],
)
def test_refuses_what_does_not_fit(layer, shape, changes, message):
    values = {"dtype": X.dtype, "scale": X.scale, "zero_point": X.zero_point} | changes
    assert refusal([layer], X, [Tensor("y", shape, **values)]) == message


def test_ranges_pass_through_layers_that_keep_values():
    y = Tensor("y", (2, 2, 1), UINT8, 0.5, 3)
    z = Tensor("z", (1, 1, 4), UINT8, 0.5, 3)
    clip = Tensor("clip", (4, 4, 1), UINT8, 0.5, 3)
    layers = [
        Relu(name="relu", input="x", output="clip", low=3, high=15),
        MaxPool2d(**(POOL | {"input": "clip"})),
        Flatten("flatten", "y", "z"),
    ]
    network = network_of(X, layers, [clip, y, z])
    assert [network.value_range(name) for name in ("x", "clip", "y", "z")] == [
        (0, 255),
        (3, 15),
        (3, 15),
        (3, 15),
    ]

"""Tensors in the order of their source: what layers can read, and what weights absorb."""

import numpy as np
import pytest
from tercet.model.builder import Grid, Output, Window
from tercet.model.dtypes import IntType
from tercet.model.layers import NetworkError
from tercet.model.layers.weights import Weights
from tercet.model.ordered import OrderedBuilder, channels_first, raster
from tercet.model.requant import Rounding
from tercet.model.search.policies import fixed

GRID = Grid(IntType(8, signed=False), 0.5, 0)
WIDE = Grid(IntType(12, signed=True), 0.5, 0)
RESCALE = fixed(16, Rounding.HALF_UP)


def weights(rng, *shape):
    return Weights(rng.integers(-7, 8, shape), IntType(4, signed=True), (1.0,))


def zeros(count):
    return np.zeros(count, dtype=np.int64)


def test_a_map_is_counted_channels_first():
    assert channels_first((2, 3, 4))[1, 0, 2] == (0 * 3 + 2) * 4 + 1


def test_what_the_source_computes_comes_into_raster_order(seed):
    rng = np.random.default_rng(seed)
    x = OrderedBuilder("net").input((3, 4, 5), GRID)
    theirs = rng.integers(0, 9, (2, 3, 4, 5))
    np.testing.assert_array_equal(raster(theirs, x), theirs.transpose(0, 2, 3, 1))
    moved = x.permuted((1, 0, 2), "p").reshaped((6, -1), "r")
    seen = theirs.transpose(0, 2, 1, 3).reshape(2, 6, 10)
    np.testing.assert_array_equal(raster(seen, moved), theirs.transpose(0, 2, 3, 1))


def test_what_is_moved_and_moved_back_is_as_it_was():
    x = OrderedBuilder("net").input((3, 4, 5), GRID)
    assert x.reshaped((-1,), "flat").reshaped((3, 4, 5), "back").moved is None
    assert x.permuted((2, 0, 1), "p").permuted((1, 2, 0), "q").moved is None


@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 2, 0), (2, 1, 0)])
def test_a_linear_layer_reads_any_order(axes, seed):
    rng = np.random.default_rng(seed)
    builder = OrderedBuilder("net")
    x = builder.input((3, 4, 5), GRID)
    w = weights(rng, 6, 1, 1, 60)
    y = builder.linear(
        "fc", x.permuted(axes, "p").reshaped((-1,), "flat"), w, zeros(6), Output(WIDE, RESCALE)
    )
    net = builder.network(y)
    images = rng.integers(0, 256, (5, 4, 5, 3))
    flat = images.transpose(0, 3, 1, 2).transpose(0, *(a + 1 for a in axes)).reshape(5, -1)
    expected = np.clip(flat @ w.values.reshape(6, 60).T, -2048, 2047)
    np.testing.assert_array_equal(net(images), expected)
    assert [layer.name for layer in net.layers] == ["flat", "fc", "argmax"]


def test_a_1x1_convolution_reads_a_flattened_map_as_a_linear_layer_does(seed):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (5, 4, 5, 3))
    w = weights(rng, 6, 1, 1, 60)
    scores = []
    for kind in ("linear", "conv2d"):
        builder = OrderedBuilder("net")
        flat = builder.input((3, 4, 5), GRID).reshaped((-1,), "flat")
        x = flat if kind == "linear" else flat.reshaped((60, 1, 1), "view")
        y = getattr(builder, kind)("fc", x, w, zeros(6), Output(WIDE, RESCALE))
        scores.append(builder.network(y)(images))
    np.testing.assert_array_equal(*scores)


def test_shuffled_channels_go_into_the_weights_of_a_convolution_and_through_pools(seed):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (5, 4, 4, 6))
    w = weights(rng, 2, 2, 2, 6)
    builder = OrderedBuilder("net")
    x = builder.input((6, 4, 4), GRID)
    shuffled = x.reshaped((2, 3, 4, 4), "a").permuted((1, 0, 2, 3), "b").reshaped((6, 4, 4), "c")
    pooled = builder.max_pool2d("pool", shuffled, (2, 2), Window((2, 2)))
    net = builder.network(builder.conv2d("conv", pooled, w, zeros(2), Output(WIDE, RESCALE)))
    order = np.arange(6).reshape(2, 3).T.ravel()
    maxima = images[..., order].reshape(5, 2, 2, 2, 2, 6).max((2, 4))
    expected = np.einsum("nhwc,ohwc->no", maxima, w.values)
    np.testing.assert_array_equal(net(images), np.clip(expected, -2048, 2047))


def test_joined_vectors_keep_the_order_of_each(seed):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (5, 2, 3, 4))
    builder = OrderedBuilder("net")
    x = builder.input((4, 2, 3), GRID)
    parts = [x.reshaped((-1,), "flat"), x.permuted((2, 0, 1), "p").reshaped((-1,), "flat2")]
    w = weights(rng, 3, 1, 1, 48)
    joined = builder.concat("cat", parts, Output(GRID, RESCALE))
    net = builder.network(builder.linear("fc", joined, w, zeros(3), Output(WIDE, RESCALE)))
    first = images.transpose(0, 3, 1, 2)
    flat = np.concatenate([first.reshape(5, -1), first.transpose(0, 3, 1, 2).reshape(5, -1)], 1)
    expected = np.clip(flat @ w.values.reshape(3, 48).T, -2048, 2047)
    np.testing.assert_array_equal(net(images), expected)


REFUSED = {
    "conv of a transposed map": (
        lambda b, x: b.max_pool2d("pool", x.permuted((0, 2, 1), "t"), (1, 1), Window()),
        "Layer 'pool': its input 'image' was reshaped or permuted to [4, 3, 2], an order in which "
        "a convolution or pool cannot read a stream of channels-last maps; let a linear layer read "
        "it, or leave the map as it is",
    ),
    "pool of a vector": (
        lambda b, x: b.max_pool2d("pool", x.reshaped((-1,), "f"), (1, 1), Window()),
        "Layer 'pool': it reads a map (channels, rows, columns), and its input is flat or has "
        "other axes, [24]; put it before the Flatten",
    ),
    "linear layer of a map": (
        lambda b, x: b.linear("fc", x, None, None, Output(GRID, RESCALE)),
        "Layer 'fc': a linear layer reads a vector, not [4, 2, 3]; put a Flatten before it, or use "
        "a 1x1 convolution",
    ),
    "sum of two orders": (
        lambda b, x: b.add(
            "add",
            x.reshaped((-1,), "f"),
            x.permuted((1, 2, 0), "p").reshaped((-1,), "g"),
            Output(GRID, RESCALE),
        ),
        "Layer 'add': its inputs were flattened from different shapes, or permuted; add them "
        "before they are flattened",
    ),
    "sum of two shapes": (
        lambda b, x: b.add("add", x, x.reshaped((-1,), "f"), Output(GRID, RESCALE)),
        "Layer 'add': its inputs have the shapes [4, 2, 3] and [24]; add equal shapes, broadcast "
        "before the model is exported",
    ),
    "grouped convolution of shuffled channels": (
        lambda b, x: b.conv2d(
            "conv",
            x.reshaped((2, 2, 2, 3), "a").permuted((1, 0, 2, 3), "b").reshaped((4, 2, 3), "c"),
            None, None, Output(GRID, RESCALE), groups=2,
        ),
        "Layer 'conv': its input 'image' was reshaped or permuted to [4, 2, 3], an order in which "
        "a convolution in groups cannot read a stream of channels-last maps; let a linear layer "
        "read it, or leave the map as it is",
    ),
    "vector viewed as a map as output": (
        lambda b, x: b.network(b.relu("relu", x, 0, 9).reshaped((2, 4, 3), "view")),
        "Network 'net': its output 'relu' was flattened or permuted, and a core would give the "
        "scores in another order, channels last; return the map as it is, pool it to one position, "
        "or end with a linear layer",
    ),
    "flattened map as output": (
        lambda b, x: b.network(b.max_pool2d("pool", x, (1, 1), Window()).reshaped((-1,), "f")),
        "Network 'net': its output 'pool' was flattened or permuted, and a core would "
        "give the scores in another order, channels last; return the map as it is, pool it to one "
        "position, or end with a linear layer",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_an_order_that_cannot_be_kept_is_refused(case):
    act, message = REFUSED[case]
    builder = OrderedBuilder("net")
    with pytest.raises(NetworkError) as caught:
        act(builder, builder.input((4, 2, 3), GRID))
    assert str(caught.value) == message


def test_the_flattened_map_of_one_channel_is_in_order(seed):
    images = np.random.default_rng(seed).integers(0, 256, (5, 2, 3, 1))
    builder = OrderedBuilder("net")
    y = builder.max_pool2d("pool", builder.input((1, 2, 3), GRID), (1, 1), Window())
    net = builder.network(y.reshaped((-1,), "flat"))
    np.testing.assert_array_equal(net(images), images.reshape(5, 6))

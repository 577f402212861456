"""The golden model: the fast form against the loops, shapes and types, and images it refuses."""

from dataclasses import replace

import numpy as np
import pytest
from randomnets import random_network
from smallnet import FIRST, SECOND, network, without
from tercet.model import NetworkError
from tercet.model.dtypes import IntType
from tercet.model.fuzz.convs import network_of, random_conv
from tercet.model.fuzz.draws import INT8, random_images, random_tensor
from tercet.model.golden import batch_size, fastconv, fastrequant, scores, trace, trace_loop
from tercet.model.layers import Argmax, Relu, Tensor
from tercet.model.layers.add import Add
from tercet.model.layers.pool import MaxPool2d
from tercet.model.requant import Requant, Rounding


@pytest.mark.parametrize("windows", [False, True])
@pytest.mark.parametrize("case", range(25))
def test_the_fast_trace_equals_the_loops_on_random_networks(seed, case, windows):
    rng = np.random.default_rng([seed, case])
    net = random_network(rng, windows=windows, symmetric=bool(case % 2), bias=bool(case % 3))
    images = random_images(rng, net.tensors[net.input], 3)
    fast, loop = trace(net, images), trace_loop(net, images)
    assert list(fast) == list(loop) == list(net.tensors)
    for name, values in fast.items():
        tensor = net.tensors[name]
        assert values.shape == (3, *tensor.shape)
        assert values.dtype == loop[name].dtype == tensor.dtype.numpy
        assert tensor.dtype.contains(values)
        assert np.array_equal(values, loop[name]), name


@pytest.mark.parametrize("bits", [2, 5, 8, 9, 16])
@pytest.mark.parametrize("signed", [False, True])
def test_activations_have_any_width(seed, bits, signed):
    rng = np.random.default_rng([seed, bits, signed])
    dtype = IntType(bits, signed)
    net = random_network(rng, shape=(5, 6, 2), depth=2, output_type=dtype)
    images = random_images(rng, net.tensors[net.input], 3)
    fast, loop = net.trace(images), trace_loop(net, images)
    for layer in net.layers:
        assert np.array_equal(fast[layer.output], loop[layer.output])


def test_batches_change_nothing(seed):
    rng = np.random.default_rng(seed)
    net = random_network(rng, shape=(2, 2, 1), depth=1)
    count = batch_size(net) + 3
    images = random_images(rng, net.tensors[net.input], count)
    whole = net.trace(images)
    single = [net.trace(image[np.newaxis]) for image in (images[0], images[-1])]
    for name, values in whole.items():
        assert len(values) == count
        assert np.array_equal(values[[0, -1]], np.concatenate([one[name] for one in single]))
    assert np.array_equal(net(images), whole[net.output].reshape(count, -1))


def test_calling_gives_the_scores_flat_and_leaves_the_argmax_aside():
    net, bare = network(), network(layers=[FIRST, SECOND], **without("class"))
    images = random_images(np.random.default_rng(1), net.tensors["image"], 4)
    assert net(images).shape == (4, 5)
    assert net(images).dtype == np.uint8
    assert np.array_equal(net(images), bare(images))
    traced = net.trace(images)
    assert np.array_equal(traced["class"].ravel(), net(images).argmax(axis=1))


def test_scores_of_a_whole_map_are_flattened(seed):
    rng = np.random.default_rng(seed)
    x = random_tensor(rng, "x", (4, 6, 1))
    conv, y = random_conv(rng, x, kernel=(2, 2), out_channels=3)
    net = network_of(x, [conv], [y])
    images = random_images(rng, x, 2)
    assert np.array_equal(net(images), net.trace(images)[y.name].reshape(2, 2 * 3 * 3))


def test_argmax_takes_the_first_of_equals(seed):
    x = random_tensor(np.random.default_rng(seed), "x", (1, 1, 4), INT8)
    y = Tensor("class", (1, 1, 1), IntType(2, signed=False), 1.0, 0)
    net = network_of(x, [Argmax("argmax", "x", "class")], [y])
    rows = [[-5, -5, -5, -5], [1, 2, 2, 0], [-128, -127, -128, -127], [0, 1, 2, 3]]
    images = np.array(rows, dtype=np.int8).reshape(4, 1, 1, 4)
    for values in (net.trace(images), trace_loop(net, images)):
        assert values["class"].ravel().tolist() == [0, 1, 1, 3]


def test_no_images_give_no_scores():
    net = network()
    none = np.zeros((0, 7, 9, 2), dtype=np.uint8)
    assert net(none).shape == (0, 5)
    assert {name: len(values) for name, values in net.trace(none).items()} == dict.fromkeys(
        net.tensors, 0
    )


def gray(seed):
    """A network of one channel, 3x4."""
    rng = np.random.default_rng(seed)
    x = random_tensor(rng, "x", (3, 4, 1), IntType(4, signed=False))
    conv, y = random_conv(rng, x, kernel=(3, 4))
    return network_of(x, [conv], [y])


def test_images_of_one_channel_need_no_channel_axis(seed):
    net = gray(seed)
    images = np.random.default_rng(seed).integers(0, 16, (5, 3, 4))
    assert np.array_equal(net(images), net(images[..., np.newaxis]))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint16, np.int64, np.uint64])
def test_images_of_any_integer_type_are_taken_if_their_values_fit(seed, dtype):
    net = gray(seed)
    images = np.random.default_rng(seed).integers(0, 16, (2, 3, 4))
    checked = net.images(images.astype(dtype))
    assert checked.dtype == np.uint8
    assert np.array_equal(checked[..., 0], images)
    assert np.array_equal(net.images(images.tolist()), checked)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 3, 4)), "Images must be integers quantized as uint4, not float64"),
        (np.zeros((2, 3, 4), bool), "Images must be integers quantized as uint4, not bool"),
        (np.array("3"), "Images must be integers quantized as uint4, not <U1"),
        ([[[1, 2], [3]]], "Images must have the shape (N, 3, 4, 1), not lists of unequal length"),
        (np.zeros((3, 4), int), "Images must have the shape (N, 3, 4, 1), not (3, 4)"),
        (np.zeros((3, 4, 1), int), "Images must have the shape (N, 3, 4, 1), not (3, 4, 1)"),
        (np.zeros((2, 4, 3), int), "Images must have the shape (N, 3, 4, 1), not (2, 4, 3)"),
        (np.zeros((2, 1, 3, 4), int), "Images must have the shape (N, 3, 4, 1), not (2, 1, 3, 4)"),
        (np.array(3), "Images must have the shape (N, 3, 4, 1), not ()"),
        (np.full((2, 3, 4), 16), "Images must lie in [0, 15] as uint4 does"),
        (np.full((2, 3, 4), -1), "Images must lie in [0, 15] as uint4 does"),
    ],
)
def test_images_of_the_wrong_kind_are_refused(seed, images, message):
    net = gray(seed)
    for use in (net, net.trace, net.images):
        with pytest.raises(NetworkError) as caught:
            use(images)
        assert str(caught.value) == message


def pooled_network(rng, pool, kernel=(3, 2), stride=(1, 1), **arguments):
    """A convolution, a max pool behind it and a convolution behind that."""
    x = random_tensor(rng, "x", (14, 17, 2))
    conv, a = random_conv(rng, x, name="first", kernel=kernel, stride=stride, groups=1, **arguments)
    height, width, channels = a.shape
    (ky, kx), (sy, sx), padding = pool
    extents = [
        (height + padding[0] + padding[2] - ky) // sy + 1,
        (width + padding[1] + padding[3] - kx) // sx + 1,
    ]
    b = replace(a, name="pooled", shape=(*extents, channels))
    layer = MaxPool2d("pool", a.name, b.name, kernel=(ky, kx), stride=(sy, sx), padding=padding)
    last, c = random_conv(rng, b, name="last", kernel=(2, 1), stride=(1, 1), groups=1)
    return network_of(x, [conv, layer, last], [a, b, c])


POOLS = {  # kernel, stride, padding: those that tile the map are computed with the convolution
    "tiles": ((2, 2), (2, 2), (0, 0, 0, 0)),
    "tiles-with-a-tail": ((3, 4), (3, 4), (0, 0, 0, 0)),
    "columns": ((1, 3), (1, 3), (0, 0, 0, 0)),
    "overlapping": ((3, 3), (2, 2), (0, 0, 0, 0)),
    "gaps": ((2, 2), (3, 3), (0, 0, 0, 0)),
    "padded": ((2, 2), (2, 2), (1, 1, 1, 0)),
}


@pytest.mark.parametrize("block", [1, 1000, None])
@pytest.mark.parametrize("pool", POOLS)
def test_scores_through_a_pool_are_those_of_the_loops(seed, pool, block, monkeypatch):
    if block:  # a row at a time, and some rows
        monkeypatch.setattr(fastconv, "BLOCK_VALUES", block)
        monkeypatch.setattr(fastrequant, "CACHED", block // 2)
    rng = np.random.default_rng([seed, *pool.encode()])
    arguments = {"symmetric": False, "per_channel": True, "bias": True}
    for window in (
        {},
        {"padding": (1, 0, 2, 1), "dilation": (2, 1)},
        {"stride": (2, 3), "kernel": (1, 2)},
    ):
        net = pooled_network(rng, POOLS[pool], **(arguments | window))
        images = random_images(rng, net.tensors["x"], 3)
        assert np.array_equal(scores(net, images), trace_loop(net, images)[net.output])


def test_a_pooled_convolution_that_is_read_twice_or_asked_for_is_computed_whole(seed):
    rng = np.random.default_rng(seed)
    net = pooled_network(rng, POOLS["tiles"])
    conv, pool, last = net.layers
    relu = Relu(name="relu", input=conv.output, output="clamped", low=9, high=99)
    clamped = replace(net.tensors[conv.output], name="clamped")
    images = random_images(rng, net.tensors["x"], 3)
    x, *tensors = net.tensors.values()
    for layers in ([conv, pool, last, relu], [conv, relu, pool, last]):
        twice = network_of(x, layers, [*tensors, clamped])
        assert np.array_equal(scores(twice, images), trace_loop(twice, images)[layers[-1].output])


def test_sums_of_two_tensors_drop_neither_too_early(seed):
    rng = np.random.default_rng(seed)
    x = random_tensor(rng, "x", (3, 4, 2))
    y, z = random_tensor(rng, "y", x.shape), random_tensor(rng, "z", x.shape, INT8)
    rescale = Requant((37, 141), 9, Rounding.HALF_EVEN, 0, 255)
    first = Add(name="first", input="x", other="x", output="y", requant=rescale)
    second = Add(
        name="second", input="y", other="x", output="z", requant=replace(rescale, low=-9, high=100)
    )
    net = network_of(x, [first, second], [y, z])
    images = random_images(rng, x, 4)
    assert np.array_equal(scores(net, images), trace_loop(net, images)["z"])

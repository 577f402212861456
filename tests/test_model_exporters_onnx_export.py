"""Networks as ONNX files: ONNX Runtime gives every tensor of the golden model, bit for bit."""

import re
from dataclasses import replace

import numpy as np
import pytest
from anylayers import any_layers
from randomnets import random_network
from tercet.model import NetworkError, QNetwork, load
from tercet.model.data import mnist
from tercet.model.dtypes import IntType
from tercet.model.fuzz.convs import network_of, random_conv
from tercet.model.fuzz.draws import INT8, UINT8, random_images, random_tensor
from tercet.model.layers import Argmax, Flatten, Relu, Tensor
from tercet.model.layers.linear import Linear
from tercet.model.layers.weights import Weights
from tercet.model.requant import Requant, Rounding

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

from onnxrun import (  # noqa: E402
    assert_equal,
    facts,
    forms,
    operators,
    session,
    with_offsets,
)
from tercet.model.exporters.onnx import write  # noqa: E402


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize(
    "widths", [(8, 8, 8), (2, 3, 2), (5, 7, 4), (16, 16, 8), (12, 8, 6), (20, 24, 3)]
)
def test_every_operator_width_and_rounding_gives_the_same_integers(seed, rounding, widths):
    rng = np.random.default_rng(seed)
    for signs in ((False, True, True), (True, False, False)):
        types = [IntType(bits, sign) for bits, sign in zip(widths, signs, strict=True)]
        for bits in (8, 30):
            net = operators(rng, types[0], types[1], rounding, types[2], bits)
            assert_equal(net, random_images(rng, net.tensors[net.input], 5))


@pytest.mark.parametrize("index", range(25))
def test_random_networks_give_the_same_integers(seed, index):
    rng = np.random.default_rng((seed, index))
    net = random_network(
        rng,
        windows=True,
        symmetric=bool(rng.integers(2)),
        weight_type=IntType(int(rng.integers(2, 9)), bool(rng.integers(2))),
        rounding=list(Rounding)[index % 5],
    )
    assert_equal(net, random_images(rng, net.tensors[net.input], 4))


@pytest.mark.parametrize("rounding", list(Rounding))
def test_offsets_by_layer_and_by_channel(seed, rounding):
    rng = np.random.default_rng(seed)
    for bits in (12, 30):
        net = with_offsets(rng, operators(rng, rounding=rounding, bits=bits))
        assert_equal(net, random_images(rng, net.tensors["image"], 5))


@pytest.mark.mnist
@pytest.mark.parametrize("name", ["plain", "separable"])
@pytest.mark.parametrize("explicit", [False, True])
def test_the_shipped_networks_on_mnist(name, explicit):
    net = load(name)
    content = write(net, explicit=explicit)
    assert set(forms(content).values()) == {"explicit" if explicit else "qdq"}
    assert_equal(net, mnist("test").images[:1000, ..., None], content=content)


def test_one_session_takes_any_batch(seed):
    rng = np.random.default_rng(seed)
    net = operators(rng)
    running = session(write(net))
    assert [o.name for o in running.get_outputs()] == ["logits", "class"]
    assert running.get_inputs()[0].shape == ["N", 2, 7, 6]
    for count in (1, 5):
        images = random_images(rng, net.tensors["image"], count)
        scores, index = running.run(None, {"image": images.transpose(0, 3, 1, 2)})
        np.testing.assert_array_equal(scores, net(images))
        np.testing.assert_array_equal(index[:, 0], net(images).argmax(axis=1))


def test_the_same_network_gives_the_same_bytes(seed):
    first = operators(np.random.default_rng(seed))
    second = operators(np.random.default_rng(seed))
    assert write(first) == write(second)
    assert write(first) != write(first, explicit=True)


def test_names_of_the_network_come_before_those_of_the_file(seed):
    rng = np.random.default_rng(seed)
    x = random_tensor(rng, "first/acc", (4, 4, 2))
    first, y = random_conv(rng, x, name="first", kernel=(2, 2))
    y = replace(y, name="first/w")
    second, z = random_conv(rng, y, name="second", kernel=(2, 2))
    net = network_of(x, [replace(first, output="first/w"), second], [y, z])
    for explicit in (False, True):
        content = write(net, explicit=explicit)
        assert_equal(net, random_images(rng, x, 3), content=content)


@pytest.mark.parametrize(
    "kinds", ["flatten relu", "relu flatten", "argmax conv", "flatten conv", "conv relu conv"]
)
def test_tensors_at_one_position(seed, kinds):
    rng = np.random.default_rng(seed)
    image = tensor = random_tensor(rng, "image", (1, 1, 6))
    layers, tensors = [], []
    for index, kind in enumerate(kinds.split()):
        x, name = tensor, f"{kind}{index}"
        tensor = replace(x, name=name)
        if kind == "conv":
            layer, tensor = random_conv(rng, x, name=name)
        elif kind == "argmax":
            layer, tensor = Argmax(name, x.name, name), Tensor(name, (1, 1, 1), UINT8, 1.0, 0)
        elif kind == "relu":
            layer = Relu(name, x.name, name, low=30, high=200)
        else:
            layer = Flatten(name, x.name, name)
        layers.append(layer)
        tensors.append(tensor)
    assert_equal(network_of(image, layers, tensors), random_images(rng, image, 6))


def test_a_network_of_an_argmax_alone(seed):
    x = Tensor("image", (1, 1, 6), IntType(12, signed=True), 1.0, 0)
    y = Tensor("class", (1, 1, 1), IntType(3, signed=False), 1.0, 0)
    net = network_of(x, [Argmax("best", "image", "class")], [y])
    assert [o.name for o in session(write(net)).get_outputs()] == ["class"]
    images = random_images(np.random.default_rng(seed), x, 9)
    images[3] = 7  # equal scores: the first
    assert_equal(net, images)


def test_the_file_tells_scales_zero_points_forms_and_reasons():
    net = load("plain")
    conv1 = any_layers(net)[0]
    net = QNetwork(
        "told",
        net.input,
        net.tensors,
        [replace(conv1, requant=replace(conv1.requant, rounding=Rounding.FLOOR)), *net.layers[1:]],
    )
    model = onnx.load_from_string(write(net))
    values = {v.name: v for v in (*model.graph.input, *model.graph.value_info, *model.graph.output)}
    assert set(values) == set(net.tensors)
    for name, tensor in net.tensors.items():
        told = {p.key: p.value for p in values[name].metadata_props}
        assert told == {
            "type": str(tensor.dtype),
            "scale": repr(tensor.scale),
            "zero_point": str(tensor.zero_point),
        }
    told = facts(model.SerializeToString())
    assert set(told) == {layer.name for layer in net.layers}
    assert told["conv1"]["form"] == "explicit"
    assert told["conv1"]["why"] == "no float32 scale gives channel 0 the same integers"
    assert told["conv1"]["rounding"] == "floor"
    assert told["conv1"]["weight_scales"] == repr(conv1.weights.scales[0])
    assert told["conv2"]["form"] == "qdq"
    assert told["conv2"]["shift"] == str(any_layers(net)[1].requant.shift)
    scales = {c.name: onnx.numpy_helper.to_array(c) for c in model.graph.initializer}
    assert scales["conv2/y_scale"] == np.float32(net.tensors["conv2"].scale)
    assert scales["conv2/x_scale"] == np.float32(net.tensors["conv1"].scale)
    assert (scales["conv2/weight_scales"] > 0).all()


def refused(net, message):
    with pytest.raises(NetworkError, match=f"^{re.escape(message)}$"):
        write(net)


def test_what_onnx_cannot_carry_is_refused(seed):
    rng = np.random.default_rng(seed)
    wide = IntType(25, signed=True)
    x = random_tensor(rng, "image", (2, 2, 1), wide, 0)
    relu = Relu("relu", "image", "y", low=0, high=9)
    refused(
        network_of(x, [relu], [replace(x, name="y")]),
        "The input: 'image' must have at most 24 bits to be exported to ONNX, not 25; "
        "requantize it to fewer",
    )
    x = random_tensor(rng, "image", (2, 2, 1))
    conv, y = random_conv(rng, x, output_type=wide)
    refused(
        network_of(x, [conv], [y]),
        "Layer 'conv': 'conv_out' must have at most 24 bits to be exported to ONNX, not 25; "
        "requantize it to fewer",
    )
    for name in ("", "\ud800"):
        conv, y = random_conv(rng, x)
        refused(
            network_of(x, [replace(conv, output=name)], [replace(y, name=name)]),
            f"Layer 'conv': a tensor's name in ONNX must be a text, not {name!r}; rename it",
        )
    x = Tensor("image", (1, 1, 1 << 16), IntType(2, signed=True), 1.0, 0)
    weights = Weights(np.full((1, 1, 1, 1 << 16), -128), INT8, (1.0,))
    requant = Requant((1,), 20, Rounding.FLOOR, 0, 255)
    layer = Linear("fc", "image", "logits", weights, np.zeros(1, np.int64), requant=requant)
    refused(
        network_of(x, [layer], [Tensor("logits", (1, 1, 1), UINT8, 1.0, 0)]),
        "Layer 'fc': the magnitudes of its weights must add up to less than 2**23 to be summed "
        "exactly in ONNX's float32, not to 8388608; split its input channels",
    )

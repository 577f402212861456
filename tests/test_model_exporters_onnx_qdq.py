"""The fused form: scales that are proven, what ONNX Runtime makes of it, and the reader."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from randomnets import random_network
from tercet.model import QNetwork, load
from tercet.model.fuzz.draws import INT8, UINT8, random_images
from tercet.model.layers.conv import Conv2d
from tercet.model.requant import Rounding, requantize

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

from onnxrun import (  # noqa: E402
    EVERY_PAIR,
    FUSED,
    assert_equal,
    facts,
    forms,
    fused_chain,
    operators,
    session,
    two_inputs,
)
from tercet.model.exporters.onnx import write  # noqa: E402
from tercet.model.exporters.onnx.qdq import NoScaleError, weight_scales  # noqa: E402
from tercet.model.frontends.onnx import read  # noqa: E402


def targets(content, level, tmp_path):
    """How often each operator stands in what ONNX Runtime makes of a model."""
    path = tmp_path / "optimized.onnx"
    session(content, level, path)
    return Counter(node.op_type for node in onnx.load(path).graph.node)


@pytest.mark.parametrize("level", FUSED, ids=str)
def test_every_layer_in_qdq_form_is_fused_and_no_other(seed, level, tmp_path):
    seen = Counter()
    for index in range(16):
        rng = np.random.default_rng((seed, index))
        if index % 2:
            net = random_network(
                rng,
                windows=True,
                rounding=list(Rounding)[index % 5],
                output_type=INT8 if index % 4 == 1 else UINT8,
            )
        else:
            image = INT8 if index % 4 == 2 else UINT8
            net = operators(rng, image, UINT8, Rounding.FLOAT32, bits=24)
        content = write(net)
        found = Counter(forms(content).values())
        got = targets(content, level, tmp_path)
        assert got["QLinearConv"] + got["QGemm"] == found["qdq"]
        assert got["QuantizeLinear"] == 0
        assert_equal(net, random_images(rng, net.tensors[net.input], 3), level, content)
        seen += found
    assert min(seen["qdq"], seen["explicit"]) >= 5


def test_weights_that_the_session_makes_unsigned_give_the_same_integers(seed):
    # what x86 without VNNI needs, so as not to saturate
    rng = np.random.default_rng(seed)
    config = {"session.x64quantprecision": "1"}
    for net in (fused_chain(rng), random_network(rng, shape=(12, 9, 3), windows=True)):
        assert "qdq" in forms(write(net)).values()
        assert_equal(net, random_images(rng, net.tensors["image"], 9), config=config)


def test_every_accumulator_of_a_layer_in_both_forms(seed):
    rng = np.random.default_rng(seed)
    seen = set()
    for rounding in Rounding:
        # random; a power of two, so that ties abound; a float32 exactly
        for multiplier in (None, None, 1 << 14, 3 << 13):
            net = two_inputs(rng, rounding, multiplier=multiplier, low=3, high=250)
            content = write(net)
            seen.add((rounding, *forms(content).values()))
            assert_equal(net, EVERY_PAIR, content=content)
            assert_equal(net, EVERY_PAIR, content=write(net, explicit=True))
    assert seen >= {
        (Rounding.FLOOR, "explicit"),
        (Rounding.HALF_UP, "explicit"),
        *((rule, "qdq") for rule in Rounding if rule is not Rounding.FLOOR),
    }


def fused_output(layer, x, y, scale, acc):
    """What a fused node gives, told once more."""
    product = acc.astype(np.float32) * (np.float32(x.scale) * scale / np.float32(y.scale))
    return np.clip(np.rint(product) + y.zero_point, layer.requant.low, layer.requant.high)


def test_a_scale_is_found_where_there_is_one_and_holds_on_every_accumulator(seed):
    rng = np.random.default_rng(seed)
    found = refused = 0
    for index in range(60):
        offset = int(rng.integers(-3, 4)) << 15 if index % 3 == 0 else 0
        net = two_inputs(rng, list(Rounding)[index % 5], offset=offset)
        layer, x, y = net.layers[0], net.tensors["image"], net.tensors["logits"]
        reach = layer.sum_bounds(net)
        acc = np.arange(reach[0][0], reach[1][0] + 1)
        expected = requantize(acc[:, None], layer.requant, y.zero_point)[:, 0]
        try:
            (scale,) = weight_scales(layer, x, y, reach)
        except NoScaleError:
            refused += 1
            middle = np.float32(layer.requant.multipliers[0] / 2**22 * y.scale / x.scale)
            for scale in (middle.view(np.int32) + np.arange(-99, 100)).view(np.float32):
                assert (fused_output(layer, x, y, scale, acc) != expected).any()
        else:
            found += 1
            np.testing.assert_array_equal(fused_output(layer, x, y, scale, acc), expected)
    assert min(found, refused) >= 10


def from_floats(content, network):
    """The model as the reader takes it: real images are quantized first, and scores come last."""
    model = onnx.load_from_string(content)
    graph, x = model.graph, network.tensors[network.input]
    images = graph.input[0]
    names = ["real", "real_scale", "real_zero_point"]
    graph.initializer.extend(
        onnx.numpy_helper.from_array(np.array(value, dtype), name)
        for value, dtype, name in (
            (x.scale, np.float32, names[1]),
            (x.zero_point, x.dtype.numpy, names[2]),
        )
    )
    graph.node.insert(0, onnx.helper.make_node("QuantizeLinear", names, [images.name]))
    images.name, images.type.tensor_type.elem_type = "real", onnx.TensorProto.FLOAT
    del graph.output[1:]
    return model.SerializeToString()


@pytest.mark.parametrize("name", ["plain", "separable", "chain"])
def test_the_reader_reads_what_was_written_in_qdq_form(seed, name):
    rng = np.random.default_rng(seed)
    net = fused_chain(rng) if name == "chain" else load(name)
    content = write(net)
    assert set(forms(content).values()) == {"qdq"}
    again = read(from_floats(content, net))
    images = random_images(rng, net.tensors[net.input], 200)
    first, second = net.trace(images), again.trace(images)
    for layer in net.layers:
        if isinstance(layer, Conv2d):
            np.testing.assert_array_equal(second[layer.output], first[layer.output])
    np.testing.assert_array_equal(again(images), net(images))
    assert len(np.unique(net(images))) > 20


def test_zero_points_that_differ_by_channel_are_written_out(seed):
    # older versions of ONNX Runtime refuse them in the fused node
    net = fused_chain(np.random.default_rng(seed))
    first = net.layers[0]
    zero_points = (1, 2, 3, 3, 2, 1)
    layer = replace(first, weights=replace(first.weights, zero_points=zero_points))
    net = QNetwork("differing", net.input, net.tensors, [layer, *net.layers[1:]])
    content = write(net)
    assert facts(content)["a"]["why"] == "the zero points of the weights differ"
    assert_equal(net, random_images(np.random.default_rng(seed), net.tensors["image"], 50))

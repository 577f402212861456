"""What `tercet import` says of a model: equal to ONNX Runtime, or how many values are not."""

import json

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from dataclasses import replace

from onnxgen import Model, coded, grid
from tercet.gen.cli import main
from tercet.model.frontends.onnx import read
from tercet.model.frontends.onnx.comparison import Comparison, compared
from tercet.model.layers import NetworkError
from tercet.model.layers.conv import Conv2d
from tercet.model.network import QNetwork


def pooled_before_it_is_quantized(model, x):
    """A session moves the QuantizeLinear before the pool, and fuses the convolution."""
    y = model.node("Relu", model.node("Conv", x, coded(model, 3, 2, 3, 3)))
    y = grid(model, model.node("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2]), 0.0217, 0)
    return grid(model, model.node("Conv", y, coded(model, 4, 3, 3, 3)), 0.05, 100)


def reshaped_before_it_is_quantized(model, x):
    y = model.node("Conv", x, coded(model, 3, 2, 9, 8))
    return grid(model, model.node("Reshape", y, model.constant([-1, 3], np.int64)), 0.0217, 99)


def transposed_before_it_is_quantized(model, x):
    y = model.node("Transpose", model.node("Conv", x, coded(model, 3, 2, 3, 3)), perm=[0, 2, 3, 1])
    y = model.node("Transpose", grid(model, y, 0.0217, 100), perm=[0, 3, 1, 2])
    return grid(model, model.node("Conv", y, coded(model, 4, 3, 3, 3)), 0.05, 100)


def flattened_before_it_is_quantized(model, x):
    """Left in floats: a session moves nothing across a Flatten."""
    y = model.node("Flatten", model.node("Conv", x, coded(model, 3, 2, 9, 8)))
    return grid(model, y, 0.0217, 100)


def gemm_behind_a_flatten(model, x):
    """Left in floats as well."""
    y = grid(model, model.node("AveragePool", x, kernel_shape=[3, 4], strides=[3, 4]), 0.0131, 7)
    return grid(
        model, model.node("Gemm", model.node("Flatten", y), coded(model, 12, 4)), 0.0313, 99
    )


def two_readers(model, x):
    """A convolution that two QuantizeLinear read is left in floats."""
    y = model.node("Conv", x, coded(model, 3, 2, 3, 3))
    a, b = grid(model, y, 0.0217, 100), grid(model, y, 0.031, 90)
    return grid(model, model.node("Add", a, b), 0.04, 100)


def signed(model, x):
    """int8 activations and weights; a DequantizeLinear has no zero point."""
    x = grid(model, "x", np.float32(1) / np.float32(255), -128, np.int8)
    y = model.node("Conv", x, coded(model, 3, 2, 3, 3))
    scale = model.constant(0.0217)
    y = model.node("QuantizeLinear", y, scale, model.constant(0, np.int8))
    x = model.node("DequantizeLinear", y, scale)
    y = model.node("Relu", model.node("Conv", x, coded(model, 4, 3, 3, 3)))
    return grid(model, y, 0.03, -128, np.int8)


def proto_of(build, seed):
    model = Model(np.random.default_rng(seed), (2, 9, 8))
    x = grid(model, "x", np.float32(1) / np.float32(255), 0)
    return model.proto(build(model, x))


EQUAL = (
    pooled_before_it_is_quantized,
    reshaped_before_it_is_quantized,
    transposed_before_it_is_quantized,
)
IN_FLOATS = (flattened_before_it_is_quantized, gemm_behind_a_flatten, signed)


@pytest.mark.parametrize("build", EQUAL)
@pytest.mark.parametrize("number", range(3))
def test_what_a_session_fuses_is_equal(build, number, seed):
    source = proto_of(build, [seed, number]).SerializeToString()
    found = compared(source, read(source))
    assert (found.differing, found.images) == ({}, 64)
    assert str(found) == (
        f"equal to ONNX Runtime in all {found.values:,} values of all tensors on 64 random images"
    )


@pytest.mark.parametrize("build", IN_FLOATS)
@pytest.mark.parametrize("number", range(3))
def test_what_a_session_leaves_in_floats_is_equal_but_for_near_ties(build, number, seed):
    source = proto_of(build, [seed, number]).SerializeToString()
    found = compared(source, read(source))
    assert sum(found.differing.values()) * 10_000 <= found.values
    found.require_close()


def test_an_addition_at_ties_is_accepted_with_its_count_where_it_is_asked_for(seed):
    source = proto_of(two_readers, seed).SerializeToString()
    found = compared(source, read(source, inexact=True))
    assert found.largest <= 1
    assert str(found).endswith(("close to a tie", "random images"))


def test_a_network_that_is_not_the_models_is_found_and_refused(seed):
    source = proto_of(pooled_before_it_is_quantized, seed).SerializeToString()
    network = read(source)
    layers = [
        replace(layer, bias=layer.bias + 900) if isinstance(layer, Conv2d) else layer
        for layer in network.layers
    ]
    wrong = QNetwork(network.name, network.input, network.tensors, layers)
    found = compared(source, wrong)
    assert found.differing.keys() == {"maxpool5", "logits"}
    with pytest.raises(NetworkError) as caught:
        found.require_close()
    assert str(caught.value) == (f"{found}; quantize every operator's output, or use --inexact")


def test_a_comparison_says_how_many_of_how_many_on_what():
    assert str(Comparison(9, 12_345, {"conv": 2, "logits": 1}, 1)) == (
        "3 of 12,345 values differ from ONNX Runtime's, by 1 at most, on 9 random images: "
        "2 of conv, 1 of logits; its float rounding errors decide where a sum lies close to a tie"
    )


def test_a_model_for_one_image_at_a_time_is_compared_image_by_image(seed):
    proto = proto_of(pooled_before_it_is_quantized, seed)
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    source = proto.SerializeToString()
    assert compared(source, read(source)).differing == {}


def test_import_says_it(tmp_path, capsys, seed):
    path, facts = tmp_path / "net.onnx", tmp_path / "facts.json"
    path.write_bytes(proto_of(pooled_before_it_is_quantized, seed).SerializeToString())
    words = ["import", str(path), "--format", "onnx", "-o", str(tmp_path / "net.json")]
    assert main([*words, "--json", str(facts)]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("Equal to ONNX Runtime in all ")
    assert (
        line
        == json.loads(facts.read_text())["equality"]
        .capitalize()
        .replace("onnx runtime", "ONNX Runtime")
        + "."
    )

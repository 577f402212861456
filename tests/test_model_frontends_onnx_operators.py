"""ONNX models by hand, operator by operator, equal ONNX Runtime on every element."""

import re

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

import onnxruntime
from onnx import helper, numpy_helper
from onnxgen import Model, coded, differing, grid, images, quantized
from tercet.model.frontends.onnx import read
from tercet.model.frontends.onnx.arithmetic import add_table
from tercet.model.frontends.onnx.session import session_trace
from tercet.model.frontends.onnx.values import INT8, UINT8
from tercet.model.layers import NetworkError, Tensor


def requantizations(model):
    """Two scales for one map, a ReLU of its own, a clamp at both ends, another type."""
    a = grid(model, model.conv_of("x", coded(model, 3, 2, 3, 3)), 0.0217, 100)
    b = grid(model, model.node("Relu", a), 0.0131, 3)
    c = grid(model, model.node("Clip", a, model.constant(-0.5), model.constant(0.9)), 0.0217, 100)
    d = grid(model, model.node("Add", a, b), 0.0313, 90)
    e = grid(model, model.node("Add", c, d), 0.0411, 90)
    return grid(model, model.node("Identity", e), 0.0371, -7, np.int8)


def same_padding(model):
    """auto_pad, weights per channel, a mean instead of a pool, weights of a MatMul by column."""
    x = model.conv_of("x", coded(model, 3, 2, 3, 2, axis=0), auto_pad="SAME_UPPER", strides=[2, 2])
    x = grid(model, model.node("Relu", x), 0.0217, 0)
    x = model.conv_of(x, coded(model, 4, 3, 2, 2), auto_pad="SAME_LOWER")
    x = grid(model, x, 0.0611, 120)
    x = grid(model, model.node("ReduceMean", x, axes=[2, 3], keepdims=0), 0.0293, 101)
    return grid(model, model.node("MatMul", x, coded(model, 4, 3, axis=1)), 0.0173, 30)


def computed_extents(model):
    """x.view(x.size(0), -1), as the exporter writes it for a batch of any size."""
    x = grid(model, model.conv_of("x", coded(model, 3, 2, 5, 5)), 0.0517, 110)
    size = model.node("Gather", model.node("Shape", x), model.constant(0, np.int64), axis=0)
    size = model.node("Unsqueeze", size, model.constant([0], np.int64))
    size = model.node("Concat", size, model.constant([-1], np.int64), axis=0)
    x = grid(model, model.node("Reshape", x, size), 0.0517, 110)
    bias = model.node("Identity", model.constant(0.0123 * 0.0517))
    bias = model.node("DequantizeLinear", model.constant([50, -70], np.int32), bias)
    x = model.node("Gemm", x, coded(model, 60, 2), bias)
    return grid(model, x, 0.0913, 120)


def float_weights(model):
    """Weights that the model quantizes itself, as after training with quantization."""
    scales = model.constant(model.rng.uniform(0.002, 0.004, 3)), model.constant([0, 0, 0], np.int8)
    w = model.node("QuantizeLinear", model.weights(3, 2, 3, 3), *scales, axis=0)
    x = model.conv_of("x", model.node("DequantizeLinear", w, *scales, axis=0))
    return grid(model, x, 0.0217, 100)


@pytest.mark.parametrize("build", [requantizations, same_padding, computed_extents, float_weights])
def test_models_by_hand_equal_onnx_runtime(seed, build):
    rng = np.random.default_rng(seed)
    model = Model(rng, (2, 9, 8))
    x = grid(model, "x", np.float32(1) / np.float32(255), 0)
    model.conv_of = lambda source, w, **kw: model.node(
        "Conv", x if source == "x" else source, w, **kw
    )
    source = model.proto(build(model)).SerializeToString()
    counts, network = differing(source, images(rng, model.shape, 200))
    assert not counts.total(), counts
    assert network.tensors["image"].scale == float(np.float32(1 / 255))


def near_ties(model, rng, kind):
    """A layer whose factor lies a few units in the last place beside a power of two."""
    sx, sw = rng.uniform(0.01, 0.02, 2).astype(np.float32)
    x = grid(model, "x", sx, 128)
    target = np.float32(2.0**-5)
    if kind == "Conv":
        values = model.constant([[[[1]], [[64]]], [[[-3]], [[50]]]], np.int8)
        y = model.node("Conv", x, model.node("DequantizeLinear", values, model.constant(sw)))
        sy = sx * sw / target
    else:
        y = model.node("GlobalAveragePool", x)
        sy = sx / (target * np.float32(24))
    for _ in range(rng.integers(0, 4)):
        sy = np.nextafter(sy, np.float32(rng.choice([0, 1])))
    return grid(model, y, sy, 120), sx


@pytest.mark.parametrize("kind", ["Conv", "GlobalAveragePool"])
def test_near_ties_equal_onnx_runtime(seed, kind):
    rng = np.random.default_rng(seed)
    for _ in range(12):
        model = Model(rng, (2, 4, 6))
        output, scale = near_ties(model, rng, kind)
        batch = scale * rng.integers(-40, 40, (3000, *model.shape)).astype(np.float32)
        counts, _ = differing(model.proto(output).SerializeToString(), batch)
        assert not counts.total(), counts


def test_the_input_is_the_pixels_where_the_scale_is_one_in_255(seed):
    rng = np.random.default_rng(seed)
    model = Model(rng, (1, 16, 16))
    x = grid(model, "x", np.float32(1 / 255), 0)
    y = grid(model, model.node("MaxPool", x, kernel_shape=[2, 2]), np.float32(1 / 255), 0)
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    batch = (pixels.astype(np.float32) / np.float32(255)).transpose(0, 3, 1, 2)
    source = model.proto(y).SerializeToString()
    np.testing.assert_array_equal(session_trace(source, batch)["image"], pixels)


def every_pair_in_onnx_runtime(a, b, y):
    """QLinearAdd of every value of a with every value of b, (256, 256)."""
    dtype = y.dtype.numpy
    values = np.arange(y.dtype.qmin, y.dtype.qmax + 1).astype(dtype)
    inputs = dict(zip("ab", np.meshgrid(values, values, indexing="ij"), strict=True))
    names, tensors = [], []
    for t in (a, b, y):
        names += [t.name, f"{t.name}_scale", f"{t.name}_zero"][t.name == "y" :]
        tensors.append(numpy_helper.from_array(np.array(t.scale, np.float32), names[-2]))
        tensors.append(numpy_helper.from_array(np.array(t.zero_point, dtype), names[-1]))
    node = helper.make_node("QLinearAdd", names, ["y"], domain="com.microsoft")
    element = helper.np_dtype_to_tensor_dtype(dtype)
    ports = [helper.make_tensor_value_info(name, element, [256, 256]) for name in "aby"]
    graph = helper.make_graph([node], "add", ports[:2], ports[2:], tensors)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, inputs)[0]


@pytest.mark.parametrize("dtype", [UINT8, INT8])
def test_every_pair_of_an_addition_equals_onnx_runtime(seed, dtype):
    rng = np.random.default_rng(seed)
    for number in range(40):
        scales = rng.uniform(0.01, 0.05, 3).astype(np.float32)
        if number % 4 == 0:
            scales[1] = scales[0]  # many pairs come close to the same tie
        a, b, y = (
            Tensor(name, (1, 1, 1), dtype, float(scale), int(rng.integers(dtype.qmin, dtype.qmax)))
            for name, scale in zip("aby", scales, strict=True)
        )
        np.testing.assert_array_equal(add_table(a, b, y), every_pair_in_onnx_runtime(a, b, y))


def test_two_quantizations_that_onnx_runtime_merges_are_refused(seed):
    model = Model(np.random.default_rng(seed), (2, 4, 4))
    x = grid(model, grid(model, grid(model, "x", 0.01, 0), 0.01, 0), 0.02, 5)
    with pytest.raises(
        NetworkError,
        match=r"^Node 'quantizelinear4' \(QuantizeLinear\): ONNX Runtime merges it with "
        r"Node 'quantizelinear2' \(QuantizeLinear\); remove one of the two$",
    ):
        read(model.proto(model.node("MaxPool", x, kernel_shape=[2, 2])).SerializeToString())


@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
def test_a_constant_summand_is_refused(seed, tmp_path, form):
    rng = np.random.default_rng(seed)
    model = Model(rng, (1, 3, 3))
    x = model.node("MatMul", model.node("Flatten", "x"), model.weights(9, 4))
    x = model.node("Add", x, model.constant(rng.normal(0, 1, 4)))
    source = quantized(model.proto(x), tmp_path, images(rng, model.shape), form=form)
    with pytest.raises(NetworkError) as caught:
        read(source)
    assert re.sub(r"'\w+'", "NAME", str(caught.value)) == (
        f"Node NAME ({'Add' if form == 'QDQ' else 'QLinearAdd'}): input NAME is constant; fuse it "
        "with its neighbour (onnxruntime.quantization.preprocess makes a Gemm of a MatMul)"
    )

"""Networks read from ONNX equal ONNX Runtime on every element of every tensor."""

import io
from dataclasses import replace

import numpy as np
import pytest
from anylayers import any_layers

pytest.importorskip("onnxruntime")

import onnx
from onnxgen import Model, differing, images, quantized
from tercet.model.data import fit_to, mnist, training_digits
from tercet.model.float.nets import nets
from tercet.model.formats.json_file import dumps, loads
from tercet.model.frontends.onnx import read
from tercet.model.frontends.onnx.arithmetic import added
from tercet.model.frontends.onnx.session import session_of, session_trace
from tercet.model.frontends.onnx.values import UINT8
from tercet.model.layers import NetworkError, Tensor
from tercet.model.layers.add import Add
from tercet.model.requant import Requant, Rounding

CONFIGURATIONS = {
    "qdq": {},
    "qdq_channel": {"per_channel": True},
    "qdq_uint8": {"weights": "uint8"},
    "qdq_asymmetric": {"WeightSymmetric": False},
    "qdq_int8": {"activations": "int8"},
    "qdq_int8_channel": {"activations": "int8", "per_channel": True},
    "op": {"form": "QOperator"},
    "op_channel": {"form": "QOperator", "per_channel": True},
    "op_uint8": {"form": "QOperator", "weights": "uint8"},
    "op_asymmetric": {"form": "QOperator", "WeightSymmetric": False},
    "op_int8": {"form": "QOperator", "activations": "int8"},
}
# on x86 a default session leaves int8 activations of more than one reader, or asked for, in floats
FUSED = {"session.qdqisint8allowed": "1"}


def chain(model):
    """Convolutions of every kind, max pools, fully connected layers."""
    x = model.conv("x", (4, 2, 3, 3), pads=[1, 0, 1, 0], strides=[1, 2])
    x = model.node("Relu", x)
    x = model.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 1], pads=[0, 1, 0, 0])
    x = model.conv(x, (8, 1, 3, 3), group=4, bias=False, dilations=[2, 1], pads=[2, 1, 2, 1])
    x = model.node("Clip", x, model.constant(0.0), model.constant(6.0))
    x = model.conv(x, (6, 4, 2, 2), group=2)
    x = model.node("Flatten", x)
    x = model.gemm(x, 6 * 5 * 4, 7)
    x = model.node("Relu", x)
    return model.gemm(x, 7, 4)


def residual(model):
    """Two additions, and the average of the map."""
    a = model.node("Relu", model.conv("x", (4, 2, 3, 3), pads=[1, 1, 1, 1]))
    b = model.conv(a, (4, 1, 3, 3), pads=[1, 1, 1, 1], group=4)
    x = model.node("Add", a, b)
    x = model.node("Add", model.conv(x, (4, 4, 1, 1)), x)
    x = model.node("GlobalAveragePool", x)
    x = model.node("Reshape", x, model.constant([-1, 4], np.int64))
    return model.node("MatMul", x, model.weights(4, 3))


def perceptron(model):
    """Fully connected layers alone, the image flattened while it is still in floats."""
    x = model.gemm(model.node("Flatten", "x"), 2 * 12 * 11, 6)
    return model.gemm(model.node("Relu", x), 6, 3)


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
@pytest.mark.parametrize("build", [chain, residual, perceptron])
def test_every_tensor_equals_onnx_runtime(seed, tmp_path, build, configuration):
    rng = np.random.default_rng(seed)
    model = Model(rng, (2, 12, 11))
    batch = images(rng, model.shape)
    source = quantized(model.proto(build(model)), tmp_path, batch, **CONFIGURATIONS[configuration])
    config = FUSED if "int8" in configuration and configuration.startswith("qdq") else None
    counts, network = differing(source, batch, config)
    assert not counts.total(), counts
    assert dumps(loads(dumps(network))) == dumps(network)


@pytest.mark.parametrize("activations", ["uint8", "int8"])
def test_the_output_equals_a_default_session_with_nothing_added(seed, tmp_path, activations):
    rng = np.random.default_rng(seed)
    model = Model(rng, (2, 12, 11))
    batch = images(rng, model.shape)
    source = quantized(model.proto(chain(model)), tmp_path, batch, activations=activations)
    session = session_of(source)
    (expected,) = session.run(None, {"x": batch})
    network = read(source)
    scores = network(session_trace(source, batch)["image"]).astype(np.int32)
    output = network.tensors[network.output]
    real = np.float32(output.scale) * (scores - output.zero_point).astype(np.float32)
    np.testing.assert_array_equal(real, expected)


def test_additions_with_many_ties_are_refused_unless_inexact_is_asked_for():
    a, b, y = (Tensor(name, (1, 1, 1), UINT8, 0.1, 3) for name in "aby")
    y = replace(y, scale=0.2)
    layer = Add("add", "a", "y", other="b", requant=Requant((1, 1), 0, Rounding.HALF_UP, 0, 255))
    none = np.zeros(0, np.int64), np.zeros(0, np.int64)
    with pytest.raises(
        ValueError,
        match=r"^\d{4,5} of 65536 pairs of inputs add up to a tie that ONNX Runtime's float "
        r"rounding errors decide; calibrate to other scales, or read it with inexact=True$",
    ):
        added(inexact=False)(layer, (a, b), y, none)
    assert added(inexact=True)(layer, (a, b), y, none).low == 0


def test_a_planted_fault_is_found(seed, tmp_path):
    rng = np.random.default_rng(seed)
    model = Model(rng, (2, 12, 11))
    batch = images(rng, model.shape)
    source = quantized(model.proto(chain(model)), tmp_path, batch)
    network = read(source)
    layers = any_layers(network)
    broken = layers[0].requant.multipliers[0] * 101 // 100
    requant = replace(layers[0].requant, multipliers=(broken,))
    layers[0] = replace(layers[0], requant=requant)
    expected = session_trace(source, batch)
    found = replace(network, layers=layers).trace(expected["image"])
    assert (found["conv0"] != expected["conv0"]).any()


def test_average_pools_in_operator_form_equal_onnx_runtime(seed, tmp_path):
    rng = np.random.default_rng(seed)
    model = Model(rng, (2, 12, 12))
    x = model.node("Relu", model.conv("x", (3, 2, 3, 3)))
    x = model.node("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
    y = model.node("AveragePool", x, kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)
    batch = images(rng, model.shape, 200)
    source = quantized(model.proto(y), tmp_path, batch[4:], form="QOperator")
    counts, _ = differing(source, batch)
    assert not counts.total(), counts


def test_average_pools_with_ties_are_refused_unless_inexact_is_asked_for(seed, tmp_path):
    rng = np.random.default_rng(seed)
    model = Model(rng, (2, 12, 12))
    x = model.node("Relu", model.conv("x", (3, 2, 3, 3)))
    y = model.node("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
    batch = images(rng, model.shape, 200)
    source = quantized(model.proto(y), tmp_path, batch[4:])
    with pytest.raises(
        NetworkError,
        match=r"^Layer 'averagepool2': 255 of 1021 sums lie so close to a tie that ONNX Runtime's "
        r"float rounding errors decide; quantize in operator form \(QuantFormat\.QOperator\), "
        r"which gives the pool a scale of its own, or read it with inexact=True$",
    ):
        read(source)
    network = read(source, inexact=True)
    expected = session_trace(source, batch)
    found = network.trace(expected["image"])["logits"].astype(int)
    wrong = np.abs(found - expected["logits"])
    assert wrong.max() == 1
    assert 0 < wrong.mean() < 0.2  # a quarter are ties


@pytest.mark.torch
@pytest.mark.mnist
@pytest.mark.filterwarnings("ignore:You are using the legacy TorchScript-based:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The feature will be removed:DeprecationWarning")
@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("plain", "QDQ"),
        ("plain", "QOperator"),
        ("lenet_max", "QDQ"),
        ("lenet_avg", "QOperator"),
        ("mnist_cnn_bn", "QDQ"),
    ],
)
def test_trained_networks_equal_onnx_runtime_on_test_images(tmp_path, name, form):
    torch = pytest.importorskip("torch")
    shape = nets.input_shape_of(name)

    def pixels(images):
        fitted = fit_to(images, shape).reshape(-1, *shape)
        return (fitted.astype(np.float32) / np.float32(255)).transpose(0, 3, 1, 2)

    exported = io.BytesIO()
    training, test = (
        pixels(digits.first(count).images)
        for digits, count in ((training_digits(), 200), (mnist("test"), 1000))
    )
    torch.onnx.export(
        nets.load(name).module(),
        (torch.from_numpy(training[:1].copy()),),
        exported,
        dynamo=False,
        opset_version=17,
        dynamic_axes={"x": {0: "N"}},
        input_names=["x"],
    )
    model = onnx.load_model_from_string(exported.getvalue())
    source = quantized(model, tmp_path, training, form=form, per_channel=form == "QDQ")
    counts, _ = differing(source, test)
    assert not counts.total(), counts

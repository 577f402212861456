"""Networks read from ONNX equal ONNX Runtime on every element of every tensor."""

from collections import Counter

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from onnxgen import Model, images, quantized
from tercet.model.frontends.onnx import read
from tercet.model.frontends.onnx_session import session_trace
from tercet.model.netfile import dumps, loads

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


def differing(source, batch, config=None):
    """How many elements of each tensor differ, and the network."""
    network = read(source)
    expected = session_trace(source, batch, config)
    found = network.trace(expected["image"])
    counts = Counter()
    for name, values in expected.items():
        assert values.dtype == found[name].dtype
        assert values.shape == found[name].shape
        counts[name] = int((values != found[name]).sum())
    assert set(expected) == set(network.tensors) - {"class"}
    return counts, network


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
@pytest.mark.parametrize("build", [chain, residual])
def test_every_tensor_equals_onnx_runtime(seed, tmp_path, build, configuration):
    rng = np.random.default_rng(seed)
    model = Model(rng, (2, 12, 11))
    batch = images(rng, model.shape)
    source = quantized(model.proto(build(model)), tmp_path, batch, **CONFIGURATIONS[configuration])
    config = FUSED if "int8" in configuration and configuration.startswith("qdq") else None
    counts, network = differing(source, batch, config)
    assert not counts.total(), counts
    assert dumps(loads(dumps(network))) == dumps(network)

"""Small float ONNX models by hand, and what ONNX Runtime's static quantization makes of them."""

from collections import Counter

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from tercet.model.frontends.onnx import read
from tercet.model.frontends.onnx.session import session_trace

TYPES = {"uint8": QuantType.QUInt8, "int8": QuantType.QInt8}


class Model:
    """A float model under construction; each method adds a node and gives its output's name."""

    def __init__(self, rng, shape):
        self.rng, self.shape = rng, shape
        self.nodes, self.tensors = [], []
        self.conv_of = self.joined = None  # short forms of a test

    def constant(self, values, dtype=np.float32):
        name = f"constant{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def weights(self, *shape):
        spread = 1 / np.sqrt(np.prod(shape[1:]))
        return self.constant(self.rng.normal(0, spread, shape))

    def node(self, op, *inputs, **attributes):
        name = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name, **attributes))
        return name

    def conv(self, x, shape, bias=True, **attributes):
        inputs = [x, self.weights(*shape)]
        if bias:
            inputs.append(self.constant(self.rng.normal(0, 0.1, shape[0])))
        return self.node("Conv", *inputs, **attributes)

    def gemm(self, x, inputs, outputs):
        bias = self.constant(self.rng.normal(0, 0.1, outputs))
        return self.node("Gemm", x, self.weights(outputs, inputs), bias, transB=1)

    def proto(self, output):
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *self.shape])
        y = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "net", [x], [y], self.tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 8
        return model


def grid(model, x, scale, zero_point, dtype=np.uint8):
    """QuantizeLinear and DequantizeLinear behind x."""
    names = model.constant(scale), model.constant(zero_point, dtype)
    return model.node("DequantizeLinear", model.node("QuantizeLinear", x, *names), *names)


def coded(model, *shape, scale=0.0123, axis=None):
    """Quantized weights."""
    values = model.constant(model.rng.integers(-100, 100, shape), np.int8)
    if axis is None:
        return model.node("DequantizeLinear", values, model.constant(scale))
    scales = model.constant(model.rng.uniform(0.01, 0.02, shape[axis]))
    zero_points = model.constant(np.zeros(shape[axis]), np.int8)
    return model.node("DequantizeLinear", values, scales, zero_points, axis=axis)


class Images(CalibrationDataReader):
    """Calibration by given batches."""

    def __init__(self, *batches, name="x"):
        self.batches = iter([{name: batch} for batch in batches])

    def get_next(self):
        return next(self.batches, None)


def images(rng, shape, count=48):
    """float32 (count, *shape): beyond the calibrated range on both sides, then random."""
    batch = rng.random((count, *shape), dtype=np.float32)
    batch[0], batch[1], batch[2], batch[3] = 0, 1, -9, 9
    return batch


def quantized(
    model, path, batch, form="QDQ", activations="uint8", weights="int8", per_channel=False, **extra
):
    """The bytes of a model quantized by ONNX Runtime; ``path`` is a folder for its files."""
    source, target = path / "float.onnx", path / "quantized.onnx"
    onnx.save(model, source)
    quantize_static(
        source,
        target,
        Images(batch, name=model.graph.input[0].name),
        quant_format=QuantFormat[form],
        activation_type=TYPES[activations],
        weight_type=TYPES[weights],
        per_channel=per_channel,
        extra_options=extra,
    )
    return target.read_bytes()


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

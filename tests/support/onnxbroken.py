"""A model in ONNX, ways to break it, and what is said when it is read."""

import numpy as np
import pytest
from onnx import helper, numpy_helper
from onnxgen import Model
from tercet.model.frontends.onnx import read
from tercet.model.layers import NetworkError


def proto():
    """A convolution with a bias, in QDQ form; constants count from 0 in the order given here."""
    model = Model(np.random.default_rng(0), (2, 9, 8))

    def grid(x, scale, zero_point):
        names = model.constant(scale), model.constant(zero_point, np.uint8)
        x = model.node("QuantizeLinear", x, *names)
        return model.node("DequantizeLinear", x, *names)

    x = grid("x", 0.01, 0)  # 0, 1
    weights = model.constant(model.rng.integers(-9, 9, (3, 2, 3, 3)), np.int8)  # 2
    w = model.node("DequantizeLinear", weights, model.constant(0.02))  # 3
    bias = model.constant([1, 2, 3], np.int32)  # 4
    b = model.node("DequantizeLinear", bias, model.constant(0.0002))  # 5
    return model.proto(grid(model.node("Conv", x, w, b), 0.03, 10))  # 6, 7


def node(model, op):
    return next(node for node in model.graph.node if node.op_type == op)


def constant(number, values):
    """A change of one constant."""

    def change(model):
        tensor = model.graph.initializer[number]
        tensor.CopyFrom(numpy_helper.from_array(np.asarray(values), tensor.name))

    return change


def attribute(op, name, value):
    return lambda model: node(model, op).attribute.append(helper.make_attribute(name, value))


def field(of, name, value):
    return lambda model: setattr(of(model), name, value)


def conv(model):
    return node(model, "Conv")


CONV = "Node 'conv4' (Conv): "
QUANTIZE = "Node 'quantizelinear0' (QuantizeLinear): "


def refusal(change):
    """The whole message that the model is refused with after a change."""
    model = proto()
    change(model)
    with pytest.raises(NetworkError) as caught:
        read(model.SerializeToString())
    return str(caught.value)

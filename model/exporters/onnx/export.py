"""Export of an integer network to an ONNX file with which ONNX Runtime computes the same integers.

A layer that requantizes a sum has one of two forms. ``qdq`` is DequantizeLinear -> Conv or Gemm ->
QuantizeLinear with the tensors' scales and zero points, if ``qdq.py`` proves that ONNX Runtime's
fused node gives the layer's integers. ``explicit`` is elementary operators, exact by construction
(``exact.py``). The layer's own node states the form and the reason (doc_string, metadata). Tensors
keep the network's names. They are NCHW integers, scores (N, C).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import helper

from ...layers import Argmax, Flatten, Relu, Tensor, require
from ...layers.add import Add
from ...layers.concat import Concat
from ...layers.conv import Conv2d
from ...layers.linear import Linear
from ...layers.pool import AvgPool2d, MaxPool2d
from ...layers.table import Table
from ...layers.upsample import Upsample
from ...network import QNetwork
from ...requant import Requant
from .exact import Term, WeightedSum, accumulate, centered, requantize
from .nodes import FLOAT, INT32, Nodes, element_type, extents, rank
from .qdq import NoScaleError, fused, weight_scales

__all__ = ["OPSET", "write"]

OPSET = 21
IR_VERSION = 10  # the first with metadata on nodes and values
WIDEST = 24  # bits of an activation: exact in float32, also after subtraction of the zero point

PROMISE = (
    "Every tensor with a zero point among its metadata holds the integers that tercet computes. "
    "Nodes of the form explicit give them by themselves; those of the form qdq where ONNX Runtime "
    "fuses them, as it does by default on a CPU (optimization level extended or all; on x86 "
    "without VNNI with session.x64quantprecision = 1)."
)

Facts = dict[str, str]


def write(network: QNetwork, *, explicit: bool = False) -> bytes:
    """Write ``network`` as an ONNX model; the same network gives the same bytes.

    The input is the network's, integers (N, C, H, W). The outputs are the class scores and, if an
    argmax closes the network, the class.

    Parameters
    ----------
    explicit : whether every layer has the explicit form, which is exact without fusion

    Raises NetworkError, which names the layer, if ONNX cannot represent a tensor or layer.
    """
    for name, tensor in network.tensors.items():
        _require_carried(network, name, tensor)
    nodes, constants = [], []
    for layer in network.layers:
        part = Nodes(network, layer)
        facts = WRITERS[layer.kind](part, layer, explicit)
        part.close({"kind": layer.kind} | facts)
        nodes += part.nodes
        constants += part.constants
    written = list(dict.fromkeys([network.output, network.layers[-1].output]))
    values = {name: _value(network, tensor) for name, tensor in network.tensors.items()}
    graph = helper.make_graph(
        nodes,
        network.name,
        [values.pop(network.input)],
        [values.pop(name) for name in written if name in values],
        constants,
        value_info=list(values.values()),
        doc_string=PROMISE,
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="tercet",
    )
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _require_carried(network: QNetwork, name: str, tensor: Tensor) -> None:
    """Refuse a tensor whose name or type ONNX cannot represent."""
    producer = network.producer(name)
    where = "The input" if producer is None else f"Layer {producer.name!r}"
    carried = bool(name) and name.encode(errors="replace").decode() == name
    require(carried, f"{where}: a tensor's name in ONNX must be a text, not {name!r}; rename it")
    require(
        tensor.dtype.bits <= WIDEST,
        f"{where}: {name!r} must have at most {WIDEST} bits to be exported to ONNX, "
        f"not {tensor.dtype.bits}; requantize it to fewer",
    )


def _value(network: QNetwork, tensor: Tensor) -> onnx.ValueInfoProto:
    """A tensor's declaration, with its quantization as text and as metadata."""
    facts = {
        "type": str(tensor.dtype),
        "scale": repr(tensor.scale),
        "zero_point": str(tensor.zero_point),
    }
    doc = f"{tensor.dtype}, real value = {tensor.scale!r} * (q - {tensor.zero_point})"
    value = helper.make_tensor_value_info(
        tensor.name, element_type(tensor.dtype), extents(network, tensor), doc_string=doc
    )
    helper.set_metadata_props(value, facts)
    return value


def _reach(network: QNetwork, tensor: str) -> int:
    """The greatest |x - Zx| of a tensor."""
    low, high = network.value_range(tensor)
    zero_point = network.tensors[tensor].zero_point
    return max(abs(low - zero_point), abs(high - zero_point))


def _requant_facts(requant: Requant) -> Facts:
    facts = {
        "multipliers": ", ".join(map(str, requant.multipliers)),
        "shift": str(requant.shift),
        "rounding": requant.rounding.value,
        "clamp": f"{requant.low} to {requant.high}",
    }
    if requant.has_offsets:
        facts["offsets"] = ", ".join(map(str, requant.offsets))
    return facts


def _window(layer: Conv2d | MaxPool2d | AvgPool2d) -> dict[str, Any]:
    top, left, bottom, right = layer.padding
    return {
        "kernel_shape": list(layer.kernel),
        "strides": list(layer.stride),
        "pads": [top, left, bottom, right],
    }


def _sum_of(layer: Conv2d) -> WeightedSum:
    values = layer.weights.values.astype(layer.weights.dtype.numpy)  # (OC, KH, KW, ICG)
    zero_points = layer.weights.zero_points_per_channel
    if isinstance(layer, Linear):
        return WeightedSum("Gemm", values[:, 0, 0], zero_points, layer.bias, {"transB": 1})
    attributes = _window(layer) | {"dilations": list(layer.dilation), "group": layer.groups}
    return WeightedSum("Conv", values.transpose(0, 3, 1, 2), zero_points, layer.bias, attributes)


def _conv2d(nodes: Nodes, layer: Conv2d, explicit: bool) -> Facts:
    network, total = nodes.network, _sum_of(layer)
    x, y = network.tensors[layer.input], nodes.y
    axes = 2 if total.operator == "Gemm" else 4
    facts = {"weight_scales": ", ".join(map(repr, layer.weights.scales))}
    facts |= _requant_facts(layer.requant)
    try:
        if explicit:
            raise NoScaleError("asked for")
        scales = weight_scales(layer, x, y, layer.sum_bounds(network))
    except NoScaleError as reason:
        _exact_sum(nodes, total, layer.requant, axes)
        return {"form": "explicit", "why": str(reason)} | facts
    fused(nodes, total, layer.requant, scales, axes)
    return {
        "form": "qdq",
        "why": "on every accumulator that the layer can reach, float32(acc) * (Sx * Sw / Sy) "
        "rounds half to even to the layer's own integers",
    } | facts


def _exact_sum(nodes: Nodes, total: WeightedSum, requant: Requant, axes: int) -> None:
    """A layer that reads one tensor, in the explicit form."""
    name = nodes.layer.input
    zero_point, reach = nodes.network.tensors[name].zero_point, _reach(nodes.network, name)
    acc = accumulate(nodes, total, nodes.read(name, axes), zero_point, reach)
    term = Term(acc, requant.multipliers, total.magnitude(reach))
    requantize(nodes, [term], requant, nodes.y.zero_point, axes)
    nodes.shape_output(axes)


def _relu(nodes: Nodes, layer: Relu, explicit: bool) -> Facts:
    axes = rank(nodes.network, layer.output)
    nodes.clip(nodes.read(layer.input, axes), layer.low, layer.high)
    return {"clamp": f"{layer.low} to {layer.high}"}


def _table(nodes: Nodes, layer: Table, explicit: bool) -> Facts:
    """Gather the entry of each value."""
    axes = rank(nodes.network, layer.output)
    index = nodes.cast(nodes.read(layer.input, axes), INT32, "x_wide")
    if layer.first:
        first = nodes.constant("first", layer.first, np.int32)
        index = nodes.node("Sub", [index, first], "index")
    values = nodes.constant("values", layer.values, nodes.y.dtype.numpy)
    nodes.node("Gather", [values, index], "y", axis=0)
    return {"form": "explicit"}


def _upsample(nodes: Nodes, layer: Upsample, explicit: bool) -> Facts:
    """Gather rows, then columns: ONNX Runtime's Resize takes 8 bits or 32 alone."""
    value, (height, width, _) = nodes.read(layer.input, 4), nodes.y.shape
    for what, axis, extent in (("rows", 2, height), ("y", 3, width)):
        indices = np.arange(extent) // layer.factor[axis - 2]
        of_axis = nodes.constant(f"source_{'rows' if axis == 2 else 'columns'}", indices, np.int64)
        value = nodes.node("Gather", [value, of_axis], what, axis=axis)
    nodes.shape_output(4)
    return {"form": "explicit"}


def _max_pool2d(nodes: Nodes, layer: MaxPool2d, explicit: bool) -> Facts:
    x = nodes.read(layer.input, 4)
    narrow = nodes.y.dtype.numpy.itemsize == 1
    if not narrow:  # ONNX has no MaxPool of wider integers; they are exact in float32
        x = nodes.cast(x, FLOAT, "x_float")
    y = nodes.node("MaxPool", [x], "y", **_window(layer))
    if not narrow:
        nodes.cast(y, element_type(nodes.y.dtype), "y_integer")
    nodes.shape_output(4)
    return {}


def _avg_pool2d(nodes: Nodes, layer: AvgPool2d, explicit: bool) -> Facts:
    """Sum by a convolution of each channel with ones."""
    channels = nodes.y.shape[2]
    total = WeightedSum(
        "Conv",
        np.ones((channels, 1, *layer.kernel), dtype=np.int8),
        (0,) * channels,
        np.zeros(channels, dtype=np.int64),
        _window(layer) | {"group": channels},
    )
    _exact_sum(nodes, total, layer.requant, 4)
    return {"form": "explicit"} | _requant_facts(layer.requant)


def _add(nodes: Nodes, layer: Add, explicit: bool) -> Facts:
    network, axes = nodes.network, rank(nodes.network, layer.output)
    terms = []
    for what, name, multiplier in zip("ab", layer.reads, layer.requant.multipliers, strict=True):
        value = nodes.read(name, axes, what)
        value = centered(nodes, value, network.tensors[name].zero_point, what)
        terms.append(Term(value, (multiplier,), _reach(network, name)))
    requantize(nodes, terms, layer.requant, nodes.y.zero_point, axes)
    return {"form": "explicit"} | _requant_facts(layer.requant)


def _concat(nodes: Nodes, layer: Concat, explicit: bool) -> Facts:
    """Concatenate, then requantize as after a convolution, with one multiplier per channel."""
    network, axes = nodes.network, rank(nodes.network, layer.output)
    tensors = [network.tensors[name] for name in layer.reads]
    names = [f"x{index}" for index in range(len(tensors))]
    parts = [nodes.read(x.name, axes, name) for x, name in zip(tensors, names, strict=True)]
    if layer.copies(network):
        to, y = element_type(nodes.y.dtype), nodes.y.dtype.numpy
        for index, x in enumerate(tensors):
            if x.dtype.numpy != y:
                parts[index] = nodes.cast(parts[index], to, f"{names[index]}_cast")
        nodes.node("Concat", parts, "y", axis=1)
        return {"form": "explicit", "order": "as it is"}
    for index, x in enumerate(tensors):
        parts[index] = centered(nodes, parts[index], x.zero_point, names[index])
    value = nodes.node("Concat", parts, "joined", axis=1)
    counts, of_each = [x.shape[2] for x in tensors], map(layer.requant_of, range(len(tensors)))
    spread = np.repeat([(r.multipliers[0], r.offsets[0]) for r in of_each], counts, axis=0).tolist()
    multipliers, offsets = zip(*spread, strict=True)
    term = Term(value, multipliers, max(_reach(network, x.name) for x in tensors))
    requantize(nodes, [term], replace(layer.requant, offsets=offsets), nodes.y.zero_point, axes)
    return {"form": "explicit"} | _requant_facts(layer.requant)


def _flatten(nodes: Nodes, layer: Flatten, explicit: bool) -> Facts:
    """Flatten in raster order, channels last, as in the network, not as in ONNX."""
    height, width, channels = nodes.network.tensors[layer.input].shape
    value = layer.input
    if channels > 1 and height * width > 1:
        value = nodes.node("Transpose", [value], "nhwc", perm=[0, 2, 3, 1])
    nodes.node("Flatten", [value], "y")
    nodes.shape_output(2)
    return {"order": "rows, columns, channels"}


def _argmax(nodes: Nodes, layer: Argmax, explicit: bool) -> Facts:
    x = nodes.read(layer.input, 2)
    if nodes.network.tensors[layer.input].dtype.numpy.itemsize > 1:
        x = nodes.cast(x, INT32, "x_wide")
    index = nodes.node("ArgMax", [x], "index", axis=1, keepdims=1, select_last_index=0)
    nodes.cast(index, element_type(nodes.y.dtype), "y")
    nodes.shape_output(2)
    return {"ties": "the first"}


WRITERS: dict[str, Callable[[Nodes, Any, bool], Facts]] = {
    "conv2d": _conv2d,
    "linear": _conv2d,
    "max_pool2d": _max_pool2d,
    "avg_pool2d": _avg_pool2d,
    "add": _add,
    "concat": _concat,
    "relu": _relu,
    "table": _table,
    "upsample": _upsample,
    "flatten": _flatten,
    "argmax": _argmax,
}

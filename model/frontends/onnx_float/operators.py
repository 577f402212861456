"""The operators of float ONNX models: each becomes a node of the float graph or is refused.

Sources: the operators' pages of ONNX, in the operator sets 11 to 23.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from ...builder import Window
from ...float.ptq import graph as g
from ...float.ptq.functions import Function
from ...float.ptq.seen import Seen
from ..onnx.graph import Node
from ..onnx.layers import pool_kernel, require_plain, require_spatial, whole, window
from ..onnx.moves import MOVES
from ..onnx.resize import factor_of
from ..onnx.shapes import SHAPES, extents
from ..onnx.values import clip_ends, mean_axes, one_slope, require_inference
from .reader import FloatReader, Pads

__all__ = ["NORMALIZE", "OPERATORS", "PASSED"]

PASSED = ("Softmax", "LogSoftmax")  # at the end of a model: they keep the order of the scores
NORMALIZE = (
    "leave the normalization out of the model, and give its mean and std to the quantization"
)


def _more(window: Window, pads: Pads) -> Window:
    """A window with the zeros of a Pad before it."""
    top, left, bottom, right = (a + b for a, b in zip(window.padding, pads, strict=True))
    return replace(window, padding=(top, left, bottom, right))


def _conv(reader: FloatReader, node: Node) -> None:
    seen, pads = reader.padded(node.input(0), node)
    weight = reader.constant(node, 1)
    if weight.ndim != 4:
        raise node.refuse(f"weights have {weight.ndim} axes", "use a 2-d convolution")
    source = reader.as_map(seen, node)
    kernel = (weight.shape[2], weight.shape[3])
    node.require("kernel_shape", list(kernel), "export again")
    bias = reader.constant(node, 2) if node.input(2) else np.zeros(len(weight))
    frame = _more(window(node, seen, kernel), pads)
    made = g.Conv(
        reader.layer_name(node),
        (source,),
        weight=weight,
        bias=bias.reshape(-1),
        window=frame,
        groups=node.integer("group", 1),
    )
    reader.put(node, made)


def _linear(reader: FloatReader, node: Node) -> None:
    require_plain(node)
    weight = reader.constant(node, 1)
    if weight.ndim != 2:
        raise node.refuse(f"weights have {weight.ndim} axes", "use a matrix of weights")
    weight = weight if node.integer("transB", 0) else weight.T
    bias = reader.constant(node, 2) if node.input(2) else np.zeros(len(weight))
    source = reader.vector(node.input(0), node)
    bias = np.broadcast_to(bias.reshape(-1), (len(weight),)).copy()
    made = g.Linear(reader.layer_name(node), (source,), weight=weight, bias=bias)
    reader.put(node, made)


def _batch_norm(reader: FloatReader, node: Node) -> None:
    epsilon = node.attributes.get("epsilon", 1e-5)
    gamma, beta, mean, var = (reader.constant(node, index).reshape(-1) for index in range(1, 5))
    if any(reader.graph.readers.get(name) for name in node.outputs[1:]):
        raise node.refuse("its statistics are read", "export the model in evaluation mode")
    source = reader.whole(node.input(0), node)
    made = g.Norm(
        reader.layer_name(node),
        (source,),
        gamma=gamma,
        beta=beta,
        mean=mean,
        var=var,
        eps=float(epsilon),
    )
    reader.put(node, made)


def _clip(reader: FloatReader, node: Node) -> None:
    ends = clip_ends(reader.graph, node)
    reader.put_clip(node, node.input(0), ends, "use Relu, or a Clip from 0 to 6")


def _function(reader: FloatReader, node: Node, name: str, *parameters: float) -> None:
    reader.put_function(node, node.input(0), name, *parameters)


def _leaky_relu(reader: FloatReader, node: Node) -> None:
    reader.put_leaky(node, node.input(0), node.number("alpha", 0.01))


def _prelu(reader: FloatReader, node: Node) -> None:
    reader.put_leaky(node, node.input(0), one_slope(node, reader.constant(node, 1)))


def _hard_sigmoid(reader: FloatReader, node: Node) -> None:
    slope, offset = node.number("alpha", 0.2), node.number("beta", 0.5)
    if np.float32(slope) == np.float32(1 / 6) and offset == 0.5:
        _function(reader, node, "hardsigmoid")
    else:
        _function(reader, node, "line", slope, offset)


def _elu(reader: FloatReader, node: Node) -> None:
    _function(reader, node, "elu", node.number("alpha", 1.0))


def _gelu(reader: FloatReader, node: Node) -> None:
    exact = node.attributes.get("approximate", b"none") == b"none"
    _function(reader, node, "gelu" if exact else "gelu_tanh")


def _mul(reader: FloatReader, node: Node) -> None:
    """A product of x and Sigmoid(x) or HardSigmoid(x); others are refused."""
    if any(map(reader.is_constant, node.inputs)):
        reason = "it multiplies an activation by a constant"
        first = reader.graph.input in node.inputs
        raise node.refuse(reason, NORMALIZE if first else "fold the factor into the weights")
    made = {"sigmoid": "silu", "hardsigmoid": "hardswish"}
    for x, other in (node.inputs, node.inputs[::-1]):
        a, b = reader.seen(x, node), reader.seen(other, node)
        by = next((each for each in reader.nodes if each.name == b.tensor), None)
        if (
            isinstance(by, g.Pointwise)
            and by.function.name in made
            and by.inputs == (a.tensor,)
            and np.array_equal(a.places, b.places)
        ):
            function = Function(made[by.function.name])
            layer = g.Pointwise(reader.layer_name(node), (a.tensor,), function=function)
            reader.put_like(node, layer, a)
            return
    reason = "it multiplies two tensors of which neither is a sigmoid of the other"
    raise node.refuse(reason, "multiply x by Sigmoid(x), as SiLU does")


def _max_pool(reader: FloatReader, node: Node) -> None:
    seen, kernel = reader.seen(node.input(0), node), pool_kernel(node)
    source, frame = reader.as_map(seen, node), window(node, seen, kernel)
    made = g.MaxPool(reader.layer_name(node), (source,), kernel=kernel, window=frame)
    reader.put(node, made)


def _average(
    reader: FloatReader, node: Node, seen: Seen, kernel: tuple[int, int], frame: Window
) -> None:
    made = g.AvgPool(
        reader.layer_name(node), (reader.as_map(seen, node),), kernel=kernel, window=frame
    )
    reader.put(node, made)


def _average_pool(reader: FloatReader, node: Node) -> None:
    seen, pads = reader.padded(node.input(0), node)
    kernel = pool_kernel(node)
    frame = window(node, seen, kernel)
    if any(frame.padding) and node.integer("count_include_pad", 0) != 1:
        reason = "padding that does not count divides by another number at the border"
        raise node.refuse(reason, "set count_include_pad=1, or pad with a Pad before it")
    _average(reader, node, seen, kernel, _more(frame, pads))


def _global_average(reader: FloatReader, node: Node) -> None:
    seen = reader.seen(node.input(0), node)
    _average(reader, node, seen, whole(node, seen), Window())


def _reduce_mean(reader: FloatReader, node: Node) -> None:
    seen = reader.seen(node.input(0), node)
    require_spatial(node, seen, mean_axes(reader.graph, node))
    _average(reader, node, seen, whole(node, seen), Window())
    if not node.integer("keepdims", 1):
        name = node.outputs[0]
        reader.tensors[name] = reader.tensors[name].reshaped((-1,), node)


def _add(reader: FloatReader, node: Node) -> None:
    constants = [index for index, name in enumerate(node.inputs) if reader.is_constant(name)]
    if constants:
        _biased(reader, node, constants[0])
        return
    reader.put_sum(node, *node.inputs)


def _biased(reader: FloatReader, node: Node, index: int) -> None:
    """A constant added to the output of a convolution or linear layer: its bias."""
    name, bias = node.input(1 - index), reader.constant(node, index)
    seen = reader.seen(name, node)
    at = next((n for n, each in enumerate(reader.nodes) if each.name == seen.tensor), None)
    before = None if at is None else reader.nodes[at]
    if at is None or not isinstance(before, g.Weighted) or not reader.alone(name):
        reason = "it adds a constant to what is no convolution's or linear layer's own output"
        first = name == reader.graph.input
        raise node.refuse(reason, NORMALIZE if first else "fold it into the bias before it")
    channels = len(before.weight)
    spread = bias.reshape(-1) if bias.size in (1, channels) else None
    per_channel = bias.ndim <= 1 if len(seen.dims) == 1 else bias.shape[-2:] == (1, 1)
    if spread is None or not (bias.size == 1 or per_channel or bias.shape == (1, channels)):
        reason = f"it adds a constant of the extents {list(bias.shape)}"
        raise node.refuse(reason, "add one number, or one per channel")
    reader.nodes[at] = replace(before, bias=before.bias + spread)
    reader.tensors[node.outputs[0]] = seen


def _concat(reader: FloatReader, node: Node) -> None:
    if all(name in reader.extents or reader.is_constant(name) for name in node.inputs):
        extents(reader, node)
        return
    parts = [reader.seen(name, node) for name in node.inputs]
    rank = len(parts[0].dims) + 1
    axis = node.integer("axis", 1)
    if axis not in (1, 1 - rank) or any(len(part.dims) + 1 != rank for part in parts):
        raise node.refuse(f"axis is {axis}", "concatenate the channels of maps, axis=1")
    if len(parts) == 1:
        reader.same(node, node.input(0))
        return
    inputs = tuple(reader.whole(name, node) for name in node.inputs)
    reader.put(node, g.Concat(reader.layer_name(node), inputs))


def _resize(reader: FloatReader, node: Node) -> None:
    seen = reader.seen(node.input(0), node)
    factor = factor_of(reader, node, seen.dims)
    source = reader.as_map(seen, node)
    reader.put(node, g.Upsample(reader.layer_name(node), (source,), factor=factor))


def _pad(reader: FloatReader, node: Node) -> None:
    """Zeros around a map, which the convolution or average pool that reads it adds itself."""
    found = node.attributes.get("pads")
    pads = [int(n) for n in (reader.constant(node, 1).tolist() if found is None else found)]
    value = node.attributes.get("value", 0.0)
    if node.input(2):
        value = float(reader.constant(node, 2).reshape(-1)[0])
    axes = [int(axis) % 4 for axis in reader.constant(node, 3)] if node.input(3) else [0, 1, 2, 3]
    seen, before = reader.padded(node.input(0), node)
    starts = dict(zip(axes, pads[: len(axes)], strict=False))
    ends = dict(zip(axes, pads[len(axes) :], strict=False))
    wanted = [starts.get(2, 0), starts.get(3, 0), ends.get(2, 0), ends.get(3, 0)]
    other = any(each.get(axis, 0) for each in (starts, ends) for axis in (0, 1))
    if len(seen.dims) != 3 or other or min(wanted) < 0 or (any(wanted) and value != 0):
        reason = f"it pads by {pads} with {value:g}"
        raise node.refuse(reason, "pad rows and columns by zeros")
    top, left, bottom, right = (a + b for a, b in zip(before, wanted, strict=True))
    reader.tensors[node.outputs[0]] = seen
    if any((top, left, bottom, right)):
        reader.pads[node.outputs[0]] = top, left, bottom, right


def _move(reader: FloatReader, node: Node) -> None:
    """An operator that moves activations; it may also be applied to extents."""
    if node.op in SHAPES and node.input(0) in reader.extents:
        extents(reader, node)
    else:
        seen = reader.seen(node.input(0), node)
        reader.tensors[node.outputs[0]] = MOVES[node.op](reader, node, seen)


def _dropout(reader: FloatReader, node: Node) -> None:
    training = reader.constant(node, 2) if node.input(2) else None
    require_inference(node, reader.graph, training)
    _same(reader, node)


def _same(reader: FloatReader, node: Node) -> None:
    reader.same(node, node.input(0))


def _softmax(reader: FloatReader, node: Node) -> None:
    raise node.refuse("it is not at the end of the model", "end the model with it, or leave it out")


OPERATORS: dict[str, Callable[[FloatReader, Node], None]] = {
    "Conv": _conv,
    "Gemm": _linear,
    "MatMul": _linear,
    "BatchNormalization": _batch_norm,
    "Relu": _clip,
    "Clip": _clip,
    "LeakyRelu": _leaky_relu,
    "PRelu": _prelu,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": partial(_function, name="hardswish"),
    "Elu": _elu,
    "Sigmoid": partial(_function, name="sigmoid"),
    "Tanh": partial(_function, name="tanh"),
    "Gelu": _gelu,
    "Mul": _mul,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": _global_average,
    "ReduceMean": _reduce_mean,
    "Add": _add,
    "Concat": _concat,
    "Resize": _resize,
    "Pad": _pad,
    **dict.fromkeys(MOVES, _move),
    **{op: extents for op in SHAPES if op not in MOVES and op != "Concat"},
    "Identity": _same,
    "Dropout": _dropout,
    **dict.fromkeys(PASSED, _softmax),
}

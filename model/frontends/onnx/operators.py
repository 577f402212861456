"""The effect of each ONNX operator on the reader: an intermediate real result, or a layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from ...builder import Grid
from ...ordered import Ordered
from .concat import concat, qlinear_concat
from .functions import FUNCTIONS, function, mul, qlinear_function, qlinear_mul
from .graph import Node
from .moves import MOVES
from .reader import Reader
from .resize import resize
from .shapes import SHAPES, extents
from .values import (
    Constant,
    Pending,
    Result,
    clamp_on,
    clip_ends,
    constant_of,
    grid_of,
    mean_axes,
    quantized_constant,
    require_inference,
)

__all__ = ["OPERATORS"]

CODES = {0: None, 2: np.uint8, 3: np.int8}  # ONNX's types of a QuantizeLinear without zero point


def _quantize(reader: Reader, node: Node) -> None:
    graph, x = reader.graph, node.input(0)
    node.require("block_size", 0, "quantize per tensor or per channel")
    if x in graph.tensors:
        constant = quantized_constant(graph, node)
        reader.reals[f"integers of {node.outputs[0]}"] = constant
        return
    grid = grid_of(
        graph, node, node.input(1), node.input(2), CODES[node.integer("output_dtype", 0)]
    )
    if x in reader.raw:
        image = value = _image(reader, node, grid)
        for moved, layer in reader.raw[x]:  # moving values and quantizing them commute
            value = layer(reader, moved, value)
        reader.define(node, value)
        reader.names.setdefault(image.tensor.name, (node.outputs[0], image))
        return
    real = reader.reals.get(x)
    if isinstance(real, Pending):
        clamp = clamp_on(grid, real.low, real.high)
        if real.fused and clamp != (grid.dtype.qmin, grid.dtype.qmax):
            reason = (
                "the clamp after it is not the one that the output's zero point and scale imply"
            )
            way_out = "quantize the activation with its zero point at the end of its type"
            raise real.node.refuse(reason, way_out)
        result = real.emit(Result(reader.fresh(real.node), grid, clamp))
        for move in real.moves:
            result = move(result)
    else:
        result = reader.dequantized(node, 0)
        if result.grid != grid:
            _require_unmerged(reader, node, result.grid.dtype == grid.dtype)
            result = reader.layers.requantize(result, Result(reader.fresh(node), grid))
    reader.define(node, result)


def _require_unmerged(reader: Reader, node: Node, one_type: bool) -> None:
    """Refuse two consecutive quantizations that ONNX Runtime merges into one with another scale.

    It merges them if the tensors between them have no other reader
    (``double_qdq_pairs_remover.cc``).
    """
    graph = reader.graph
    names, ops = [node.outputs[0], node.input(0)], ["DequantizeLinear", "QuantizeLinear"]
    writer = graph.writers.get(node.input(0))
    if writer is not None:
        names, ops = [*names, writer.input(0)], [*ops, "DequantizeLinear"]
    first = graph.writers.get(names[-1])
    alone = all(
        [reader.op for reader in graph.readers.get(name, ())] == [op]
        for name, op in zip(names, ops, strict=True)
    )
    if one_type and alone and first is not None and first.op == "QuantizeLinear":
        way_out = "remove one of the two"
        raise node.refuse(f"ONNX Runtime merges it with {first}", way_out)


def _image(reader: Reader, node: Node, grid: Grid) -> Ordered:
    """The network's input."""
    if reader.image is None:
        reader.image = reader.builder.input(reader.graph.shape, grid)
    elif reader.image.grid != grid:
        raise node.refuse("the input is quantized twice", "quantize it once")
    return reader.image


def _dequantize(reader: Reader, node: Node) -> None:
    graph, x, out = reader.graph, node.input(0), node.outputs[0]
    node.require("block_size", 0, "quantize per tensor or per channel")
    constant = reader.reals.get(f"integers of {x}")
    if isinstance(constant, Constant):
        reader.reals[out] = constant
    elif x in graph.tensors:
        reader.reals[out] = constant_of(graph, node, x, node.input(1), node.input(2))
    else:
        value = reader.quantized(node, x)
        dtype = value.tensor.dtype.numpy
        if grid_of(graph, node, node.input(1), node.input(2), dtype) != value.grid:
            reason = "scale, zero point or type differ from those of the tensor it reads"
            raise node.refuse(reason, "give both the same")
        reader.reals[out] = value


def _conv(reader: Reader, node: Node, linear: bool = False) -> None:
    x, w = reader.dequantized(node, 0), reader.constant(node, 1)
    bias = reader.constant(node, 2) if node.input(2) else None
    layer = reader.layers.linear if linear else reader.layers.conv
    reader.pend(node, partial(layer, node, x, w, bias))


def _weights(reader: Reader, node: Node, axis: int) -> Constant:
    """The weights of an operator of integers; ``axis`` has the output channels."""
    names = (node.input(index) for index in (3, 4, 5))
    return replace(constant_of(reader.graph, node, *names), axis=axis)


def _qlinear_conv(reader: Reader, node: Node) -> None:
    x, w = reader.operand(node, 0), _weights(reader, node, 0)
    grid = reader.grid(node, 6)
    bias = reader.graph.constant(node, node.input(8)) if node.input(8) else None
    reader.emit(node, partial(reader.layers.conv, node, x, w, bias), grid)


def _qgemm(reader: Reader, node: Node) -> None:
    x, w = reader.operand(node, 0), _weights(reader, node, 0 if node.integer("transB", 0) else 1)
    bias = reader.graph.constant(node, node.input(6)) if node.input(6) else None
    if not node.input(7):
        raise node.refuse("its output stays in floats", "quantize it")
    reader.emit(node, partial(reader.layers.linear, node, x, w, bias), reader.grid(node, 7))


def _qlinear_matmul(reader: Reader, node: Node) -> None:
    x, w = reader.operand(node, 0), _weights(reader, node, 1)
    reader.emit(node, partial(reader.layers.linear, node, x, w, None), reader.grid(node, 6))


def _add(reader: Reader, node: Node) -> None:
    a, b = (reader.dequantized(node, index) for index in (0, 1))
    reader.pend(node, partial(reader.layers.add, node, a, b))


def _qlinear_add(reader: Reader, node: Node) -> None:
    a, b = reader.operand(node, 0), reader.operand(node, 3)
    reader.emit(node, partial(reader.layers.add, node, a, b), reader.grid(node, 6))


def _average(reader: Reader, node: Node, whole: bool = False) -> None:
    layer = reader.layers.global_average_pool if whole else reader.layers.average_pool
    reader.pend(node, partial(layer, node, reader.dequantized(node, 0)))


def _qlinear_average(reader: Reader, node: Node, whole: bool = False) -> None:
    layer = reader.layers.global_average_pool if whole else reader.layers.average_pool
    reader.emit(node, partial(layer, node, reader.operand(node, 0)), reader.grid(node, 3))


def _reduce_mean(reader: Reader, node: Node) -> None:
    x, axes = reader.dequantized(node, 0), mean_axes(reader.graph, node)
    reader.pend(node, partial(reader.layers.reduce_mean, node, x, axes))


def _clip(reader: Reader, node: Node) -> None:
    value = reader.reals.get(node.input(0))
    if not isinstance(value, Pending):
        x = reader.dequantized(node, 0)
        value = Pending(node, partial(reader.layers.requantize, x), fused=False)
    reader.reals[node.outputs[0]] = value.clipped(*clip_ends(reader.graph, node))


def _same(reader: Reader, node: Node, layer: Callable[[Reader, Node, Ordered], Ordered]) -> None:
    """An operator that only moves or compares values, on integers or on real values."""
    if node.input(0) in reader.raw:
        reader.raw[node.outputs[0]] = (*reader.raw[node.input(0)], (node, layer))
    elif node.input(0) in reader.integers:
        reader.define(node, layer(reader, node, reader.integers[node.input(0)]))
    elif isinstance(value := reader.reals.get(node.input(0)), Pending):
        move: Callable[[Ordered], Ordered] = partial(layer, reader, node)
        reader.reals[node.outputs[0]] = replace(value, moves=(*value.moves, move))
    else:
        reader.reals[node.outputs[0]] = layer(reader, node, reader.dequantized(node, 0))


def _move(reader: Reader, node: Node, layer: Callable[[Reader, Node, Ordered], Ordered]) -> None:
    """An operator that moves activations; it may also be applied to extents."""
    if node.op in SHAPES and (
        node.input(0) in reader.extents or node.input(0) in reader.graph.tensors
    ):
        extents(reader, node)
    else:
        _same(reader, node, layer)


def _max_pool(reader: Reader, node: Node, x: Ordered) -> Ordered:
    return reader.layers.max_pool(node, reader.fresh(node), x)


def _resize(reader: Reader, node: Node) -> None:
    """A Resize of what is quantized: ONNX Runtime moves no QuantizeLinear across it."""
    if isinstance(reader.reals.get(node.input(0)), Pending):
        reader.dequantized(node, 0)  # refuses it
    _same(reader, node, resize)


def _dropout(reader: Reader, node: Node) -> None:
    training = reader.graph.constant(node, node.input(2)) if node.input(2) else None
    require_inference(node, reader.graph, training)
    _identity(reader, node)


def _identity(reader: Reader, node: Node) -> None:
    source, out = node.input(0), node.outputs[0]
    if source in reader.raw:
        reader.raw[out] = reader.raw[source]
    elif source in reader.integers:
        reader.integers[out] = reader.integers[source]
    elif source in reader.reals:
        reader.reals[out] = reader.reals[source]
    else:
        raise node.refuse("it passes floats on", "remove it")


OPERATORS: dict[str, Callable[[Reader, Node], None]] = {
    "QuantizeLinear": _quantize,
    "DequantizeLinear": _dequantize,
    "Conv": _conv,
    "Gemm": partial(_conv, linear=True),
    "MatMul": partial(_conv, linear=True),
    "QLinearConv": _qlinear_conv,
    "QGemm": _qgemm,
    "QLinearMatMul": _qlinear_matmul,
    "Add": _add,
    "QLinearAdd": _qlinear_add,
    "AveragePool": _average,
    "GlobalAveragePool": partial(_average, whole=True),
    "QLinearAveragePool": _qlinear_average,
    "QLinearGlobalAveragePool": partial(_qlinear_average, whole=True),
    "ReduceMean": _reduce_mean,
    "Relu": _clip,
    "Clip": _clip,
    "MaxPool": partial(_same, layer=_max_pool),
    "Identity": _identity,
    **dict.fromkeys(SHAPES, extents),
    **{op: partial(_move, layer=layer) for op, layer in MOVES.items()},
    "Dropout": _dropout,
    "Resize": _resize,
    **dict.fromkeys(FUNCTIONS, function),
    "QLinearLeakyRelu": qlinear_function,
    "QLinearSigmoid": qlinear_function,
    "Mul": mul,
    "QLinearMul": qlinear_mul,
    "Concat": concat,
    "QLinearConcat": qlinear_concat,
}

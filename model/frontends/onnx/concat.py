"""Concat and QLinearConcat: concatenated channels of quantized tensors.

ONNX Runtime requantizes each tensor by a table, ``arithmetic.requant_table``, or copies it if its
scale and zero point are the output's (``contrib_ops/cpu/quantization/qlinear_concat.cc``,
``qlinear_lookup_table.cc``). In floats, between DequantizeLinear and QuantizeLinear, the result is
the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ...ordered import Ordered
from .arithmetic import concatenated
from .graph import Node
from .reader import Reader
from .shapes import extents
from .values import Pending, Result

__all__ = ["concat", "qlinear_concat"]


def concat(reader: Reader, node: Node) -> None:
    """A Concat of extents, of integers on one grid, or of reals."""
    if all(name in reader.extents or name in reader.graph.tensors for name in node.inputs):
        extents(reader, node)
    elif all(name in reader.integers for name in node.inputs):
        inputs = [reader.integers[name] for name in node.inputs]
        if any(x.grid != inputs[0].grid for x in inputs):
            way_out = "use QLinearConcat, or dequantize them before it"
            raise node.refuse("its inputs are integers of several grids", way_out)
        reader.emit(node, partial(_joined, reader, node, inputs), inputs[0].grid)
    else:
        inputs = [reader.dequantized(node, index) for index in range(len(node.inputs))]
        emit = partial(_joined, reader, node, inputs)
        reader.reals[node.outputs[0]] = Pending(node, emit, fused=False)


def qlinear_concat(reader: Reader, node: Node) -> None:
    """A QLinearConcat: scale and zero point of the output, then three inputs for each tensor."""
    grid = reader.grid(node, 0)
    inputs = [reader.operand(node, index) for index in range(2, len(node.inputs), 3)]
    reader.emit(node, partial(_joined, reader, node, inputs), grid)


def _joined(reader: Reader, node: Node, inputs: Sequence[Ordered], y: Result) -> Ordered:
    """The layer; for a single tensor, a requantization."""
    first = inputs[0]
    axis, rank = node.integer("axis", 1), len(first.dims) + 1
    if axis not in (1, 1 - rank) or any(len(x.dims) + 1 != rank for x in inputs):
        raise node.refuse(f"axis is {axis}", "concatenate the channels of maps, axis=1")
    if len(inputs) == 1:
        return reader.layers.requantize(first, y)
    return reader.builder.concat(y.name, inputs, y.by(concatenated))

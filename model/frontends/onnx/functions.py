"""ONNX operators that are functions of one value: tables, with ONNX Runtime's float32 arithmetic.

For each integer of the input ONNX Runtime dequantizes, computes the function in float32 and
quantizes again, also in QLinearLeakyRelu and QLinearSigmoid, whose tables are made this way
(``contrib_ops/cpu/quantization/qlinear_lookup_table.cc``). Sources of the functions: ONNX
LeakyRelu-16, PRelu-16, HardSwish-22, HardSigmoid-22, Elu-22, Sigmoid-13, Tanh-13, Gelu-20. Sigmoid,
Tanh, Elu and Gelu are rounded correctly to float32 here; ONNX Runtime's approximations differ by a
few units in the last place, which changes an entry only if it lies that close to a tie.

A Mul of two functions of the same tensor is a function of it again: x * Sigmoid(x) is SiLU.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt

from ...dtypes import Integers
from ...ordered import Ordered
from .arithmetic import dequantized, product_table, quantized
from .graph import Node
from .reader import Reader
from .values import Constant, Pending, Result, grid_of, one_slope

__all__ = ["FUNCTIONS", "function", "mul", "qlinear_function", "qlinear_mul"]

Floats = npt.NDArray[np.float32]
Function = Callable[[Floats], Floats]


def _leaky(slope: np.float32) -> Function:
    return lambda x: np.where(x >= 0, x, x * slope)


def _leaky_relu(reader: Reader, node: Node) -> Function:
    return _leaky(np.float32(node.number("alpha", 0.01)))


def _prelu(reader: Reader, node: Node) -> Function:
    value = reader.reals.get(node.input(1))
    if isinstance(value, Constant):
        offsets = value.values.astype(np.float32) - value.zero_points.astype(np.float32)[:1]
        slopes = offsets * value.scales[:1]
    else:
        slopes = reader.graph.constant(node, node.input(1))
    return _leaky(np.float32(one_slope(node, slopes)))


def _hard_sigmoid(reader: Reader, node: Node) -> Function:
    alpha, beta = np.float32(node.number("alpha", 0.2)), np.float32(node.number("beta", 0.5))
    return lambda x: np.clip(alpha * x + beta, np.float32(0), np.float32(1))


def _hard_swish(reader: Reader, node: Node) -> Function:
    sixth, half = np.float32(1 / 6), np.float32(0.5)
    return lambda x: x * np.clip(sixth * x + half, np.float32(0), np.float32(1))


def _elu(reader: Reader, node: Node) -> Function:
    alpha = np.float32(node.number("alpha", 1.0))
    return lambda x: np.where(x >= 0, x, alpha * _each(math.expm1, np.minimum(x, 0)))


def _sigmoid(reader: Reader, node: Node) -> Function:
    return lambda x: _each(lambda value: (1 + math.tanh(value / 2)) / 2, x)


def _tanh(reader: Reader, node: Node) -> Function:
    return lambda x: _each(math.tanh, x)


def _gelu(reader: Reader, node: Node) -> Function:
    approximate = node.attributes.get("approximate", b"none")
    if approximate == b"none":
        return lambda x: _each(lambda value: value * math.erfc(-value / math.sqrt(2)) / 2, x)
    if approximate != b"tanh":
        raise node.refuse(f"approximate is {approximate!r}", "use none or tanh")
    factor = math.sqrt(2 / math.pi)

    def approximated(value: float) -> float:
        return value * (1 + math.tanh(factor * (value + 0.044715 * value**3))) / 2

    return lambda x: _each(approximated, x)


def _each(function: Callable[[float], float], x: Floats) -> Floats:
    """The function of each value in float64, rounded to float32."""
    return np.array([function(float(value)) for value in x], dtype=np.float32)


# By operator: (reader, node) -> the function.
FUNCTIONS: dict[str, Callable[[Reader, Node], Function]] = {
    "LeakyRelu": _leaky_relu,
    "PRelu": _prelu,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "Elu": _elu,
    "Sigmoid": _sigmoid,
    "Tanh": _tanh,
    "Gelu": _gelu,
}


def function(reader: Reader, node: Node) -> None:
    """A function of one value between DequantizeLinear and QuantizeLinear."""
    of = FUNCTIONS[node.op](reader, node)
    x, values = _curve(reader, node, 0)
    with np.errstate(all="ignore"):
        _pend(reader, node, x, of(values))


def qlinear_function(reader: Reader, node: Node) -> None:
    """QLinearLeakyRelu, QLinearSigmoid: the same in one operator."""
    x, values = reader.operand(node, 0), FUNCTIONS[node.op.removeprefix("QLinear")](reader, node)
    grid = grid_of(reader.graph, node, node.input(3), node.input(4), x.tensor.dtype.numpy)
    with np.errstate(all="ignore"):
        table = quantized(values(dequantized(x.grid)), grid)
    reader.emit(node, partial(_table, reader, x, table), grid)


def mul(reader: Reader, node: Node) -> None:
    """A Mul of two functions of one tensor."""
    both = [reader.reals.get(name) for name in node.inputs]
    if isinstance(both[0], Ordered) and isinstance(both[1], Ordered):  # fused to QLinearMul
        reader.pend(node, partial(_product, reader, node, both[0], both[1]))
        return
    (x, a_values), (other, b_values) = (_curve(reader, node, index) for index in (0, 1))
    _require_same(node, x, other)
    with np.errstate(all="ignore"):
        _pend(reader, node, x, a_values * b_values)


def qlinear_mul(reader: Reader, node: Node) -> None:
    """QLinearMul: the same in one operator."""
    a, b = reader.operand(node, 0), reader.operand(node, 3)
    reader.emit(node, partial(_product, reader, node, a, b), reader.grid(node, 6))


def _product(reader: Reader, node: Node, a: Ordered, b: Ordered, y: Result) -> Ordered:
    (x, a_table), (other, b_table) = (_source(reader, each) for each in (a, b))
    _require_same(node, x, other)
    return _table(reader, x, product_table(a_table, a.grid, b_table, b.grid, y.grid), y)


def _require_same(node: Node, x: Ordered, other: Ordered) -> None:
    if x.tensor.name != other.tensor.name or not np.array_equal(x.places, other.places):
        raise node.refuse(
            "it multiplies two tensors of which neither is a function of the other",
            "multiply x by a function of x, as SiLU does, or fold a factor into the weights",
        )


def _source(reader: Reader, x: Ordered) -> tuple[Ordered, Integers]:
    """The tensor of which a tensor is a table, and the table; else the tensor itself."""
    if x.tensor.name in reader.tables:
        source, table = reader.tables[x.tensor.name]
        return replace(x, tensor=source.tensor), table
    dtype = x.tensor.dtype
    return x, np.arange(dtype.qmin, dtype.qmax + 1)


def _curve(reader: Reader, node: Node, index: int) -> tuple[Ordered, Floats]:
    """A real input as a function of a quantized tensor: the tensor, and float32 (2**bits,)."""
    value = reader.reals.get(node.input(index))
    if isinstance(value, Pending) and value.curve is not None and not value.moves:
        x, values = value.curve
        if np.isinf(value.low) and np.isinf(value.high):
            return x, values
    x = reader.dequantized(node, index)
    source, table = _source(reader, x)
    return source, dequantized(x.grid)[table - x.tensor.dtype.qmin]


def _pend(reader: Reader, node: Node, x: Ordered, values: Floats) -> None:
    if not np.isfinite(values).all():
        raise node.refuse("it gives infinite values", "calibrate the model again")

    def emit(y: Result) -> Ordered:
        return _table(reader, x, quantized(values, y.grid), y)

    reader.reals[node.outputs[0]] = Pending(node, emit, fused=False, curve=(x, values))


def _table(reader: Reader, x: Ordered, table: Integers, y: Result) -> Ordered:
    """The layer; the table is clamped."""
    table = table.clip(*y.ends)
    made = reader.builder.table(y.name, x, table, y.grid)
    reader.tables[made.tensor.name] = x, table
    return made

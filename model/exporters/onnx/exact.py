"""A layer's integer arithmetic in elementary ONNX operators, exact by construction.

Sums run in float32 if every partial sum is exact there, as in ``golden/fastconv.py``; otherwise
activations are split into digits whose sums are. The requantization follows ``requant/requant.py``,
in float64 if the product and the half fit, else in int64. No part is a pattern that ONNX Runtime
fuses: the activations enter through Cast instead of DequantizeLinear, and a Cast follows every sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from ...dtypes import Array, Integers
from ...golden.fastconv import FLOAT32_EXACT
from ...layers import require
from ...requant import Requant, Rounding
from ...requant.requant import FLOAT64_EXACT
from .nodes import DOUBLE, FLOAT, INT64, Nodes, element_type

__all__ = ["Term", "WeightedSum", "accumulate", "requantize"]


@dataclass(frozen=True)
class WeightedSum:
    """The sum of a convolution, a fully connected layer or an average pool.

    Parameters
    ----------
    operator : Conv or Gemm
    weights : in ONNX's axes, (OC, IC / groups, KH, KW) or (OC, IC), in their container's dtype
    zero_points : of the weights, one per output channel
    bias : int64 (OC,)
    attributes : of the operator
    """

    operator: str
    weights: Array
    zero_points: Sequence[int]
    bias: Integers
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def weight(self) -> int:
        """The greatest sum of one output channel's |weights|, zero points subtracted."""
        flat = self.weights.reshape(len(self.weights), -1).astype(np.int64)
        return int(np.abs(flat - np.array(self.zero_points)[:, None]).sum(axis=1).max())

    def magnitude(self, reach: int) -> int:
        """A bound on every |partial sum|, bias included, if no |x - Zx| exceeds ``reach``."""
        return self.weight * reach + int(np.abs(self.bias).max())


@dataclass(frozen=True)
class Term:
    """A tensor of exact integers in floats, its multipliers, and a bound on its magnitude."""

    value: str
    multipliers: tuple[int, ...]
    reach: int


def centered(nodes: Nodes, x: str, zero_point: int, what: str = "x") -> str:
    """x - Zx in float32."""
    x = nodes.cast(x, FLOAT, f"{what}_float")
    if not zero_point:
        return x
    return nodes.node(
        "Sub", [x, nodes.constant(f"{what}_zero_point", zero_point, np.float32)], what
    )


def accumulate(nodes: Nodes, total: WeightedSum, x: str, zero_point: int, reach: int) -> str:
    """Add the accumulators of a layer.

    Parameters
    ----------
    x : its input's name
    reach : an upper bound on |x - Zx|

    Returns the name of a tensor of exact integers, float32 or float64. Raises NetworkError if the
    sum of the weights' magnitudes is too large for float32.
    """
    x = centered(nodes, x, zero_point)
    weights = [
        nodes.constant("weights", total.weights, total.weights.dtype),
        nodes.constant("unit", np.ones(len(total.weights)), np.float32),
        nodes.constant("weight_zero_points", total.zero_points, total.weights.dtype),
    ]
    w = nodes.node("DequantizeLinear", weights, "w", axis=0)
    if total.magnitude(reach) < FLOAT32_EXACT:
        bias = [nodes.constant("bias", total.bias, np.float32)] if total.bias.any() else []
        return nodes.node(total.operator, [x, w, *bias], "acc", **total.attributes)
    sums = []
    for index, (digit, shift) in enumerate(_digits(nodes, total, x, reach)):
        part = nodes.node(total.operator, [digit, w], f"acc{index}_float", **total.attributes)
        part = nodes.cast(part, DOUBLE, f"acc{index}_double")
        power = nodes.constant(f"power{index}", 2.0**shift, np.float64)
        sums.append(nodes.node("Mul", [part, power], f"acc{index}"))
    if total.bias.any():
        shape = (1, -1) if total.operator == "Gemm" else (1, -1, 1, 1)
        sums.append(nodes.constant("bias", total.bias.reshape(shape), np.float64))
    return _added(nodes, sums, "acc")


def _digits(nodes: Nodes, total: WeightedSum, x: str, reach: int) -> list[tuple[str, int]]:
    """Split x into (digit, shift), x = sum(digit * 2**shift), each small enough for exact sums."""
    bits = ((FLOAT32_EXACT - 1) // max(total.weight, 1)).bit_length() - 1
    require(
        bits >= 1,
        f"Layer {nodes.layer.name!r}: the magnitudes of its weights must add up to less than 2**23 "
        f"to be summed exactly in ONNX's float32, not to {total.weight}; split its input channels",
    )
    digits: list[tuple[str, int]] = []
    while reach > 1 << bits:
        what = f"digit{len(digits)}"
        down = nodes.constant(f"{what}_down", 2.0**-bits, np.float32)
        up = nodes.constant(f"{what}_up", 2.0**bits, np.float32)
        rest = nodes.node("Mul", [x, down], f"{what}_scaled")
        rest = nodes.node("Floor", [rest], f"{what}_rest")
        above = nodes.node("Mul", [rest, up], f"{what}_above")
        digits.append((nodes.node("Sub", [x, above], what), bits * len(digits)))
        x, reach = rest, -(-reach >> bits)
    return [*digits, (x, bits * len(digits))]


def requantize(
    nodes: Nodes, terms: Sequence[Term], requant: Requant, zero_point: int, axes: int
) -> None:
    """Add clamp(round((sum of value * M + B) / 2**n) + Zy, low, high), in the output's type.

    axes : 2 or 4, of the values
    """
    sizes = [term.reach * max(term.multipliers) for term in terms]
    largest = sum(sizes) + max(map(abs, requant.offsets)) + (1 << requant.shift)
    shape = (1, -1) if axes == 2 else (1, -1, 1, 1)
    if largest < FLOAT64_EXACT:
        value = _scaled(nodes, terms, requant, shape, 2.0**-requant.shift, np.float64)
        value, dtype = _round_double(nodes, value, requant.rounding), np.dtype(np.float64)
    else:
        value = _scaled(nodes, terms, requant, shape, 1, np.int64)
        value, dtype = _round_int64(nodes, value, requant)
    if zero_point:
        zero = nodes.constant("y_zero_point", zero_point, dtype)
        value = nodes.node("Add", [value, zero], "shifted")
    ends = [nodes.constant("low", requant.low, dtype), nodes.constant("high", requant.high, dtype)]
    value = nodes.node("Clip", [value, *ends], "clamped")
    nodes.cast(value, element_type(nodes.y.dtype), "y")


def _added(nodes: Nodes, values: list[str], what: str) -> str:
    """The sum of several values of one type."""
    steps = iter(range(len(values) - 2, -1, -1))

    def add(a: str, b: str) -> str:
        left = next(steps)
        return nodes.node("Add", [a, b], f"{what}_partial{left}" if left else what)

    return reduce(add, values)


def _scaled(
    nodes: Nodes,
    terms: Sequence[Term],
    requant: Requant,
    shape: tuple[int, ...],
    unit: float,
    dtype: npt.DTypeLike,
) -> str:
    """The sum of value * M + B, times ``unit``, computed in ``dtype``."""
    wide = DOUBLE if dtype is np.float64 else INT64
    products = []
    for index, term in enumerate(terms):
        number = index if len(terms) > 1 else ""
        value = nodes.cast(term.value, wide, f"acc_wide{number}")
        factors = np.array(term.multipliers, dtype=dtype).reshape(shape) * unit
        factor = nodes.constant(f"multiplier{number}", factors, dtype)
        products.append(nodes.node("Mul", [value, factor], f"product{number}"))
    if requant.has_offsets:
        offsets = np.array(requant.offsets, dtype=dtype).reshape(shape) * unit
        products.append(nodes.constant("offset", offsets, dtype))
    return _added(nodes, products, "scaled")


def _round_double(nodes: Nodes, value: str, rule: Rounding) -> str:
    """Round quotients that are exact in float64, as ``rounding.round_exact_float`` does."""
    if rule is Rounding.FLOAT32:
        value = nodes.node("Round", [nodes.cast(value, FLOAT, "quotient_float")], "rounded_float")
        return nodes.cast(value, DOUBLE, "rounded")
    if rule is Rounding.HALF_EVEN:
        return nodes.node("Round", [value], "rounded")
    if rule is Rounding.FLOOR:
        return nodes.node("Floor", [value], "rounded")
    half = nodes.constant("half", 0.5, np.float64)
    if rule is Rounding.HALF_UP:
        return nodes.node("Floor", [nodes.node("Add", [value, half], "biased")], "rounded")
    biased = nodes.node("Add", [nodes.node("Abs", [value], "magnitude"), half], "biased")
    sign = nodes.node("Sign", [value], "sign")
    return nodes.node("Mul", [nodes.node("Floor", [biased], "rounded_magnitude"), sign], "rounded")


def _round_int64(nodes: Nodes, value: str, requant: Requant) -> tuple[str, np.dtype[Any]]:
    """Round value / 2**n, as ``rounding.round_shift`` does; return the result and its dtype."""
    rule, shift = requant.rounding, requant.shift
    if rule is Rounding.FLOAT32:
        quotient = nodes.constant("unit_float", 2.0**-shift, np.float32)
        value = nodes.cast(value, FLOAT, "scaled_float")
        value = nodes.node("Mul", [value, quotient], "quotient_float")
        value = nodes.node("Round", [value], "rounded_float")
        return nodes.cast(value, DOUBLE, "rounded"), np.dtype(np.float64)
    integers = np.dtype(np.int64)
    if shift == 0:
        return value, integers
    if rule is Rounding.HALF_AWAY:
        zero = nodes.constant("zero", 0, integers)
        below = nodes.cast(nodes.node("Less", [value, zero], "below"), INT64, "below_int")
        value = nodes.node("Sub", [value, below], "towards")
    if rule is not Rounding.FLOOR:
        half = nodes.constant("half", 1 << (shift - 1), integers)
        value = nodes.node("Add", [value, half], "biased")
    # Div rounds towards zero and Mod has the divisor's sign: value - rest divides exactly
    unit = nodes.constant("two_to_n", 1 << shift, integers)
    rest = nodes.node("Mod", [value, unit], "rest")
    whole = nodes.node("Sub", [value, rest], "whole")
    rounded = nodes.node("Div", [whole, unit], "rounded")
    if rule is not Rounding.HALF_EVEN:
        return rounded, integers
    zero, two = nodes.constant("zero", 0, integers), nodes.constant("two", 2, integers)
    tie = nodes.cast(nodes.node("Equal", [rest, zero], "tie"), INT64, "tie_int")
    odd = nodes.node("Mod", [rounded, two], "odd")
    down = nodes.node("Mul", [tie, odd], "odd_tie")
    return nodes.node("Sub", [rounded, down], "even"), integers

"""An accumulator as the operand of a multiplication: only as wide as its results require."""

from __future__ import annotations

import numpy as np
from amaranth import Cat, Mux, Shape, signed, unsigned
from amaranth.hdl import Value

from ..model.dtypes import signed_width
from ..model.requant import Requant
from ..model.requant.active import active_range

__all__ = ["clamped", "operand_shape"]


def operand_shape(requant: Requant, zero_point: int, accumulator_width: int) -> Shape:
    """The narrowest shape that holds all accumulators between which outputs change.

    An accumulator below this range gives the same output as the least one in it, and one above it
    the same as the greatest. The shape is unsigned if negative accumulators give the output of 0,
    as with a fused ReLU.
    """
    least = -1 << (accumulator_width - 1)
    count = max(len(requant.multipliers), len(requant.offsets))
    reach = (np.full(count, least, dtype=np.int64), np.full(count, -least - 1, dtype=np.int64))
    low, high = active_range(requant, zero_point, reach)
    if low >= 0:
        return unsigned(max(high.bit_length(), 1))
    return signed(signed_width(low, max(high, 0)))


def clamped(acc: Value, shape: Shape) -> Value:
    """The value of ``shape`` nearest to ``acc``; only the sign and the upper bits decide."""
    if shape.signed:
        above, sign = acc[shape.width - 1 : -1], acc[-1]
        limit = Cat((~sign).replicate(shape.width - 1), sign)
        outside = above != sign.replicate(len(above))
        return Mux(outside, limit, acc[: shape.width]).as_signed() if len(above) else acc
    bits, sign = acc[:-1], acc[-1]
    above, value = bits[shape.width :], bits[: shape.width]
    return Mux(sign, 0, Mux(above.any(), (1 << len(value)) - 1, value) if len(above) else value)

"""Rounding and saturation: each rule of the integer pipeline, written once.

A rule rounds an exact quotient v = value / 2**shift to an integer. Sources:

* ``HALF_EVEN``: ties to the even neighbour. IEEE 754-2019, 4.3.1 roundTiesToEven; ``nearbyint`` in
  PyTorch's int8 engines (FBGEMM ``requantize_``) and ONNX QuantizeLinear.
* ``HALF_UP``: ties towards +infinity, ``floor(v + 1/2)``. gemmlowp's rounding shift without the
  sign correction; the cheapest in hardware, one constant added.
* ``HALF_AWAY``: ties away from zero. IEEE 754-2019, 4.3.1 roundTiesToAway; gemmlowp
  ``fixedpoint/fixedpoint.h`` RoundingDivideByPOT, TFLite.
* ``FLOOR``: a bare arithmetic shift right, ``floor(v)``.

=========  ====  ====  ====  ====
v          -1.5  -0.5   0.5   1.5
=========  ====  ====  ====  ====
half_even    -2     0     0     2
half_up      -1     0     1     2
half_away    -2    -1     1     2
floor        -2    -1     0     1
=========  ====  ====  ====  ====
"""

from __future__ import annotations

from enum import Enum
from fractions import Fraction

import numpy as np
import numpy.typing as npt

__all__ = ["Rounding", "clamp", "reaches", "round_exact_float", "round_shift"]


class Rounding(Enum):
    """The name of a rounding rule, as network files write it."""

    HALF_EVEN = "half_even"
    HALF_UP = "half_up"
    HALF_AWAY = "half_away"
    FLOOR = "floor"


def round_shift(value: npt.NDArray[np.int64], shift: int, rule: Rounding) -> npt.NDArray[np.int64]:
    """Round ``value / 2**shift`` to an integer by ``rule``.

    Parameters
    ----------
    value : int64, any shape, |value| <= 2**62
    shift : 0 to 62; at 0 every rule is the identity
    """
    if shift == 0:
        return value.copy()
    if rule is Rounding.FLOOR:
        return value >> shift
    half = np.int64(1 << (shift - 1))
    if rule is Rounding.HALF_UP:
        return (value + half) >> shift
    if rule is Rounding.HALF_AWAY:
        return (value + half - (value < 0)) >> shift
    biased = value + half
    tie = (biased & np.int64((1 << shift) - 1)) == 0
    # at a tie the odd candidate loses its last bit
    rounded: npt.NDArray[np.int64] = (biased >> shift) & ~tie.astype(np.int64)
    return rounded


def round_exact_float(quotient: npt.NDArray[np.float64], rule: Rounding) -> npt.NDArray[np.float64]:
    """Round quotients that float64 holds exactly, with room for another half; the same rules.

    Returns ``quotient``, overwritten with integers.
    """
    if rule is Rounding.HALF_EVEN:
        return np.rint(quotient, out=quotient)
    if rule is Rounding.HALF_UP:
        quotient += 0.5
    elif rule is Rounding.HALF_AWAY:
        quotient += np.copysign(0.5, quotient)
        return np.trunc(quotient, out=quotient)
    return np.floor(quotient, out=quotient)


def reaches(k: int, rule: Rounding) -> tuple[Fraction, bool]:
    """Say from which exact value on ``rule`` rounds to at least ``k``.

    Returns (bound, inclusive): a rational v rounds to >= k exactly when v > bound, or v == bound
    and ``inclusive``. This is the rule once more, as an inequality: what the narrow search solves.
    """
    if rule is Rounding.FLOOR:
        return Fraction(k), True
    inclusive = {
        Rounding.HALF_UP: True,
        Rounding.HALF_EVEN: k % 2 == 0,
        Rounding.HALF_AWAY: k > 0,
    }[rule]
    return Fraction(2 * k - 1, 2), inclusive


def clamp(value: npt.NDArray[np.int64], low: int, high: int) -> npt.NDArray[np.int64]:
    """Saturate to [low, high]."""
    return np.clip(value, low, high)

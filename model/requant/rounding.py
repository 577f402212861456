"""Rounding and saturation: the only definition of each rule of the integer pipeline.

A rule rounds an exact quotient v = value / 2**shift to an integer. Sources:

* ``HALF_EVEN``: ties to the even neighbour. IEEE 754-2019, 4.3.1 roundTiesToEven; ``nearbyint`` in
  PyTorch's int8 engines (FBGEMM ``requantize_``) and ONNX QuantizeLinear.
* ``HALF_UP``: ties towards +infinity, ``floor(v + 1/2)``. gemmlowp's rounding shift without the
  sign correction; the cheapest in hardware, one constant added.
* ``HALF_AWAY``: ties away from zero. IEEE 754-2019, 4.3.1 roundTiesToAway; gemmlowp
  ``fixedpoint/fixedpoint.h`` RoundingDivideByPOT, TFLite.
* ``FLOOR``: an arithmetic shift right, ``floor(v)``.
* ``FLOAT32``: v is rounded to the 24 significant bits of float32 and then to an integer, ties to
  even both times. This equals ``nearbyint(float(acc) * scale)`` if float32 represents acc and scale
  exactly. ONNX Runtime (MLAS ``MlasRequantizeOutput``), FBGEMM ``requantize_``. Close to k + 1/2 it
  turns values into ties: 2.5 + 2**-24 becomes 2.5, and then 2.

==========  ====  ====  ====  ====
v           -1.5  -0.5   0.5   1.5
==========  ====  ====  ====  ====
half_even     -2     0     0     2
half_up       -1     0     1     2
half_away     -2    -1     1     2
floor         -2    -1     0     1
float32       -2     0     0     2
==========  ====  ====  ====  ====
"""

from __future__ import annotations

from enum import Enum
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from ..dtypes import Integers

__all__ = ["Rounding", "clamp", "reaches", "round_exact_float", "round_shift"]


class Rounding(Enum):
    """The name of a rounding rule, as in network files."""

    HALF_EVEN = "half_even"
    HALF_UP = "half_up"
    HALF_AWAY = "half_away"
    FLOOR = "floor"
    FLOAT32 = "float32"


def round_shift(value: Integers, shift: int, rule: Rounding) -> Integers:
    """Round ``value / 2**shift`` to an integer by ``rule``.

    Parameters
    ----------
    value : int64, any shape, |value| <= 2**62
    shift : 0 to 62; at 0 every rule but ``FLOAT32`` is the identity
    """
    if shift == 0 and rule is not Rounding.FLOAT32:
        return value.copy()
    if rule is Rounding.FLOOR:
        return value >> shift
    if (
        rule is Rounding.FLOAT32
    ):  # the conversion rounds to 24 bits, ties to even; the rest is exact
        quotient: npt.NDArray[np.float32] = value.astype(np.float32) * np.float32(2.0**-shift)
        return np.rint(quotient).astype(np.int64)
    half = np.int64(1 << (shift - 1))
    if rule is Rounding.HALF_UP:
        return (value + half) >> shift
    if rule is Rounding.HALF_AWAY:
        return (value + half - (value < 0)) >> shift
    biased = value + half
    tie = (biased & np.int64((1 << shift) - 1)) == 0
    # at a tie the odd candidate loses its last bit
    rounded: Integers = (biased >> shift) & ~tie.astype(np.int64)
    return rounded


def round_exact_float(quotient: npt.NDArray[np.float64], rule: Rounding) -> npt.NDArray[np.float64]:
    """Round quotients by the same rules; quotient and quotient + 1/2 must be exact in float64.

    Returns integers; ``quotient`` is overwritten.
    """
    if rule is Rounding.FLOAT32:
        quotient = quotient.astype(np.float32).astype(np.float64)
    if rule in (Rounding.HALF_EVEN, Rounding.FLOAT32):
        return np.rint(quotient, out=quotient)
    if rule is Rounding.HALF_UP:
        quotient += 0.5
    elif rule is Rounding.HALF_AWAY:
        quotient += np.copysign(0.5, quotient)
        return np.trunc(quotient, out=quotient)
    return np.floor(quotient, out=quotient)


def reaches(k: int, rule: Rounding) -> tuple[Fraction, bool]:
    """The bound from which ``rule`` rounds an exact value to at least ``k``.

    Returns (bound, inclusive): a rational v rounds to >= k exactly if v > bound, or if v == bound
    and ``inclusive``. This states the rule as an inequality, which the narrow search solves.
    """
    if rule is Rounding.FLOOR:
        return Fraction(k), True
    if rule is Rounding.FLOAT32:
        return _reaches_in_float32(k)
    inclusive = {
        Rounding.HALF_UP: True,
        Rounding.HALF_EVEN: k % 2 == 0,
        Rounding.HALF_AWAY: k > 0,
    }[rule]
    return Fraction(2 * k - 1, 2), inclusive


def _reaches_in_float32(k: int) -> tuple[Fraction, bool]:
    """:func:`reaches` for ``FLOAT32``: midway between k - 1/2 and the adjacent float32.

    The midpoint itself rounds to k - 1/2, whose significand is even, and then to the even integer.
    """
    if abs(k) > 1 << 22:
        raise ValueError(f"k must lie within 2**22, where float32 has halves, not {k}")
    tie = np.float32(k - 0.5)
    upward = k % 2 == 0  # the tie goes up to k
    beside = np.nextafter(tie, np.float32(-np.inf if upward else np.inf))
    return (Fraction(float(tie)) + Fraction(float(beside))) / 2, upward


def clamp(value: Integers, low: int, high: int) -> Integers:
    """Saturate to [low, high]."""
    return np.clip(value, low, high)

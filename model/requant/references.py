"""Rounding rules of other engines, which a fixed-point M, n and rule can be proven equal to.

Each converts an int32 accumulator to an output, y = clamp(round(acc * factor) + Zy), with exactly
the order of operations and the number types of its engine (measured; see ARITHMETIC.md):

* ``half_even``: the exact product of the scales, as ONNX specifies.
* ``float32_half_even``: the bias is added to float32(acc) and the sum rounded to float32 once; one
  multiplier float32(float32(Sx * Sw) / Sy); the product in float32, rounded; then Zy is added.
  FBGEMM ``requantize_``, PyTorch ``qconv.cpp``.
* ``float32_chain``: the factors Sx, Sw and 1 / Sy are multiplied one after another; the bias is
  added before the last of them, Zy at the end; each step is rounded to float32; then the rounding
  to an integer. oneDNN 3, PyTorch's ``onednn`` engine.
* ``float32_fused``: the product with one float32 factor plus Zy, with the sum rounded to float32
  once; then the rounding to an integer. ATen's global average pool, compiled to fused
  multiply-adds.

A bias is a float in steps of the accumulator; in ``float32_chain`` it is the real bias.

All rules are monotone in the accumulator. The narrow search relies on this.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from math import ceil, floor, prod
from typing import Any

import numpy as np
import numpy.typing as npt

from ..dtypes import Integers
from .rounding import Rounding, clamp, reaches

__all__ = ["REFERENCES", "Acc", "Bias", "Scale", "affine", "exact"]

Acc = Integers
Floats = npt.NDArray[np.float32]
Scale = Fraction | tuple[Fraction, ...]  # a factor, or factors that are multiplied in this order
Bias = float | Fraction


def exact(scale: Scale) -> Fraction:
    """The factor as one rational."""
    return prod(scale, start=Fraction(1)) if isinstance(scale, tuple) else scale


def affine(reference: object, scale: Scale, bias: Bias) -> tuple[Fraction, Fraction]:
    """The real function that a reference rounds: (f, b) of acc * f + b, in steps of the output."""
    factors = scale if isinstance(scale, tuple) else (scale,)
    last = factors[-1] if reference == "float32_chain" else exact(scale)
    return exact(scale), Fraction(bias) * last


@lru_cache(maxsize=64)
def _thresholds(scale: Fraction, bias: Bias, low: int, high: int) -> Acc:
    """For k in (low, high], the least integer t with round_half_even((t + bias) * scale) >= k."""
    thresholds = []
    for k in range(low + 1, high + 1):
        bound, inclusive = reaches(k, Rounding.HALF_EVEN)
        at = bound / scale - Fraction(bias)
        thresholds.append(ceil(at) if inclusive else floor(at) + 1)
    limits = np.iinfo(np.int64)
    return np.array([min(max(t, limits.min), limits.max) for t in thresholds], dtype=np.int64)


def _rational_half_even(
    acc: Acc, scale: Scale, zero_point: int, low: int, high: int, bias: Bias = 0.0
) -> Acc:
    """clamp(round_half_even((acc + bias) * scale) + zero_point) in exact arithmetic."""
    thresholds = _thresholds(exact(scale), bias, low - zero_point, high - zero_point)
    return low + np.searchsorted(thresholds, acc, side="right")


def _sum_rounded_once(value: npt.NDArray[np.floating[Any]], addend: float) -> Floats:
    """float32(value + addend) as in a fused multiply-add: the exact sum, rounded once.

    The sum may not fit float64 either. It is then rounded to odd: to the adjacent float64 with an
    odd significand. Rounding this to float32 gives the same as rounding the exact sum (Boldo and
    Melquiond, "Emulation of a FMA and correctly-rounded sums", 2008).
    """
    wide = value.astype(np.float64)
    total = wide + addend
    back = total - wide
    error = (wide - (total - back)) + (addend - back)  # Knuth's two-sum: total + error is exact
    even = (total.view(np.int64) & 1) == 0
    beside = np.nextafter(total, np.where(error > 0, np.inf, -np.inf))
    return np.where((error != 0) & even, beside, total).astype(np.float32)


def _float32_half_even(
    acc: Acc, scale: Scale, zero_point: int, low: int, high: int, bias: Bias = 0.0
) -> Acc:
    """clamp(nearbyint(float32(acc + bias) * scale) + zero_point), as FBGEMM's requantize_ does."""
    value = acc.astype(np.float32)
    if bias:
        value = _sum_rounded_once(value, float(bias))
    product = value * np.float32(float(exact(scale)))
    return clamp(np.rint(product).astype(np.int64) + zero_point, low, high)


def _float32_chain(
    acc: Acc, scale: Scale, zero_point: int, low: int, high: int, bias: Bias = 0.0
) -> Acc:
    """clamp(nearbyint((acc * factor * ... + bias) * last + zero_point)), float32 at each step."""
    *factors, last = scale if isinstance(scale, tuple) else (scale,)
    value = acc.astype(np.float32)
    for factor in factors:
        value = value * np.float32(float(factor))
    value = (value + np.float32(float(bias))) * np.float32(float(last))
    return clamp(np.rint(value + np.float32(zero_point)).astype(np.int64), low, high)


def _float32_fused(
    acc: Acc, scale: Scale, zero_point: int, low: int, high: int, bias: Bias = 0.0
) -> Acc:
    """clamp(nearbyint(float32((acc + bias) * scale + zero_point))), the sum rounded once."""
    value = _sum_rounded_once(acc.astype(np.float32), float(bias)).astype(np.float64)
    product = value * float(np.float32(float(exact(scale))))  # exact in float64
    return clamp(np.rint(_sum_rounded_once(product, zero_point)).astype(np.int64), low, high)


# By the name in network files: (acc, scale, zero point, low, high, bias) -> outputs.
REFERENCES: dict[str, Callable[[Acc, Scale, int, int, int, Bias], Acc]] = {
    "half_even": _rational_half_even,
    "float32_half_even": _float32_half_even,
    "float32_chain": _float32_chain,
    "float32_fused": _float32_fused,
}

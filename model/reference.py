"""Other engines' roundings: what a fixed-point M, n and rule can be proven equal to.

Each turns an int32 accumulator into an output, y = clamp(round(acc * factor) + Zy), in the very
order of operations and number types of its engine (measured; see ARITHMETIC.md):

* ``half_even``: the exact product of the scales; what ONNX specifies.
* ``float32_half_even``: one multiplier float32(float32(Sx * Sw) / Sy), the product in float32,
  rounded, then Zy added. FBGEMM ``requantize_``, PyTorch ``qconv.cpp``.
* ``float32_chain``: the factors Sx, Sw and 1 / Sy multiplied one after another and Zy added, each
  step rounded to float32, then the rounding. oneDNN 3, PyTorch's ``onednn`` engine.

All of them are monotone in the accumulator, which the narrow search relies on.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from math import ceil, floor, prod

import numpy as np
import numpy.typing as npt

from .arith import Rounding, clamp, reaches

__all__ = ["REFERENCES", "Acc", "Scale", "exact"]

Acc = npt.NDArray[np.int64]
Scale = Fraction | tuple[Fraction, ...]  # a factor, or the factors multiplied one after another


def exact(scale: Scale) -> Fraction:
    """The factor as one rational."""
    return prod(scale, start=Fraction(1)) if isinstance(scale, tuple) else scale


@lru_cache(maxsize=64)
def _thresholds(scale: Fraction, low: int, high: int) -> Acc:
    """For each k in (low, high], the least integer t with round_half_even(t * scale) >= k."""
    thresholds = []
    for k in range(low + 1, high + 1):
        bound, inclusive = reaches(k, Rounding.HALF_EVEN)
        thresholds.append(ceil(bound / scale) if inclusive else floor(bound / scale) + 1)
    limits = np.iinfo(np.int64)
    return np.array([min(max(t, limits.min), limits.max) for t in thresholds], dtype=np.int64)


def _rational_half_even(acc: Acc, scale: Scale, zero_point: int, low: int, high: int) -> Acc:
    """clamp(round_half_even(acc * scale) + zero_point) in exact arithmetic."""
    thresholds = _thresholds(exact(scale), low - zero_point, high - zero_point)
    return low + np.searchsorted(thresholds, acc, side="right")


def _float32_half_even(acc: Acc, scale: Scale, zero_point: int, low: int, high: int) -> Acc:
    """clamp(nearbyint(float32(acc) * float32 scale) + zero_point), as FBGEMM's requantize_ does."""
    product = acc.astype(np.float32) * np.float32(float(exact(scale)))
    return clamp(np.rint(product).astype(np.int64) + zero_point, low, high)


def _float32_chain(acc: Acc, scale: Scale, zero_point: int, low: int, high: int) -> Acc:
    """clamp(nearbyint(float32(acc) * factor * ... + zero_point)), each step rounded to float32."""
    value = acc.astype(np.float32)
    for factor in scale if isinstance(scale, tuple) else (scale,):
        value = value * np.float32(float(factor))
    return clamp(np.rint(value + np.float32(zero_point)).astype(np.int64), low, high)


# By the name that network files carry.
REFERENCES: dict[str, Callable[[Acc, Scale, int, int, int], Acc]] = {
    "half_even": _rational_half_even,
    "float32_half_even": _float32_half_even,
    "float32_chain": _float32_chain,
}

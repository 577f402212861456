"""The fast requantization: floats, if they are proven to give the same as integers.

``requant.requantize`` is the definition. There are two fast ways; the first that applies is used:

float32
    clamp(acc * f + c), with the fraction dropped, for one float32 f and c per channel. Each
    operation, with its rounding, is monotone in acc, and so is the rule. Both are therefore
    staircases, and they are equal everywhere if they are equal on both sides of each step of the
    rule, of which there are at most 2**bits. This is checked for some f and c close to the exact
    ones. If none passes, or there are too many steps, the next way is used.
float64
    Exact if (acc + constant) * M + B, plus the half that rounding adds, is below 2**53.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from ..dtypes import Array, Integers
from ..requant import Requant, Rounding, requantize
from ..requant.requant import FLOAT64_EXACT
from ..requant.rounding import round_exact_float
from .fastconv import FLOAT32_EXACT
from .scratch import Scratch

__all__ = ["FastRequant"]

CACHED = 1 << 15  # values requantized at once: they stay in the cache from step to step
MOST_STEPS = 256 * 256  # of all channels together; checking more takes longer than it saves
# Distances from the exact numbers: of c in NUDGEs, of f in units in the last place.
NUDGES = tuple(product((1, 0, 2, -1, 3, -2, 4, -3), (0, 1, -1)))
NUDGE = 2.0**-18  # half a unit in the last place of an output of 64 and more


class FastRequant:
    """:func:`requantize` prepared for many integer sums stored as floats; equal to it.

        y = clamp(round(((acc + constant) * M + B) / 2**n) + Zy, low, high)

    The clamp comes before the floor, since its ends are integers.

    Parameters
    ----------
    requant : one multiplier and offset, or one per channel
    zero_point : Zy
    constants : int64 (OC,), added to each channel's sums first
    reach : an upper bound on |acc|
    """

    def __init__(self, requant: Requant, zero_point: int, constants: Integers, reach: int) -> None:
        unit = 1 << requant.shift
        half = 0 if requant.rounding is Rounding.FLOOR else unit >> 1
        # Rounding by floor can include half and zero point; for other rules ties would change.
        self._floors = requant.rounding in (Rounding.FLOOR, Rounding.HALF_UP)
        extra = half + zero_point * unit if self._floors else 0
        multipliers = requant.per_channel(len(constants))
        offsets = requant.offsets * (len(constants) // len(requant.offsets))
        added = [
            int(constant) * multiplier + offset + extra
            for constant, multiplier, offset in zip(constants, multipliers, offsets, strict=True)
        ]
        largest = reach * max(multipliers) + max(map(abs, added)) + half
        self._exact = largest < FLOAT64_EXACT
        self._requant, self._zero_point, self._constants = requant, zero_point, constants
        if not self._exact:
            return
        self._factors: Array = np.array(multipliers, dtype=np.float64)[:, None, None] / unit
        self._added: Array = np.array(added, dtype=np.float64)[:, None, None] / unit
        if self._floors and reach < FLOAT32_EXACT:
            self._look_for_float32(np.array(multipliers), np.array(added), reach)
        self._buffer = Scratch(self._factors.dtype)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the computation: float32 or float64, or int64 if neither is exact."""
        return self._factors.dtype if self._exact else np.dtype(np.int64)

    def _look_for_float32(self, multipliers: Integers, added: Integers, reach: int) -> None:
        """Replace the exact factors by float32 ones that give the same, if there are any."""
        low, high, shift = self._requant.low, self._requant.high, self._requant.shift
        if (high - low) * len(added) > MOST_STEPS:
            return
        steps = np.arange(low + 1, high + 1)
        # The least sum that gives at least k: acc * M + added >= k * 2**n. A step that overflows
        # int64 here is far outside the reach.
        first = -((added[:, None] - (steps << shift)) // multipliers[:, None])  # (OC, steps)
        sides = np.concatenate([first - 1, first], axis=1).clip(-reach, reach)
        exact = (sides * multipliers[:, None] + added[:, None]) >> shift
        expected, acc = exact.clip(low, high), sides.astype(np.float32)
        f = self._factors[:, :, 0].astype(np.float32)
        c = self._added[:, :, 0].astype(np.float32)
        left = np.arange(len(added))  # channels without a solution so far
        for shifted, ulps in NUDGES:
            f[left] = self._factors[left, :, 0]
            f[left] += ulps * np.spacing(f[left])
            c[left] = self._added[left, :, 0] + shifted * NUDGE
            got = np.floor(np.clip(acc[left] * f[left] + c[left], low, high))
            left = left[(got != expected[left]).any(axis=1)]
            if not left.size:
                self._factors, self._added = f[:, :, None], c[:, :, None]
                return

    def __call__(self, acc: npt.NDArray[np.floating[Any]], out: Array) -> None:
        """Requantize sums (H, OC, W, N) into integers ``out`` of the same shape."""
        if not self._exact:
            sums = acc.transpose(0, 2, 3, 1).astype(np.int64) + self._constants
            last = requantize(sums, self._requant, self._zero_point)
            out[...] = last.transpose(0, 3, 1, 2)
            return
        rows = max(1, CACHED // max(acc[:1].size, 1))
        for start in range(0, len(acc), rows):
            part = acc[start : start + rows]
            value = self._buffer.array(*part.shape)
            np.multiply(part, self._factors, out=value, casting="same_kind")
            value += self._added
            np.copyto(out[start : start + rows], self._rounded(value), casting="unsafe")

    def _rounded(self, value: Array) -> Array:
        """Round and clamp; the conversion to integers drops the remaining fraction."""
        low, high = self._requant.low, self._requant.high
        if self._floors:
            np.clip(value, low, high, out=value)
            return value if low >= 0 else np.floor(value, out=value)
        value = round_exact_float(value, self._requant.rounding)
        value += self._zero_point
        return np.clip(value, low, high, out=value)

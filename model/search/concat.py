"""The multipliers, offsets and shift that equal an engine on every value of every input of a
concatenation.

Each input has a table of its own, and half-up multipliers of its own are searched for
(``addsearch.search_one``), brought over one shift. Where scales such as powers of two make exact
ties, which engines round to even, no half-up rounding equals a table; half-even rounding of the
factors themselves may, for all inputs at once, and the narrowest that does is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from ..layers import Tensor
from ..layers.concat import joined
from ..requant import MAX_MULTIPLIER, Requant, Rounding, fixed_point, requantize
from .add import search_one

__all__ = ["search_concat"]

Ints = npt.NDArray[np.int64]


def search_concat(
    tables: Sequence[Ints], inputs: Sequence[Tensor], y: Tensor, clamp: tuple[int, int]
) -> tuple[Requant, list[int]]:
    """Find the requantization of a concatenation that equals its tables.

    Parameters
    ----------
    tables : of each input, int64 (A,): what x = x.dtype.qmin + i makes
    clamp : the least and greatest output; the tables are clamped to it

    Returns the Requant with a multiplier and an offset for each input, and how many values of each
    it gets wrong: 0 where there is one that equals them all. Raises ValueError where the factors do
    not fit the multipliers.
    """
    found = [search_one(table, x, y, clamp) for table, x in zip(tables, inputs, strict=True)]
    wrong = [different for _, different in found]
    if not any(wrong):
        return joined([requant for requant, _ in found]), wrong
    scales = [Fraction(x.scale) / Fraction(y.scale) for x in inputs]
    for bits in range(1, MAX_MULTIPLIER.bit_length() + 1):
        try:
            multipliers, shift = fixed_point(scales, bits)
        except ValueError:  # too narrow for the smaller of factors that lie far apart
            continue
        even = Requant(multipliers, shift, Rounding.HALF_EVEN, *clamp)
        if not any(
            _different(table, x, y, even, multiplier)
            for table, x, multiplier in zip(tables, inputs, multipliers, strict=True)
        ):
            return even, [0] * len(inputs)
    return joined([requant for requant, _ in found]), wrong


def _different(table: Ints, x: Tensor, y: Tensor, requant: Requant, multiplier: int) -> bool:
    """Whether any value of an input is requantized otherwise than its table says."""
    q = np.arange(x.dtype.qmin, x.dtype.qmax + 1, dtype=np.int64) - x.zero_point
    single = Requant((multiplier,), requant.shift, requant.rounding, requant.low, requant.high)
    made = requantize(q, single, y.zero_point)
    return not np.array_equal(made, np.clip(table, requant.low, requant.high))

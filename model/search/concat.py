"""The multipliers, offsets and shift that equal an engine on all input values of a concatenation.

Each input has its own table, and a search finds its half-up multiplier (``add.search_one``); all
are then converted to one shift. Scales such as powers of two make exact ties, which engines round
to even. Then no half-up rounding equals a table, but half-even rounding with the real factors may,
for all inputs at once. The narrowest such multipliers are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..dtypes import Integers
from ..layers import Tensor
from ..layers.concat import joined
from ..requant import Requant, requantize
from .add import half_even_forms, search_one

__all__ = ["search_concat"]


def search_concat(
    tables: Sequence[Integers], inputs: Sequence[Tensor], y: Tensor, clamp: tuple[int, int]
) -> tuple[Requant, list[int]]:
    """Find the requantization of a concatenation that equals its tables.

    Parameters
    ----------
    tables : of each input, int64 (A,): the output for x = x.dtype.qmin + i
    clamp : the least and greatest output; the tables are clamped to it

    Returns the Requant with a multiplier and an offset for each input, and for each input the
    number of values on which it differs from the table: 0 if it equals the table. Raises ValueError
    if the factors do not fit the multipliers.
    """
    found = [search_one(table, x, y, clamp) for table, x in zip(tables, inputs, strict=True)]
    wrong = [different for _, different in found]
    if not any(wrong):
        return joined([requant for requant, _ in found]), wrong
    for even in half_even_forms(inputs, y, clamp):
        if not any(
            _different(table, x, y, even, multiplier)
            for table, x, multiplier in zip(tables, inputs, even.multipliers, strict=True)
        ):
            return even, [0] * len(inputs)
    return joined([requant for requant, _ in found]), wrong


def _different(table: Integers, x: Tensor, y: Tensor, requant: Requant, multiplier: int) -> bool:
    """Whether any value of an input is requantized differently from its table."""
    made = requantize(x.centered, replace(requant, multipliers=(multiplier,)), y.zero_point)
    return not np.array_equal(made, np.clip(table, requant.low, requant.high))

"""Exact accumulator bounds: the range of a layer's sums over all inputs of the input's type.

The method is interval arithmetic on the actual weights. Each product (qx - Zx) * (qw - Zw) is
linear in qx, so its extremes are at the ends of qx's range. Different products use different
activations, so the sum of the extremes is attained. The bounds also cover every partial sum that
begins with the bias, in any order: each product's interval is widened to contain 0, which has no
effect if the zero point is in the input's range. The bounds give the RTL its accumulator widths,
and prove that int32 never overflows.
"""

from __future__ import annotations

import numpy as np

from ..dtypes import Bounds, Integers

__all__ = ["accumulator_bounds"]


def accumulator_bounds(
    weights: Integers,
    bias: Integers,
    groups: int,
    low: int | Integers,
    high: int | Integers,
    zero_point: int,
) -> Bounds:
    """Bound each output channel's accumulator, bias included.

    Parameters
    ----------
    weights : int64 (OC, KH, KW, IC / groups), qw - Zw
    bias : int64 (OC,)
    groups : of channels, divides IC and OC
    low, high : the least and greatest input activation; or int64 (IC,), one per input channel
    zero_point : Zx

    Returns (lo, hi), int64 (OC,). They are never exceeded, and attained if ``low <= zero_point <=
    high`` and neither padding nor dropped rows and columns interfere.
    """
    outputs = len(bias) // groups
    ends = np.stack([weights * (_spread(end, groups, outputs) - zero_point) for end in (low, high)])
    axes = (1, 2, 3)
    lo = np.minimum(ends.min(axis=0), 0).sum(axis=axes) + bias
    hi = np.maximum(ends.max(axis=0), 0).sum(axis=axes) + bias
    return lo, hi


def _spread(values: int | Integers, groups: int, outputs: int) -> int | Integers:
    """Arrange one value per input channel to match the weights: (OC, 1, 1, IC / groups).

    outputs : output channels per group
    """
    if isinstance(values, int):
        return values
    return np.repeat(values.reshape(groups, -1), outputs, axis=0)[:, None, None]

"""Exact accumulator bounds: what a layer's sums can reach over all inputs their type allows.

Interval arithmetic on the actual weights: each product (qx - Zx) * (qw - Zw) is linear in qx, so
its extremes lie at the ends of qx's range, and different products use different activations, so the
sum of the extremes is reached. The bounds hold for every partial sum too that begins with the bias,
in any order (each product's interval is widened to contain 0, which changes nothing when the zero
point lies in the input's range): they give the RTL its accumulator widths and the proof that int32
never overflows.
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
    low, high : the least and greatest input activation, or int64 (IC,) those of each channel
    zero_point : Zx

    Returns (lo, hi), int64 (OC,): attained where ``low <= zero_point <= high`` and no padding or
    tail interferes, and never exceeded.
    """
    outputs = len(bias) // groups
    ends = np.stack([weights * (_spread(end, groups, outputs) - zero_point) for end in (low, high)])
    axes = (1, 2, 3)
    lo = np.minimum(ends.min(axis=0), 0).sum(axis=axes) + bias
    hi = np.maximum(ends.max(axis=0), 0).sum(axis=axes) + bias
    return lo, hi


def _spread(values: int | Integers, groups: int, outputs: int) -> int | Integers:
    """One value per input channel in front of the weights that it meets: (OC, 1, 1, IC / groups).

    outputs : channels per group
    """
    if isinstance(values, int):
        return values
    return np.repeat(values.reshape(groups, -1), outputs, axis=0)[:, None, None]

"""Exact accumulator bounds: what a layer's sums can reach over all inputs their type allows.

Interval arithmetic on the actual weights: each product (qx - Zx) * (qw - Zw) is linear in qx, so
its extremes lie at the ends of qx's range, and different products use different activations, so the
sum of the extremes is reached. The bounds hold for every partial sum too that begins with the bias,
in any order (each product's interval is widened to contain 0, which changes nothing when the zero
point lies in the input's range): they give the RTL its accumulator widths and the proof that int32
never overflows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from .conv import Conv2d
    from .layers import Values

__all__ = ["accumulator_bounds", "accumulator_ranges"]

Integers = npt.NDArray[np.int64]
Bounds = tuple[Integers, Integers]


def accumulator_bounds(
    conv: Conv2d, low: int | Integers, high: int | Integers, zero_point: int
) -> Bounds:
    """Bound each output channel's accumulator, bias included.

    Parameters
    ----------
    low, high : the least and greatest input activation, or int64 (IC,) those of each channel
    zero_point : Zx

    Returns (lo, hi), int64 (OC,): attained where ``low <= zero_point <= high`` and no padding or
    tail interferes, and never exceeded.
    """
    weights = conv.weights.centered  # (OC, KH, KW, ICG)
    ends = np.stack([weights * (_spread(conv, end) - zero_point) for end in (low, high)])
    axes = (1, 2, 3)
    lo = np.minimum(ends.min(axis=0), 0).sum(axis=axes) + conv.bias
    hi = np.maximum(ends.max(axis=0), 0).sum(axis=axes) + conv.bias
    return lo, hi


def _spread(conv: Conv2d, values: int | Integers) -> int | Integers:
    """One value per input channel in front of the weights that it meets: (OC, 1, 1, ICG)."""
    if isinstance(values, int):
        return values
    of_groups = values.reshape(conv.groups, -1)
    return np.repeat(of_groups, conv.out_channels // conv.groups, axis=0)[:, None, None]


def accumulator_ranges(network: Values, conv: Conv2d) -> Bounds:
    """The bounds of ``conv`` as it stands in ``network``; see :func:`accumulator_bounds`."""
    low, high = network.value_range(conv.input)
    return accumulator_bounds(conv, low, high, network.tensors[conv.input].zero_point)

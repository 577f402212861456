"""The active range of a requantization: the accumulators between which its outputs still change.

Below it every channel already gives its least output, above it its greatest. An accumulator that is
clamped into that range first gives the output that it gave before, so a multiplier need only be as
wide as the range. Rounding and clamping never fall, so bisection finds the ends exactly.
"""

from __future__ import annotations

from ..dtypes import Bounds
from .references import Acc
from .requant import Requant, requantize
from .staircase import thresholds

__all__ = ["active_range"]


def active_range(requant: Requant, zero_point: int, reach: Bounds) -> tuple[int, int]:
    """The least range into which accumulators can be clamped without changing an output.

    Parameters
    ----------
    zero_point : Zy, of the output tensor
    reach : the least and greatest accumulator that each multiplier meets, int64 (K,) each, K at
        least 1; see ``Requantizing.sum_bounds``

    Returns (low, high), low <= high: with every accumulator in its channel's reach, requantize(acc)
    equals requantize(clamp(acc, low, high)), and every other range of which that holds contains
    this one; only where no output ever changes, other single numbers may do as well, and this is
    the one within the ends of the reach that is nearest to 0.
    """
    least, greatest = int(reach[0].min()), int(reach[1].max())
    first, last = (requantize(end, requant, zero_point) for end in reach)

    def outputs(acc: Acc) -> Acc:
        return requantize(acc, requant, zero_point)

    # per channel: up to where it gives its least output, and from where on its greatest
    low = int(thresholds(outputs, least, greatest, first + 1).min()) - 1
    high = int(thresholds(outputs, least, greatest, last).max())
    if low > high:  # no output ever changes, and any number between the two gives all of them
        low = high = min(max(0, high), low)
    return low, high

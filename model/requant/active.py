"""The active range of a requantization: the accumulators between which its outputs still change.

Below the range every channel has its least output, above it its greatest. An accumulator can be
clamped into the range first without changing the output, so a multiplier need only be as wide as
the range. Rounding and clamping are monotone, so bisection finds the ends exactly.
"""

from __future__ import annotations

from ..dtypes import Bounds
from .references import Acc
from .requant import Requant, requantize
from .staircase import thresholds

__all__ = ["active_range"]


def active_range(requant: Requant, zero_point: int, reach: Bounds) -> tuple[int, int]:
    """The smallest range into which accumulators can be clamped without changing an output.

    Parameters
    ----------
    zero_point : Zy, of the output tensor
    reach : the least and greatest accumulator of each multiplier, int64 (K,) each, K at least 1;
        see ``Requantizing.sum_bounds``

    Returns (low, high), low <= high. For every accumulator in its channel's reach, requantize(acc)
    equals requantize(clamp(acc, low, high)), and every other range with this property contains this
    one. If no output ever changes, a single number is enough; the result is then the number nearest
    to 0 within the ends of the reach.
    """
    least, greatest = int(reach[0].min()), int(reach[1].max())
    first, last = (requantize(end, requant, zero_point) for end in reach)

    def outputs(acc: Acc) -> Acc:
        return requantize(acc, requant, zero_point)

    # per channel: the last accumulator with the least output, the first with the greatest
    low = int(thresholds(outputs, least, greatest, first + 1).min()) - 1
    high = int(thresholds(outputs, least, greatest, last).max())
    if low > high:  # no output ever changes, so any number between the two will do
        low = high = min(max(0, high), low)
    return low, high

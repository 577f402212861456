"""The narrow search: the smallest M and n that equal a reference on every reachable accumulator.

A float engine multiplies the accumulator by a float scale and rounds. A fixed-point engine needs 31
bits of M to come close for every int32. But a layer's accumulators are limited by its weights
(``layers/accumulators.py``) and its outputs are clamped, so the reference is a staircase of at most
a few hundred steps. A step from k - 1 to k at accumulator t requires round(t * M / 2**n) >= k and
round((t - 1) * M / 2**n) < k. The ends of the range require that there is no step before the first
and after the last. These are linear inequalities in M, solved in exact rationals. The smallest n
for which every channel has an M gives the narrowest multipliers; they have about as many bits as
accumulator and output together. The equality is then checked: both sides are evaluated at every
threshold.

If the reference has biases, an offset is searched for too, see ``offsets.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, pairwise
from math import ceil, floor

import numpy as np

from .offsets import closest_with_offset, fewest_bits, narrow_with_offset
from .references import Scale, exact
from .requant import MAX_MULTIPLIER, MAX_SHIFT, Requant
from .rounding import Rounding, reaches
from .staircase import (
    NoMultiplierError,
    Target,
    check,
    differences,
    reference_outputs,
    reference_thresholds,
)

__all__ = [
    "NoMultiplierError",
    "Target",
    "check",
    "closest",
    "differences",
    "narrow",
    "reference_outputs",
]

# (acc, y, at_least): accumulator acc must give at least, or else at most, y, before Zy is added
Demand = tuple[int, int, bool]


def _steps(target: Target, channel: int) -> list[list[Demand]]:
    """The demands of the reference's staircase, one list for each step.

    A step at accumulator t demands the new output at t and the old one at t - 1. The ends of the
    range are half steps, which fix the first and the last tread. An end at a clamp limit demands
    nothing.
    """
    low, high = target.low - target.zero_point, target.high - target.zero_point
    lo, hi = int(target.lo[channel]), int(target.hi[channel])
    first, last = reference_outputs(target, channel, np.array([lo, hi])) - target.zero_point
    steps = [[(lo, int(first), True)]] if first > low else []
    at = np.unique(reference_thresholds(target, channel))
    at = at[(at > lo) & (at <= hi)]
    after = reference_outputs(target, channel, at) - target.zero_point
    before = reference_outputs(target, channel, at - 1) - target.zero_point
    for t, up, down in zip(at.tolist(), after.tolist(), before.tolist(), strict=True):
        steps.append([(t, up, True), (t - 1, down, False)])
    if last < high:
        steps.append([(hi, int(last), False)])
    return steps


@dataclass
class _Interval:
    """The real factors M / 2**n that meet a channel's constraints; ``high`` None if unlimited."""

    low: Fraction = Fraction(0)
    low_inclusive: bool = False
    high: Fraction | None = None
    high_inclusive: bool = False

    def at_least(self, bound: Fraction, inclusive: bool) -> None:
        if bound > self.low or (bound == self.low and not inclusive):
            self.low, self.low_inclusive = bound, inclusive

    def at_most(self, bound: Fraction, inclusive: bool) -> None:
        if self.high is None or bound < self.high or (bound == self.high and not inclusive):
            self.high, self.high_inclusive = bound, inclusive

    def multipliers(self, shift: int) -> tuple[int, int] | None:
        """The least and greatest M for ``shift``, or None if there is none."""
        low = self.low * (1 << shift)
        least = ceil(low) if self.low_inclusive else floor(low) + 1
        greatest = MAX_MULTIPLIER
        if self.high is not None:
            high = self.high * (1 << shift)
            greatest = min(greatest, floor(high) if self.high_inclusive else ceil(high) - 1)
        return None if least > greatest else (least, greatest)


def _interval(demands: Iterable[Demand], rule: Rounding) -> _Interval:
    """Solve acc * f {>=, >, <=, <} bound for the factor f > 0, over all demands."""
    interval = _Interval()
    for acc, y, at_least in demands:
        bound, inclusive = reaches(y if at_least else y + 1, rule)
        if acc == 0:
            continue  # round(0) is 0 by every rule and reference: every f meets the demand
        limit = interval.at_least if (acc > 0) == at_least else interval.at_most
        limit(bound / acc, inclusive == at_least)
    return interval


def _nearest(span: tuple[int, int], scale: Scale, shift: int) -> int:
    """The M nearest to the real factor, among the M of ``span`` with the fewest bits."""
    least, greatest = fewest_bits(span)
    return min(max(round(exact(scale) * (1 << shift)), least), greatest)


def narrow(target: Target, rule: Rounding = Rounding.HALF_UP) -> Requant:
    """Find the narrowest requantization by ``rule`` equal to ``target`` on all reachable sums.

    Half-up is the default because it is the cheapest in hardware: one constant added before the
    shift. Ties of the reference need no extra logic, because the search chooses an M that avoids
    them.

    Returns a Requant with one multiplier per channel (a single one if all are equal) and the
    smallest shift. If the target has biases, it has offsets and the rule is half-up. Raises
    NoMultiplierError if there is none; it names the channel if a single channel is the cause.
    """
    if any(target.biases):
        return narrow_with_offset(target)
    channels = range(len(target.scales))
    intervals = [_interval(chain.from_iterable(_steps(target, c)), rule) for c in channels]
    requant = _fit(target, rule, intervals, target.reference)
    if requant is not None:
        check(target, requant)
        return requant
    shifts = range(MAX_SHIFT + 1)
    alone = [any(interval.multipliers(shift) for shift in shifts) for interval in intervals]
    if all(alone):
        raise NoMultiplierError(
            f"no shift of 0 to {MAX_SHIFT} gives every channel a multiplier of at most "
            f"{MAX_MULTIPLIER} that equals {target.name}"
        )
    bad = alone.index(False)
    raise NoMultiplierError(
        f"channel {bad}: no multiplier and shift with {rule.value} rounding equal "
        f"{target.name} on every accumulator in [{target.lo[bad]}, {target.hi[bad]}]"
    )


def closest(
    target: Target, rule: Rounding = Rounding.HALF_UP, seen: Sequence[Mapping[int, int]] = ()
) -> Requant:
    """Find a requantization by ``rule`` that differs from ``target`` as little as possible.

    Each channel takes the factors that meet most of the reference's demands. The layer takes the
    smallest shift that has such a factor in every channel. :func:`differences` counts the remaining
    differences.

    Parameters
    ----------
    seen : per channel, the number of occurrences of accumulators in practice. Demands on these have
        priority over all others. Without ``seen``, no accumulator has priority.

    Raises NoMultiplierError if no M and n fit.
    """
    if any(target.biases):
        return closest_with_offset(target, seen)
    channels = range(len(target.scales))
    intervals = [_most_agreed(target, c, rule, seen[c] if seen else {}) for c in channels]
    requant = _fit(target, rule, intervals, None)
    if requant is None:
        raise NoMultiplierError(f"no multiplier and shift come close to {target.name}")
    return requant


def _fit(
    target: Target, rule: Rounding, intervals: list[_Interval], reference: str | Requant | None
) -> Requant | None:
    """The smallest shift with an M in every channel's interval; None if there is none."""
    for shift in range(MAX_SHIFT + 1):
        spans = [interval.multipliers(shift) for interval in intervals]
        if all(spans):
            multipliers = tuple(
                _nearest(span, scale, shift)
                for span, scale in zip(spans, target.scales, strict=True)
                if span is not None
            )
            return Requant(
                multipliers=multipliers[:1] if len(set(multipliers)) == 1 else multipliers,
                shift=shift,
                rounding=rule,
                low=target.low,
                high=target.high,
                reference=reference,
            )
    return None


def _most_agreed(
    target: Target, channel: int, rule: Rounding, seen: Mapping[int, int]
) -> _Interval:
    """The open interval of factors that meet the most demands, ``seen`` accumulators first.

    Ties go to the interval whose unmet demands are furthest from 0, where accumulators are rarest,
    and then to the one nearest to the real factor.
    """
    top = Fraction(MAX_MULTIPLIER)
    changes: list[tuple[Fraction, int, int, int]] = []  # a factor, and the change of what is met
    for demand in chain.from_iterable(_steps(target, channel)):
        interval, acc = _interval([demand], rule), demand[0]
        end = top if interval.high is None else interval.high
        if interval.low < end:
            count, out = seen.get(acc, 0), abs(acc)
            changes += [(interval.low, count, 1, out), (end, -count, -1, -out)]
    changes.sort()
    scale = exact(target.scales[channel])
    often = met = distance = 0
    best, found = (0, 0, 0, Fraction(0)), _Interval(high=top)
    for (low, count, more, out), (high, *_) in pairwise(changes):
        often, met, distance = often + count, met + more, distance + out
        score = (often, met, -distance, -max(low - scale, scale - high, Fraction(0)))
        if high > low and score > best:
            best, found = score, _Interval(low=low, high=high)
    return found

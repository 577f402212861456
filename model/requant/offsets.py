"""The narrow search with an offset: the smallest n with M and B that equal a reference's staircase.

An engine that adds its bias in floats rounds an affine function of the accumulator. With half-up
rounding, y = floor((acc * M + B) / 2**n + 1/2), each threshold t of an output k demands

    t * M + B >= (2 * k - 1) * 2**(n - 1)    and    (t - 1) * M + B < (2 * k - 1) * 2**(n - 1)

so M and B are the slope and height of a line above some points and below others. Only the corners
of the two convex hulls bound it: a dozen of several hundred. Eliminating B leaves an interval of M,
each M of it an interval of B, all in integers: a shift has a solution or it has none.

Where none has (a float sum or product near k + 1/2 became that tie), some accumulators must give
way. At most four points contradict one another, and one of them has to yield by one accumulator;
trying each in turn, the cheapest first, ends at the fewest that have to.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import product

from .references import affine
from .requant import MAX_MULTIPLIER, MAX_OFFSET, MAX_SHIFT, Requant
from .rounding import Rounding
from .staircase import NoMultiplierError, Target, check, reference_thresholds

__all__ = ["closest_with_offset", "fewest_bits", "narrow_with_offset"]

TRIES = 300  # contradictions resolved best first; beyond them only the cheapest way is followed

Point = tuple[int, int]  # an accumulator, and 2 * k - 1 for the output k, Zy not added
Points = dict[int, int]  # the same, by accumulator
Cost = tuple[int, int, int]  # occurrences, accumulators, and their distances from 0 negated


@dataclass(frozen=True)
class _Side:
    """The points that a line stays above (sign 1) or below (sign -1)."""

    points: Points
    sign: int

    @cached_property
    def corners(self) -> list[Point]:
        """Those that bound the line, found when they are first asked for."""
        facing = sorted((x, self.sign * y) for x, y in self.points.items())
        return [(x, self.sign * y) for x, y in _upper_hull(facing)]

    def without(self, x: int, low: int, high: int) -> _Side:
        """The side where the point at ``x`` moves on by one accumulator, if that is reachable."""
        points = dict(self.points)
        y, beside = points.pop(x), x + self.sign
        if low <= beside <= high:
            there = points.get(beside, y)
            points[beside] = max(y, there) if self.sign > 0 else min(y, there)
        return _Side(points, self.sign)


@dataclass(frozen=True)
class _Line:
    """What one channel asks of M and B: a line on or above ``least`` and below ``most``."""

    least: _Side
    most: _Side

    def slopes(self, shift: int) -> tuple[int, int] | list[Point]:
        """The least and greatest M for a shift, or the corners that contradict one another."""
        half = 1 << (shift - 1)
        low, high = 1, MAX_MULTIPLIER
        lowest, highest = list[Point](), list[Point]()
        for (x0, y0), (x1, y1) in product(self.least.corners, self.most.corners):
            run, rise = x1 - x0, (y1 - y0) * half - 1  # M * run <= rise
            if run > 0 and rise // run < high:
                high, highest = rise // run, [(x0, y0), (x1, y1)]
            elif run < 0 and -(rise // -run) > low:
                low, lowest = -(rise // -run), [(x0, y0), (x1, y1)]
            elif run == 0 and rise < 0:
                return [(x0, y0), (x1, y1)]
        return (low, high) if low <= high else lowest + highest

    def heights(self, shift: int, multiplier: int) -> tuple[int, int]:
        """The least and greatest B for a shift and an M that it has."""
        half, free = 1 << (shift - 1), MAX_OFFSET
        low = max((y * half - multiplier * x for x, y in self.least.corners), default=-free)
        high = min((y * half - 1 - multiplier * x for x, y in self.most.corners), default=free)
        return low, high

    def without(self, point: Point, low: int, high: int) -> _Line:
        """The line where the output at ``point`` need not be met; those beside it must still."""
        x, y = point
        if self.least.points.get(x) == y:
            return _Line(self.least.without(x, low, high), self.most)
        return _Line(self.least, self.most.without(x, low, high))


def _upper_hull(points: Sequence[Point]) -> list[Point]:
    """The corners of the convex hull seen from above; points sorted by x, each x once."""
    hull: list[Point] = []
    for x, y in points:
        while len(hull) > 1:
            (x0, y0), (x1, y1) = hull[-2:]
            if (x1 - x0) * (y - y0) < (y1 - y0) * (x - x0):
                break
            hull.pop()
        hull.append((x, y))
    return hull


def _line(target: Target, channel: int) -> _Line:
    """What the reference's staircase asks of one channel; an end that the clamp holds is free."""
    lo, hi = int(target.lo[channel]), int(target.hi[channel])
    thresholds = reference_thresholds(target, channel).tolist()
    outputs = range(target.low + 1 - target.zero_point, target.high + 1 - target.zero_point)
    least, most = Points(), Points()
    for t, k in zip(thresholds, outputs, strict=True):  # both rise
        if t <= hi:
            least[t] = 2 * k - 1
        if t > lo:
            most.setdefault(t - 1, 2 * k - 1)
    return _Line(_Side(least, 1), _Side(most, -1))


def _real(target: Target) -> list[tuple[Fraction, Fraction]]:
    """Per channel, the slope and height that the reference rounds."""
    channels = range(len(target.scales))
    return [affine(target.reference, target.scales[c], target.bias(c)) for c in channels]


def _last_shift(target: Target) -> int:
    """The greatest shift for which every real factor has 31 bits and every sum 62, with room."""
    real = _real(target)
    reach = [max(abs(int(lo)), abs(int(hi))) for lo, hi in zip(target.lo, target.hi, strict=True)]
    sums = (abs(b) + (r + 1) * f for (f, b), r in zip(real, reach, strict=True))
    widest = max(f for f, _ in real)
    return min(MAX_SHIFT, 31 - _bits(widest), 59 - _bits(max(sums)))


def _bits(value: Fraction) -> int:
    """The fewest such that value < 2**bits."""
    bits = value.numerator.bit_length() - value.denominator.bit_length()
    return bits + 1 if value >= Fraction(2) ** bits else bits


def fewest_bits(span: tuple[int, int]) -> tuple[int, int]:
    """The part of a span of multipliers, least and greatest, that takes the fewest bits."""
    least, greatest = span
    return least, min(greatest, (1 << least.bit_length()) - 1)


def _clipped(value: Fraction, ends: tuple[int, int]) -> int:
    return min(max(round(value), ends[0]), ends[1])


def _fit(target: Target, lines: Sequence[_Line], reference: str | Requant | None) -> Requant | None:
    """The smallest shift with M and B in every channel; None where there is none."""
    real = _real(target)
    for shift in range(1, _last_shift(target) + 1):
        multipliers, offsets = list[int](), list[int]()
        for line, (f, b) in zip(lines, real, strict=True):
            slopes = line.slopes(shift)
            if isinstance(slopes, list):
                break
            multipliers.append(_clipped(f * (1 << shift), fewest_bits(slopes)))
            heights = line.heights(shift, multipliers[-1])
            offsets.append(_clipped(b * (1 << shift), heights))
        else:
            return Requant(
                multipliers=tuple(multipliers),
                shift=shift,
                rounding=Rounding.HALF_UP,
                low=target.low,
                high=target.high,
                reference=reference,
                offsets=tuple(offsets),
            )
    return None


def narrow_with_offset(target: Target) -> Requant:
    """Find the smallest shift with M and B per channel that equal ``target`` everywhere, half-up.

    Raises NoMultiplierError, naming the channel if it is one, where there are none.
    """
    lines = [_line(target, channel) for channel in range(len(target.scales))]
    requant = _fit(target, lines, target.reference)
    if requant is not None:
        check(target, requant)
        return requant
    last = _last_shift(target)  # has whatever a smaller shift has, doubled
    failing = (c for c, line in enumerate(lines) if isinstance(line.slopes(last), list))
    bad = next(failing) if last > 0 else 0
    raise NoMultiplierError(
        f"channel {bad}: no multiplier, offset and shift with half_up rounding equal "
        f"{target.name} on every accumulator in [{target.lo[bad]}, {target.hi[bad]}]"
    )


def closest_with_offset(target: Target, seen: Sequence[Mapping[int, int]] = ()) -> Requant:
    """Find M, B and n that differ from ``target`` on as few accumulators as possible, half-up.

    Parameters
    ----------
    seen : per channel, how often accumulators occur in practice; those give way last. Nothing is
        known to occur where it is left out.

    Raises NoMultiplierError where the factors do not fit M and n.
    """
    last = _last_shift(target)
    if last < 1:
        raise NoMultiplierError(f"no multiplier and shift come close to {target.name}")
    lines = [
        _most_agreed(target, channel, last, seen[channel] if seen else {})
        for channel in range(len(target.scales))
    ]
    requant = _fit(target, lines, None)
    assert requant is not None  # the last shift fits
    return requant


def _most_agreed(target: Target, channel: int, shift: int, seen: Mapping[int, int]) -> _Line:
    """The line of a channel with the cheapest points left out until a shift has an M."""
    lo, hi = int(target.lo[channel]), int(target.hi[channel])
    queue: list[tuple[Cost, int, _Line]] = [((0, 0, 0), 0, _line(target, channel))]
    tries = 0
    while True:
        cost, _, line = heapq.heappop(queue)
        slopes = line.slopes(shift)
        if not isinstance(slopes, list):
            return line
        if tries >= TRIES:
            queue = []
        for point in dict.fromkeys(slopes):
            tries += 1
            x = point[0]
            more = (cost[0] + seen.get(x, 0), cost[1] + 1, cost[2] - abs(x))
            heapq.heappush(queue, (more, tries, line.without(point, lo, hi)))

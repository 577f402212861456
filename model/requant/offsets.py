"""The narrow search with an offset: the smallest n with M and B that equal a reference.

An engine that adds its bias in floats rounds an affine function of the accumulator. With half-up
rounding, y = floor((acc * M + B) / 2**n + 1/2), each threshold t of an output k requires

    t * M + B >= (2 * k - 1) * 2**(n - 1)    and    (t - 1) * M + B < (2 * k - 1) * 2**(n - 1)

M and B are therefore the slope and the height of a line that lies above some points and below
others. Only the corners of the two convex hulls limit the line: about a dozen of several hundred
points. Eliminating B leaves an interval of M, and each such M an interval of B, all in integers.
For each shift this decides whether a solution exists.

If there is none (a float sum or product near k + 1/2 became that tie), some demands must be
dropped. At most four points contradict one another, and one of them must move by one accumulator.
Each is tried in turn, the cheapest first, which finds the fewest points that must move.
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

TRIES = 300  # contradictions resolved best first; after them only the cheapest choice is followed

Point = tuple[int, int]  # an accumulator, and 2 * k - 1 for the output k, Zy not added
Points = dict[int, int]  # 2 * k - 1 by accumulator
Cost = tuple[int, int, int]  # occurrences, accumulators, their distances from 0 (negated)


@dataclass(frozen=True)
class _Side:
    """The points that a line must stay above (sign 1) or below (sign -1)."""

    points: Points
    sign: int

    @cached_property
    def corners(self) -> list[Point]:
        """The points that limit the line: the corners of the convex hull. Computed on first use."""
        facing = sorted((x, self.sign * y) for x, y in self.points.items())
        return [(x, self.sign * y) for x, y in _upper_hull(facing)]

    def without(self, x: int, low: int, high: int) -> _Side:
        """The side after the point at ``x`` moves by one accumulator, or out of range."""
        points = dict(self.points)
        y, beside = points.pop(x), x + self.sign
        if low <= beside <= high:
            there = points.get(beside, y)
            points[beside] = max(y, there) if self.sign > 0 else min(y, there)
        return _Side(points, self.sign)


@dataclass(frozen=True)
class _Line:
    """The constraints on M and B of one channel: a line not below ``least`` and below ``most``."""

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
        """The least and greatest B for a shift and one of its M."""
        half, free = 1 << (shift - 1), MAX_OFFSET
        low = max((y * half - multiplier * x for x, y in self.least.corners), default=-free)
        high = min((y * half - 1 - multiplier * x for x, y in self.most.corners), default=free)
        return low, high

    def without(self, point: Point, low: int, high: int) -> _Line:
        """The line without the demand at ``point``; the demands on its neighbours remain."""
        x, y = point
        if self.least.points.get(x) == y:
            return _Line(self.least.without(x, low, high), self.most)
        return _Line(self.least, self.most.without(x, low, high))


def _upper_hull(points: Sequence[Point]) -> list[Point]:
    """The upper corners of the convex hull; points are sorted by x, each x once."""
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
    """The constraints of one channel's staircase; an end at a clamp limit has none."""
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
    """Per channel, the slope and height of the line that the reference rounds."""
    channels = range(len(target.scales))
    return [affine(target.reference, target.scales[c], target.bias(c)) for c in channels]


def _last_shift(target: Target) -> int:
    """The greatest shift for which real factors have 31 bits and sums 62, with margin."""
    real = _real(target)
    reach = [max(abs(int(lo)), abs(int(hi))) for lo, hi in zip(target.lo, target.hi, strict=True)]
    sums = (abs(b) + (r + 1) * f for (f, b), r in zip(real, reach, strict=True))
    widest = max(f for f, _ in real)
    return min(MAX_SHIFT, 31 - _bits(widest), 59 - _bits(max(sums)))


def _bits(value: Fraction) -> int:
    """The smallest exponent with value < 2**bits."""
    bits = value.numerator.bit_length() - value.denominator.bit_length()
    return bits + 1 if value >= Fraction(2) ** bits else bits


def fewest_bits(span: tuple[int, int]) -> tuple[int, int]:
    """Restrict a span of multipliers (least, greatest) to those with the fewest bits."""
    least, greatest = span
    return least, min(greatest, (1 << least.bit_length()) - 1)


def _clipped(value: Fraction, ends: tuple[int, int]) -> int:
    return min(max(round(value), ends[0]), ends[1])


def _fit(target: Target, lines: Sequence[_Line], reference: str | Requant | None) -> Requant | None:
    """The smallest shift with M and B in every channel; None if there is none."""
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

    Raises NoMultiplierError if there is none; it names the channel if a single channel is the
    cause.
    """
    lines = [_line(target, channel) for channel in range(len(target.scales))]
    requant = _fit(target, lines, target.reference)
    if requant is not None:
        check(target, requant)
        return requant
    last = _last_shift(target)  # a solution at a smaller shift, doubled, is one here too
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
    seen : per channel, the number of occurrences of accumulators in practice; demands on these are
        dropped last. Without ``seen``, no accumulator has priority.

    Raises NoMultiplierError if the factors do not fit M and n.
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
    """The line of a channel with the cheapest points dropped until a shift has an M."""
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

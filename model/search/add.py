"""The multipliers, offset and shift that equal an engine on all input pairs of an addition.

Engines add in floats: y = round(a * Sa / Sy + b * Sb / Sy + constant). Each step is rounded, so
near ties the result depends on the order of the steps. Here the result is a table over all pairs,
and the search is for Ma, Mb, B and n such that

    low < y  demands  (a - Za) * Ma + (b - Zb) * Mb + B >= (y - Zy - 1/2) * 2**n
    y < high demands  (a - Za) * Ma + (b - Zb) * Mb + B <  (y - Zy + 1/2) * 2**n

which is half-up rounding. For given factors the demands leave an interval of offsets. Its width is
concave in the factors, so two nested ternary searches find the widest interval. The narrowest
integers with a non-empty interval win; they are checked on the whole table in exact integers. A
table over one input is the case without b.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from math import lcm

import numpy as np

from ..dtypes import Array, Integers
from ..layers import Tensor
from ..requant import MAX_MULTIPLIER, Requant, Rounding, fixed_point, rescale

__all__ = ["exact_sums", "half_even_forms", "outputs_of_pairs", "search_add", "search_one"]


NEAR = 2.0**-6  # of an output step: demands with more margin hold for all factors within REACH
REACH = 2.0**-14  # the search radius around the real factors; 2**-14 * 255 < NEAR
STEPS = 32  # of each ternary search, (2/3)**32 < 2**-18
MAX_SHIFT = 50  # (y - Zy) * 2**n and the products fit int64


@dataclass(frozen=True)
class _Demands:
    """Points (a, b) and their bounds in half output steps: x >= lower / 2, x < upper / 2."""

    above: tuple[Integers, Integers, Integers]  # a - Za, b - Zb, 2 * (y - Zy) - 1
    below: tuple[Integers, Integers, Integers]  # a - Za, b - Zb, 2 * (y - Zy) + 1

    def offsets(self, factors: tuple[float, float]) -> tuple[float, float]:
        """The real offsets that meet all demands: [least, greatest). Empty if least >= greatest."""
        fa, fb = factors
        a, b, bound = self.above
        least = (bound / 2 - a * fa - b * fb).max(initial=-1.0)
        a, b, bound = self.below
        greatest = (bound / 2 - a * fa - b * fb).min(initial=1.0)
        return float(least), float(greatest)

    def width(self, factors: tuple[float, float]) -> float:
        """The width of the interval of offsets, concave in the factors; negative if it is empty."""
        least, greatest = self.offsets(factors)
        return greatest - least

    def exact_ends(self, multipliers: tuple[int, int], shift: int) -> tuple[Integers, Integers]:
        """The least integer offset of each ``above``, the greatest of each ``below``."""
        half = 1 << (shift - 1)
        a, b, bound = self.above
        least = bound * half - a * multipliers[0] - b * multipliers[1]
        a, b, bound = self.below
        return least, bound * half - 1 - a * multipliers[0] - b * multipliers[1]

    def near(self, factors: tuple[float, float]) -> _Demands:
        """The demands that factors within ``REACH`` could break."""
        kept = []
        for sign, (a, b, bound) in ((1, self.above), (-1, self.below)):
            close = sign * (a * factors[0] + b * factors[1] - bound / 2) < NEAR
            kept.append((a[close], b[close], bound[close]))
        return _Demands(*kept)


def _demands(
    reference: Integers, a: Integers, b: Integers, y: Tensor, low: int, high: int
) -> _Demands:
    first, second = np.broadcast_arrays(a[:, None], b[None, :])
    above, below = reference > low, reference < high
    doubled = 2 * (reference - y.zero_point)
    return _Demands(
        (first[above], second[above], doubled[above] - 1),
        (first[below], second[below], doubled[below] + 1),
    )


def _widest(demands: _Demands, factors: tuple[float, float]) -> tuple[float, float]:
    """The factors with the widest interval of offsets, within ``REACH`` of the real ones."""
    fa, fb = factors

    def best_second(first: float) -> float:
        low, high = fb - REACH, fb + REACH
        for _ in range(STEPS if fb else 0):
            left, right = low + (high - low) / 3, high - (high - low) / 3
            if demands.width((first, left)) < demands.width((first, right)):
                low = left
            else:
                high = right
        return (low + high) / 2

    low, high = fa - REACH, fa + REACH
    for _ in range(STEPS):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        widths = [demands.width((value, best_second(value))) for value in (left, right)]
        if widths[0] < widths[1]:
            low = left
        else:
            high = right
    return (low + high) / 2, best_second((low + high) / 2)


def _fewest(least: Integers, greatest: Integers) -> tuple[int, int]:
    """The offset that meets most demands (ties: nearest to 0), and the number of unmet ones."""
    ends = np.unique(np.concatenate([least, greatest, [0]]))
    met = np.searchsorted(np.sort(least), ends, side="right")
    met += len(greatest) - np.searchsorted(np.sort(greatest), ends, side="left")
    best = ends[met == met.max()]
    return int(best[np.abs(best).argmin()]), len(least) + len(greatest) - int(met.max())


def _integers(factors: tuple[float, float], shift: int) -> tuple[int, int]:
    ma, mb = (max(round(factor * 2.0**shift), 1 if factor else 0) for factor in factors)
    return ma, mb


def _search(
    demands: _Demands, factors: tuple[float, float]
) -> tuple[tuple[int, int], int, int, int]:
    """Multipliers, offset, shift, and the number of unmet demands."""
    near = demands.near(factors)
    found = (factors, _widest(near, factors))
    shifts = [n for n in range(1, MAX_SHIFT) if max(_integers(factors, n)) <= MAX_MULTIPLIER]
    if not shifts:
        raise ValueError(f"factors up to {max(factors)} do not fit {MAX_MULTIPLIER}")
    for shift in shifts:
        for candidate in found:
            multipliers = _integers(candidate, shift)
            least, greatest = demands.exact_ends(multipliers, shift)
            low, high = int(least.max(initial=-(1 << 60))), int(greatest.min(initial=1 << 60))
            if low <= high and max(multipliers) <= MAX_MULTIPLIER:
                return multipliers, min(max(0, low), high), shift, 0
    results = []
    for candidate in found:
        multipliers = _integers(candidate, shifts[-1])
        offset, left = _fewest(*demands.exact_ends(multipliers, shifts[-1]))
        results.append((left, multipliers, offset))
    left, multipliers, offset = min(results)
    return multipliers, offset, shifts[-1], left


def outputs_of_pairs(requant: Requant, inputs: Sequence[Tensor], y: Tensor) -> Integers:
    """The output of an addition for each pair of integers, int64 (A, B)."""
    ma, mb = requant.multipliers
    first, second = (x.centered for x in inputs)
    sums = first[:, None] * ma + second * mb + requant.offsets[0]
    return rescale(sums, requant, y.zero_point)


def exact_sums(a: Tensor, b: Tensor, y: Tensor) -> Integers:
    """round_half_even((a * Sa + b * Sb) / Sy), zero points subtracted, for each pair: (A, B)."""
    scales = [Fraction(x.scale) / Fraction(y.scale) for x in (a, b)]
    below = lcm(*(scale.denominator for scale in scales))
    first, second = (
        x.centered.astype(object) * int(scale * below)
        for x, scale in zip((a, b), scales, strict=True)
    )
    doubled = 2 * (first[:, None] + second) + below
    up = doubled // (2 * below)
    ties = doubled % (2 * below) == 0
    nearest: Integers = (up - (ties & (up % 2 == 1))).astype(np.int64)
    return nearest


def half_even_forms(
    inputs: Sequence[Tensor], y: Tensor, clamp: tuple[int, int]
) -> Iterator[Requant]:
    """Half-even requantizations by the real factors of the inputs, narrow ones first."""
    scales = [Fraction(x.scale) / Fraction(y.scale) for x in inputs]
    for bits in range(1, MAX_MULTIPLIER.bit_length() + 1):
        with suppress(ValueError):  # the smaller of two distant factors needs more bits
            yield Requant(*fixed_point(scales, bits), Rounding.HALF_EVEN, *clamp)


def search_add(
    reference: Array, a: Tensor, b: Tensor, y: Tensor, clamp: tuple[int, int]
) -> tuple[Requant, int]:
    """Find the requantization of an addition that equals a table.

    Parameters
    ----------
    reference : integers (A, B): the output for a = a.dtype.qmin + i and b = b.dtype.qmin + j
    clamp : the least and greatest output; the table is clamped to it

    Returns (requant, wrong). The Requant has two multipliers and one offset, and is half-up, or
    half-even if that equals more of the table. ``wrong`` is the number of pairs on which it differs
    from the table; 0 if it equals the table. Raises ValueError if the factors do not fit the
    multipliers.
    """
    table = np.clip(np.asarray(reference, np.int64), *clamp)
    multipliers, offset, shift, left = _search(
        _demands(table, a.centered, b.centered, y, *clamp), (a.scale / y.scale, b.scale / y.scale)
    )
    found = Requant(multipliers, shift, Rounding.HALF_UP, *clamp, offsets=(offset,))
    if left:  # scales with a simple ratio make exact ties, which engines round to even
        even = replace(found, rounding=Rounding.HALF_EVEN, offsets=(0,))
        differing = int((outputs_of_pairs(even, (a, b), y) != table).sum())
        if differing < left:
            return even, differing
    return found, left


def search_one(
    reference: Array, x: Tensor, y: Tensor, clamp: tuple[int, int]
) -> tuple[Requant, int]:
    """:func:`search_add` for a table over one input, integers (A,), and one multiplier."""
    table = np.clip(np.asarray(reference, np.int64), *clamp)
    demands = _demands(table[:, None], x.centered, np.zeros(1, np.int64), y, *clamp)
    (multiplier, _), offset, shift, left = _search(demands, (x.scale / y.scale, 0.0))
    return Requant((multiplier,), shift, Rounding.HALF_UP, *clamp, offsets=(offset,)), left

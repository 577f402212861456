"""M, B and n that equal exact real arithmetic, with a float bias, on every reachable sum.

The target is y = clamp(round_half_even((sum + rest) * factor) + Zy) in rationals. Half-up, the
cheapest rule in hardware, is tried first. Half-even is for factors of few bits, with which sums
meet exact ties in both directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from math import lcm

import numpy as np

from ...builder import Policy
from ...dtypes import Bounds
from ...layers import Layer, Requantizing, Tensor
from ...layers.add import Add
from ...layers.conv import Conv2d
from ...requant import MAX_MULTIPLIER, MAX_SHIFT, Requant, Rounding
from ...requant.multipliers import NoMultiplierError, Target, check, closest, narrow
from ...requant.offsets import narrow_with_offset
from ...requant.references import exact
from ...requant.rounding import clamp
from ...search.add import exact_sums, half_even_forms, outputs_of_pairs, search_add
from ...search.policies import factors

__all__ = ["exactly"]


def exactly(rests: Sequence[Fraction] = ()) -> Policy:
    """The narrowest requantization that equals half-even rounding of the exact value.

    ``reference`` is then ``half_even``. If there is none (exact ties in both directions and a
    factor that is not dyadic), all ties go up and ``reference`` is None. It is also None if the
    factors do not fit M and n, which are then the closest ones.

    Parameters
    ----------
    rests : per output channel, the fraction of the sum in addition to its integer; 0 if empty
    """

    def rescale(layer: Layer, inputs: tuple[Tensor, ...], y: Tensor, reach: Bounds) -> Requant:
        assert isinstance(layer, Requantizing)
        ends = layer.requant.low, layer.requant.high
        if isinstance(layer, Add):
            return _of_pairs(inputs, y, ends)
        scales = factors(layer, inputs, y)
        spread = scales if len(scales) > 1 else scales * len(reach[0])
        target = Target("half_even", spread, *reach, y.zero_point, *ends, biases=rests)
        # Without rests a convolution gets no offsets; a pool has only one, so it may.
        plain = isinstance(layer, Conv2d) and not any(rests)
        for search in (narrow if plain else narrow_with_offset, _half_even):
            try:
                return search(target)
            except NoMultiplierError:
                continue
        try:
            return _ties_up(target)
        except NoMultiplierError:
            return closest(target)

    return rescale


def _half_even(target: Target) -> Requant:
    """Half-even. With rests there is no search: M / 2**n and B / 2**n must be exact."""
    if not any(target.biases):
        return narrow(target, Rounding.HALF_EVEN)
    slopes = [Fraction(scale) for scale in target.scales if isinstance(scale, Fraction)]
    heights = [f * Fraction(rest) for f, rest in zip(slopes, target.biases, strict=True)]
    below = lcm(*(value.denominator for value in slopes + heights))
    shift = below.bit_length() - 1
    multipliers = tuple(int(value * below) for value in slopes)
    if below != 1 << shift or shift > MAX_SHIFT or max(multipliers) > MAX_MULTIPLIER:
        raise NoMultiplierError("the factors are not dyadic")
    requant = Requant(
        multipliers=multipliers,
        shift=shift,
        rounding=Rounding.HALF_EVEN,
        low=target.low,
        high=target.high,
        reference=target.reference,
        offsets=tuple(int(value * below) for value in heights),
    )
    check(target, requant)
    return requant


def _ties_up(target: Target) -> Requant:
    """Half-up rounding of the exact value, as half-even rounding of slightly greater sums.

    With a factor p / q, ties are at sums that are multiples of 1 / 2p. Adding 1 / 4p to each sum
    makes every tie round up, and keeps every other sum on its side.
    """
    biases = [
        Fraction(target.bias(channel)) + Fraction(1, 4 * exact(scale).numerator)
        for channel, scale in enumerate(target.scales)
    ]
    return replace(narrow_with_offset(replace(target, biases=biases)), reference=None)


def _of_pairs(inputs: tuple[Tensor, ...], y: Tensor, ends: tuple[int, int]) -> Requant:
    """The requantization of an addition, compared on every pair of integers."""
    a, b = inputs
    table = clamp(exact_sums(a, b, y) + y.zero_point, *ends)
    found, different = search_add(table, a, b, y, ends)
    if not different:
        return replace(found, reference="half_even")
    for requant in half_even_forms(inputs, y, ends):
        if np.array_equal(outputs_of_pairs(requant, inputs, y), table):
            return replace(requant, reference="half_even")
    return found

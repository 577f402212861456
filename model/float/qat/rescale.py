"""Multipliers that equal the exact arithmetic of a fake-quantized network, ties to even.

    convolution, pool, concatenation
                       the narrowest M and n that equal round_half_even(acc * factor) on every
                       reachable sum; the factor is an exact rational; ``requant/multipliers.py``
    addition           the narrowest Ma, Mb, B and n that equal the table of all pairs, up to 8 bits

If there are none, M has 31 bits and is the nearest to the factor, with ties to even. ``reference``
is then None: these numbers are the definition.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import lcm

import numpy as np

from ...builder import Policy
from ...dtypes import Bounds, Integers
from ...layers import Layer, Tensor
from ...requant import Requant, Rounding
from ...requant import rescale as requantized
from ...requant.multipliers import NoMultiplierError
from ...search.add import search_add
from ...search.policies import by_reference, factors, fixed

__all__ = ["half_even"]


WIDEST = 31  # bits of M
TABLE_BITS = 8  # of an addition's inputs; with more, the table of all pairs is too large


def half_even() -> Policy:
    """The policy that the module docstring describes."""
    exact, nearest = by_reference("half_even"), fixed(WIDEST, Rounding.HALF_EVEN)

    def rescale(layer: Layer, inputs: tuple[Tensor, ...], y: Tensor, reach: Bounds) -> Requant:
        if len(reach[0]):
            try:
                return exact(layer, inputs, y, reach)
            except NoMultiplierError:
                return nearest(layer, inputs, y, reach)
        plain = nearest(layer, inputs, y, reach)
        if max(x.dtype.bits for x in inputs) > TABLE_BITS:
            return plain
        table = _sums(factors(layer, inputs, y), inputs) + y.zero_point
        if np.array_equal(_made(plain, inputs, y), np.clip(table, plain.low, plain.high)):
            plain = replace(plain, reference="half_even")
        found, wrong = search_add(table, inputs[0], inputs[1], y, (plain.low, plain.high))
        return plain if wrong else replace(found, reference="half_even")

    return rescale


def _levels(inputs: tuple[Tensor, ...]) -> tuple[Integers, Integers]:
    """All values of both inputs, minus their zero points, along two axes."""
    a, b = (np.arange(x.dtype.qmin, x.dtype.qmax + 1) - x.zero_point for x in inputs)
    return a[:, None], b[None, :]


def _made(requant: Requant, inputs: tuple[Tensor, ...], y: Tensor) -> Integers:
    """The outputs of a requantization for every pair."""
    terms = (q * m for q, m in zip(_levels(inputs), requant.multipliers, strict=True))
    return requantized(sum(terms, np.zeros((1, 1), np.int64)), requant, y.zero_point)


def _sums(scales: list[Fraction], inputs: tuple[Tensor, ...]) -> Integers:
    """round_half_even(a * fa + b * fb) in Python's integers; a and b without their zero points."""
    whole = lcm(*(scale.denominator for scale in scales))
    first, second = (
        q.astype(object) * int(f * whole) for q, f in zip(_levels(inputs), scales, strict=True)
    )
    biased = 2 * (first + second) + whole
    up = biased // (2 * whole)  # floor(v + 1/2)
    tie = biased == up * (2 * whole)
    even: Integers = (up - (tie & (up % 2 == 1))).astype(np.int64)
    return even

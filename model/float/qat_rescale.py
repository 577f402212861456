"""Multipliers that equal exact arithmetic: what a fake-quantized network rounds, ties to even.

    convolution, pool  the narrowest M and n that equal round_half_even(acc * factor) on every
                       reachable sum, the factor an exact rational; see ``narrow.py``
    addition           the narrowest Ma, Mb, B and n that equal the table of all pairs, up to 8 bits

Where there are none, M has 31 bits, the nearest to the factor, ties to even, and the layer's
``reference`` is None.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import lcm

import numpy as np
import numpy.typing as npt

from ..addsearch import search_add
from ..arith import Rounding
from ..builder import Rescale
from ..layers import Layer, Tensor
from ..narrow import NoMultiplierError
from ..ranges import Bounds
from ..requant import Requant
from ..rescale import by_reference, factors, fixed

__all__ = ["half_even"]

WIDEST = 31  # bits of M
TABLE_BITS = 8  # of an addition's inputs; beyond, the table of all pairs is too large


def half_even() -> Rescale:
    """See the module."""
    exact, nearest = by_reference("half_even"), fixed(WIDEST, Rounding.HALF_EVEN)

    def rescale(layer: Layer, inputs: tuple[Tensor, ...], y: Tensor, reach: Bounds) -> Requant:
        if len(inputs) == 1:
            try:
                return exact(layer, inputs, y, reach)
            except NoMultiplierError:
                return nearest(layer, inputs, y, reach)
        plain = nearest(layer, inputs, y, reach)
        if max(x.dtype.bits for x in inputs) > TABLE_BITS:
            return plain
        a, b = inputs
        table = _sums(factors(layer, inputs, y), a, b) + y.zero_point
        found, wrong = search_add(table, a, b, y, (plain.low, plain.high))
        return replace(found, reference="half_even") if not wrong else plain

    return rescale


def _sums(scales: list[Fraction], a: Tensor, b: Tensor) -> npt.NDArray[np.int64]:
    """round_half_even(a * fa + b * fb), zero points taken off, for every pair of inputs."""
    whole = lcm(*(scale.denominator for scale in scales))
    first, second = (
        (np.arange(x.dtype.qmin, x.dtype.qmax + 1) - x.zero_point).astype(object) * int(f * whole)
        for x, f in zip((a, b), scales, strict=True)
    )
    biased = 2 * (first[:, None] + second[None, :]) + whole
    up = biased // (2 * whole)  # floor(v + 1/2)
    tie = biased == up * (2 * whole)
    even: npt.NDArray[np.int64] = (up - (tie & (up % 2 == 1))).astype(np.int64)
    return even

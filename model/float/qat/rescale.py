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

import numpy as np

from ...builder import Policy
from ...dtypes import Bounds
from ...layers import Layer, Tensor
from ...requant import Requant, Rounding
from ...requant.multipliers import NoMultiplierError
from ...requant.rounding import clamp
from ...search.add import exact_sums, outputs_of_pairs, search_add
from ...search.policies import by_reference, fixed

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
        a, b = inputs
        table = clamp(exact_sums(a, b, y) + y.zero_point, plain.low, plain.high)
        if np.array_equal(outputs_of_pairs(plain, inputs, y), table):
            plain = replace(plain, reference="half_even")
        found, wrong = search_add(table, a, b, y, (plain.low, plain.high))
        return plain if wrong else replace(found, reference="half_even")

    return rescale

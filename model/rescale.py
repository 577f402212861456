"""Which M, n and rounding a layer gets: the usual answers to the builder's question.

The real factor of a layer is Sx * Sw / Sy for a convolution, Sx / (Sy * KH * KW) for an average
pool, Sa / Sy and Sb / Sy for an addition.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from .add import Add
from .arith import Rounding
from .builder import Rescale
from .conv import Conv2d
from .layers import Layer, Tensor
from .narrow import NoMultiplierError, Target, narrow
from .pool import AvgPool2d
from .ranges import Bounds
from .requant import Requant, fixed_point

__all__ = ["by_reference", "factors", "fixed"]


def factors(layer: Layer, inputs: tuple[Tensor, ...], y: Tensor) -> list[Fraction]:
    """The exact real factors of a layer: one, one per output channel, or one per input."""
    ratios = [Fraction(x.scale) / Fraction(y.scale) for x in inputs]
    if isinstance(layer, Conv2d):
        return [ratios[0] * Fraction(scale) for scale in layer.weights.scales]
    if isinstance(layer, AvgPool2d):
        return [ratios[0] / (layer.kernel[0] * layer.kernel[1])]
    return ratios


def fixed(bits: int, rounding: Rounding) -> Rescale:
    """M of ``bits`` bits, the nearest to the real factor: M, n and the rule are the definition."""

    def rescale(layer: Layer, inputs: tuple[Tensor, ...], y: Tensor, reach: Bounds) -> Requant:
        multipliers, shift = fixed_point(factors(layer, inputs, y), bits)
        return replace(_clamp_of(layer), multipliers=multipliers, shift=shift, rounding=rounding)

    return rescale


def by_reference(reference: str = "half_even") -> Rescale:
    """The narrowest M that equals a rule of ``reference.REFERENCES`` on every reachable sum.

    Half-up where it can, half-even where exact ties leave no other way. An addition, for which
    there is no such search, gets multipliers of 24 bits, half-even.
    """

    def rescale(layer: Layer, inputs: tuple[Tensor, ...], y: Tensor, reach: Bounds) -> Requant:
        scales = factors(layer, inputs, y)
        if len(inputs) > 1:
            return fixed(24, Rounding.HALF_EVEN)(layer, inputs, y, reach)
        clamp = _clamp_of(layer)
        spread = scales if len(scales) > 1 else scales * len(reach[0])
        target = Target(reference, spread, *reach, y.zero_point, clamp.low, clamp.high)
        try:
            return narrow(target, Rounding.HALF_UP)
        except NoMultiplierError:
            return narrow(target, Rounding.HALF_EVEN)

    return rescale


def _clamp_of(layer: Layer) -> Requant:
    assert isinstance(layer, Conv2d | AvgPool2d | Add)
    return layer.requant

"""The usual policies (:data:`Policy`): the M, n and rounding rule of a layer.

The real factor of a layer is Sx * Sw / Sy for a convolution, Sx / (Sy * KH * KW) for an average
pool, Sa / Sy and Sb / Sy for an addition, Sk / Sy for each tensor of a concatenation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from ..builder import Policy
from ..dtypes import Bounds
from ..layers import Layer, Requantizing, Tensor
from ..requant import MAX_MULTIPLIER, MAX_SHIFT, Requant, Rounding, fixed_point
from ..requant.multipliers import NoMultiplierError, Target, narrow
from ..requant.references import exact

__all__ = ["by_reference", "factors", "fixed", "float32"]

FLOAT32_EXACT = 1 << 24  # up to here float32 represents every integer
MAX_SEARCHED = 1 << 26  # accumulators; about ten seconds


def factors(layer: Layer, inputs: tuple[Tensor, ...], y: Tensor) -> list[Fraction]:
    """The exact real factors of a layer: one, one per output channel, or one per input."""
    assert isinstance(layer, Requantizing)
    return layer.factors([Fraction(x.scale) / Fraction(y.scale) for x in inputs])


def fixed(bits: int, rounding: Rounding) -> Policy:
    """M of ``bits`` bits, the nearest to the real factor; M, n and the rule are the definition."""

    def rescale(layer: Layer, inputs: tuple[Tensor, ...], y: Tensor, reach: Bounds) -> Requant:
        multipliers, shift = fixed_point(factors(layer, inputs, y), bits)
        return replace(_clamp_of(layer), multipliers=multipliers, shift=shift, rounding=rounding)

    return rescale


def by_reference(reference: str = "half_even") -> Policy:
    """The narrowest M that equals a rule of ``references.REFERENCES`` on every reachable sum.

    The rounding is half-up if possible, else half-even, which exact ties may require. There is no
    such search for an addition: it gets multipliers of 24 bits, half-even.
    """

    def rescale(layer: Layer, inputs: tuple[Tensor, ...], y: Tensor, reach: Bounds) -> Requant:
        scales = factors(layer, inputs, y)
        if not len(reach[0]):
            return fixed(24, Rounding.HALF_EVEN)(layer, inputs, y, reach)
        clamp = _clamp_of(layer)
        spread = scales if len(scales) > 1 else scales * len(reach[0])
        target = Target(reference, spread, *reach, y.zero_point, clamp.low, clamp.high)
        try:
            return narrow(target, Rounding.HALF_UP)
        except NoMultiplierError:
            return narrow(target, Rounding.HALF_EVEN)

    return rescale


def float32(scales: Sequence[np.float32]) -> Policy:
    """M / 2**n exactly equal to the float32 factors by which an engine multiplies accumulators.

    With the rule ``Rounding.FLOAT32`` the requantization then equals ``nearbyint(float(acc) * s)``
    by construction, if float32 represents every accumulator that does not saturate. Otherwise, and
    for factors too far apart for 31-bit multipliers over one shift, ``narrow`` searches for others
    and checks every reachable accumulator.

    scales : one, or one per output channel; the layer is refused unless they are positive and
        finite
    """

    def rescale(layer: Layer, inputs: tuple[Tensor, ...], y: Tensor, reach: Bounds) -> Requant:
        clamp = _clamp_of(layer)
        for scale in scales:
            if not (np.isfinite(scale) and scale > 0):
                raise ValueError(f"the factor must be positive and finite in float32, not {scale}")
        real = [Fraction(float(scale)) for scale in scales]
        real = real if len(real) > 1 else real * len(reach[0])
        shift = max(scale.denominator.bit_length() - 1 for scale in real)
        multipliers = tuple(int(scale * (1 << shift)) for scale in real)
        target = Target("float32_half_even", real, *reach, y.zero_point, clamp.low, clamp.high)
        if max(multipliers) > MAX_MULTIPLIER or shift > MAX_SHIFT or not _held(target):
            return _narrowed(target)
        return replace(
            clamp,
            multipliers=multipliers[:1] if len(scales) == 1 else multipliers,
            shift=shift,
            rounding=Rounding.FLOAT32,
            reference=target.reference,
        )

    return rescale


def _held(target: Target) -> bool:
    """Whether float32 represents every accumulator that does not saturate."""
    ends = target.low - target.zero_point, target.high - target.zero_point
    return all(
        extreme <= FLOAT32_EXACT or FLOAT32_EXACT * exact(scale) >= end + 1
        for scale, lo, hi in zip(target.scales, target.lo.tolist(), target.hi.tolist(), strict=True)
        for extreme, end in ((-lo, -ends[0]), (hi, ends[1]))
    )


def _narrowed(target: Target) -> Requant:
    """Other multipliers that equal the engine. Raises ValueError if there are none."""
    count = int((target.hi - target.lo + 1).sum())
    if count > MAX_SEARCHED:
        raise ValueError(
            f"float32 does not hold its {count} accumulators or its factors, and they are too many "
            f"to be searched (at most {MAX_SEARCHED}); use fewer input channels"
        )
    try:
        return narrow(target, Rounding.HALF_UP)
    except NoMultiplierError:
        return narrow(target, Rounding.FLOAT32)


def _clamp_of(layer: Layer) -> Requant:
    assert isinstance(layer, Requantizing)
    return layer.requant

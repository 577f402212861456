"""From accumulator to output: y = clamp(round((acc * M + B) / 2**n) + Zy, low, high).

M and n are integers that approximate Sx * Sw / Sy. There is one M per tensor or per channel, and
one n per layer, so hardware needs no barrel shifter. Source of the scheme: Jacob et al.,
"Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", 2.2
(CVPR 2018), with M of 31 bits; ``multipliers.py`` finds narrower ones. The offset B is 0 except for
an engine that adds its bias in floats: it then has the part of that bias that the int32 bias
leaves, in units of 2**-n of an output step. The search for narrower multipliers may also set it.
Hardware adds it together with the rounding constant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from ..dtypes import Integers
from .references import REFERENCES
from .rounding import Rounding, clamp, round_shift

__all__ = [
    "MAX_MULTIPLIER",
    "MAX_OFFSET",
    "MAX_SHIFT",
    "Requant",
    "fixed_point",
    "requantize",
    "rescale",
]

MAX_MULTIPLIER = (1 << 31) - 1
FLOAT64_EXACT = 1 << 53  # below it, integers and their quotients by powers of two are exact
MAX_OFFSET = (1 << 61) - 1
MAX_SHIFT = 61  # |acc * M| < 2**62, and the sum with half of 2**n fits int64


@dataclass(frozen=True)
class Requant:
    """The conversion of a layer's accumulators to activations.

    Parameters
    ----------
    multipliers : one integer, or one per output channel, each 1 to 2**31 - 1
    shift : n, 0 to 61
    rounding : the rule for the fraction
    low, high : the clamp, within the output's type; a fused ReLU raises ``low`` to the zero point
    reference : the rule that M, n, B and ``rounding`` were proven equal to on every reachable
        accumulator: a float rule by its name in ``references.REFERENCES``, or another
        requantization with the same clamp; None if they are the definition themselves
    offsets : B, one integer, or one per output channel

    Raises ValueError if a number is out of range.
    """

    multipliers: tuple[int, ...]
    shift: int
    rounding: Rounding
    low: int
    high: int
    reference: str | Requant | None = None
    offsets: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        for m in self.multipliers:
            if not 1 <= m <= MAX_MULTIPLIER:
                raise ValueError(f"multiplier must be 1 to {MAX_MULTIPLIER}, not {m}")
        if not 0 <= self.shift <= MAX_SHIFT:
            raise ValueError(f"shift must be 0 to {MAX_SHIFT}, not {self.shift}")
        if self.low > self.high:
            raise ValueError(f"clamp must rise, not [{self.low}, {self.high}]")
        for offset in self.offsets:
            if abs(offset) > MAX_OFFSET:
                raise ValueError(f"offset must lie within {MAX_OFFSET}, not {offset}")
        self._require_reference()

    def _require_reference(self) -> None:
        if isinstance(self.reference, Requant):
            if self.reference.reference is not None:
                raise ValueError("reference must be a definition, which has no reference itself")
            if (self.reference.low, self.reference.high) != (self.low, self.high):
                raise ValueError(
                    f"reference must have the clamp [{self.low}, {self.high}], "
                    f"not [{self.reference.low}, {self.reference.high}]"
                )
        elif self.reference not in (None, *REFERENCES):
            names = ", ".join(REFERENCES)
            raise ValueError(f"reference must be one of {names} or null, not {self.reference!r}")

    def clamped(self, low: int, high: int) -> Requant:
        """This requantization followed by a clamp to [low, high]."""
        low, high = (min(max(end, self.low), self.high) for end in (low, high))
        reference = self.reference
        if isinstance(reference, Requant):
            reference = replace(reference, low=low, high=high)
        return replace(self, low=low, high=high, reference=reference)

    def per_channel(self, channels: int) -> tuple[int, ...]:
        """The multipliers, repeated to one for each of ``channels`` output channels."""
        return self.multipliers if len(self.multipliers) > 1 else self.multipliers * channels

    @property
    def definition(self) -> Requant:
        """The requantization that this one was proven equal to; otherwise this one."""
        return self.reference if isinstance(self.reference, Requant) else self

    @property
    def has_offsets(self) -> bool:
        """Whether any offset is not 0."""
        return any(self.offsets)


def fixed_point(scales: Sequence[float | Fraction], bits: int) -> tuple[tuple[int, ...], int]:
    """Convert real factors to M / 2**n: the largest M has ``bits`` bits, and all share one n.

    Each M is the nearest integer to scale * 2**n (ties to even), computed exactly. Returns
    (multipliers, shift). Raises ValueError if that takes a shift outside 0 to 61, or if a factor is
    so much smaller than the largest that its M would be 0.
    """
    largest = Fraction(max(scales))
    shift = bits - 1 - _floor_log2(largest)
    if round(largest * Fraction(2) ** shift) >> bits:  # rounding up reached the next power of two
        shift -= 1
    multipliers = tuple(round(Fraction(scale) * Fraction(2) ** shift) for scale in scales)
    if not 0 <= shift <= MAX_SHIFT or min(multipliers) < 1:
        ends = f"{float(min(scales))} to {float(max(scales))}"
        raise ValueError(
            f"factors from {ends} do not fit {bits}-bit multipliers "
            f"over one shift of 0 to {MAX_SHIFT}"
        )
    return multipliers, shift


def _floor_log2(value: Fraction) -> int:
    """The exponent e with 2**e <= value < 2**(e + 1), for value > 0."""
    exponent = value.numerator.bit_length() - value.denominator.bit_length()
    return exponent if value >= Fraction(2) ** exponent else exponent - 1


def requantize(acc: Integers, requant: Requant, zero_point: int) -> Integers:
    """Requantize accumulators.

    Parameters
    ----------
    acc : int64 with int32 values, (..., OC), channels last
    zero_point : Zy, of the output tensor

    Returns int64, the shape of ``acc``, in [requant.low, requant.high].
    """
    multipliers = np.array(requant.multipliers, dtype=np.int64)  # (1,) or (OC,)
    offsets = np.array(requant.offsets, dtype=np.int64)
    return rescale(acc * multipliers + offsets, requant, zero_point)


def rescale(product: Integers, requant: Requant, zero_point: int) -> Integers:
    """clamp(round(product / 2**n) + Zy): the steps after the multiplication and the offset."""
    rounded = round_shift(product, requant.shift, requant.rounding)
    return clamp(rounded + zero_point, requant.low, requant.high)

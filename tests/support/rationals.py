"""The rules once more, by the words of their definitions, on exact rationals: what tests trust."""

from fractions import Fraction
from math import floor

from tercet.model.requant import Rounding

HALF = Fraction(1, 2)


def round_exactly(v, rule):
    """Round a Fraction by ``rule``."""
    if rule is Rounding.HALF_EVEN:
        return round(v)  # the standard library's: ties to even
    if rule is Rounding.HALF_UP:
        return floor(v + HALF)
    if rule is Rounding.HALF_AWAY:
        return floor(v + HALF) if v >= 0 else -floor(-v + HALF)
    if rule is Rounding.FLOAT32:
        return round(to_float32(v))
    return floor(v)


def to_float32(v):
    """A Fraction rounded to 24 significant bits, ties to even."""
    if v == 0:
        return v
    exponent = abs(v.numerator).bit_length() - v.denominator.bit_length()
    exponent -= abs(v) < Fraction(2) ** exponent  # 2**exponent <= |v| < 2**(exponent + 1)
    step = Fraction(2) ** (exponent - 23)
    return round(v / step) * step


def requantize_exactly(acc, factor, rule, zero_point, low, high):
    """clamp(round(acc * factor) + Zy, low, high) for a rational ``factor``."""
    return min(max(round_exactly(acc * factor, rule) + zero_point, low), high)

"""Requantization: from sums to narrow integers, by M, n, B and a rounding rule."""

from .requant import (
    MAX_MULTIPLIER,
    MAX_OFFSET,
    MAX_SHIFT,
    Requant,
    fixed_point,
    requantize,
    rescale,
)
from .rounding import Rounding

__all__ = [
    "MAX_MULTIPLIER",
    "MAX_OFFSET",
    "MAX_SHIFT",
    "Requant",
    "Rounding",
    "fixed_point",
    "requantize",
    "rescale",
]

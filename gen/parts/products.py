"""The multipliers of a part, by the widths of what they multiply."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from amaranth import Shape

from ...hw.centered import centered_width
from ...model.dtypes import signed_width
from ...model.layers import Tensor
from .add import AddPart
from .concat import ConcatPart
from .conv import ConvPart
from .part import Part, shape_of

__all__ = ["Product", "products", "requantizing"]


@dataclass(frozen=True)
class Product:
    """Multipliers alike: how many, and the bits of their two factors, both signed or neither."""

    count: int
    a: int
    b: int
    signed: bool = True


def products(part: Part) -> list[Product]:
    """Every multiplier of a part, those that are only wires left out."""
    if not isinstance(part, ConvPart):
        return requantizing(part)
    weights = part.conv.weights.centered
    engine = (int(weights.min()), int(weights.max()))
    return [*_by(part.multipliers, _centered(part.x), engine), *requantizing(part)]


def requantizing(part: Part) -> list[Product]:
    """Those that requantize."""
    if isinstance(part, ConvPart):
        multipliers = part.conv.requant.multipliers
        return _by_shape(part.requantizer_multipliers, part.operand, multipliers)
    if isinstance(part, AddPart):
        factors = zip((part.x, part.other), part.layer.requant.multipliers, strict=True)
        each = part.requantizer_multipliers // 2
        return [
            product
            for x, multiplier in factors
            for product in _by(each, _centered(x), (multiplier,))
        ]
    if isinstance(part, ConcatPart):
        width = max(_centered(x) for x in part.inputs)
        return _by(part.requantizer_multipliers, width, part.layer.requant.multipliers)
    return []


def _centered(x: Tensor) -> int:
    return centered_width(shape_of(x.dtype), x.zero_point)


def _by_shape(count: int, operand: Shape, multipliers: Iterable[int]) -> list[Product]:
    """The multipliers of requantizers, whose M is unsigned."""
    found = _by(count, operand.width, multipliers)
    if operand.signed:
        return found
    return [replace(product, b=product.b - 1, signed=False) for product in found]


def _by(count: int, width: int, factors: Iterable[int]) -> list[Product]:
    """Multipliers by numbers, or by one alone; a power of two takes none."""
    low, high = min(factors), max(factors)
    if not count or (low == high and abs(low) & (abs(low) - 1) == 0):
        return []
    return [Product(count, width, signed_width(low if low == high else min(0, low), high))]

"""The multipliers of a part, by the widths of what they multiply."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from amaranth import Shape

from ...model.dtypes import signed_width

__all__ = ["Product", "products_by", "scaled_by"]


@dataclass(frozen=True)
class Product:
    """Multipliers alike.

    count : how many
    a, b : bits of the two factors, both signed or neither
    requantizes : whether they are requantizers'
    """

    count: int
    a: int
    b: int
    signed: bool = True
    requantizes: bool = False


def products_by(
    count: int, width: int, factors: Iterable[int], *, requantizes: bool = False
) -> list[Product]:
    """Multipliers of signed values of ``width`` bits by factors in the range of those given.

    A single factor that is a power of two takes wires and no multiplier.
    """
    low, high = min(factors), max(factors)
    if not count or (low == high and abs(low) & (abs(low) - 1) == 0):
        return []
    bits = signed_width(low if low == high else min(0, low), high)
    return [Product(count, width, bits, requantizes=requantizes)]


def scaled_by(count: int, operand: Shape, multipliers: Iterable[int]) -> list[Product]:
    """The multipliers of requantizers, whose M is unsigned."""
    found = products_by(count, operand.width, multipliers, requantizes=True)
    if operand.signed:
        return found
    return [replace(product, b=product.b - 1, signed=False) for product in found]

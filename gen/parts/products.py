"""The multipliers of a part, with the widths of their factors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from amaranth import Shape

from ...model.dtypes import signed_width

__all__ = ["Product", "products_by", "scaled_by"]


@dataclass(frozen=True)
class Product:
    """A number of identical multipliers.

    count : how many
    a, b : bits of the two factors
    signed : whether both factors are signed; else neither is
    requantizes : whether the multipliers belong to requantizers
    """

    count: int
    a: int
    b: int
    signed: bool = True
    requantizes: bool = False


def products_by(
    count: int, width: int, factors: Iterable[int], *, requantizes: bool = False
) -> list[Product]:
    """Multipliers of signed values of ``width`` bits by factors within the range of ``factors``.

    If the only factor is a power of two, wires are enough and there is no multiplier.
    """
    low, high = min(factors), max(factors)
    if not count or (low == high and abs(low) & (abs(low) - 1) == 0):
        return []
    bits = signed_width(low if low == high else min(0, low), high)
    return [Product(count, width, bits, requantizes=requantizes)]


def scaled_by(count: int, operand: Shape, multipliers: Iterable[int]) -> list[Product]:
    """The multipliers of requantizers; M is unsigned."""
    found = products_by(count, operand.width, multipliers, requantizes=True)
    if operand.signed:
        return found
    return [replace(product, b=product.b - 1, signed=False) for product in found]

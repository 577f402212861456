"""The range of an activation, and its distance from the zero point."""

from __future__ import annotations

from amaranth import Shape
from amaranth.hdl import Value

from ..model.dtypes import signed_width

__all__ = ["centered", "centered_width", "value_range"]


def value_range(shape: Shape) -> tuple[int, int]:
    """The least and the greatest value of a shape."""
    lowest = -(1 << (shape.width - 1)) if shape.signed else 0
    return lowest, lowest + (1 << shape.width) - 1


def centered_width(shape: Shape, zero_point: int) -> int:
    """Bits of :func:`centered` for a value of this shape."""
    lowest, highest = value_range(shape)
    return signed_width(lowest - zero_point, highest - zero_point)


def centered(x: Value, zero_point: int) -> Value:
    """x - zero_point, signed, no wider than the shape of x requires."""
    return (x - zero_point)[: centered_width(x.shape(), zero_point)].as_signed()

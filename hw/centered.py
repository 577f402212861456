"""An activation without its zero point."""

from __future__ import annotations

from amaranth.hdl import Value

from ..model.dtypes import signed_width

__all__ = ["centered"]


def centered(x: Value, zero_point: int) -> Value:
    """x - zero_point, signed, as wide as the shape of x demands and no wider."""
    shape = x.shape()
    lowest = -(1 << (shape.width - 1)) if shape.signed else 0
    highest = (1 << (shape.width - shape.signed)) - 1
    width = signed_width(lowest - zero_point, highest - zero_point)
    return (x - zero_point)[:width].as_signed()

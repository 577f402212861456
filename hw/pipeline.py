"""Pipeline registers that move together."""

from __future__ import annotations

from types import SimpleNamespace

from amaranth import Module, Signal
from amaranth.hdl import Value

__all__ = ["stage"]


def stage(m: Module, enable: Value, name: str, *, valid: Value, **values: Value) -> SimpleNamespace:
    """Register values at the end of a stage, all under one enable.

    Reset clears ``valid`` alone: the others mean nothing without it.

    Returns the registers by the names of their values; in the Verilog ``name`` stands in front.
    Each has its value's shape.
    """
    registers = SimpleNamespace()
    for key, value in {"valid": valid, **values}.items():
        shape = Value.cast(value).shape()
        register = Signal(shape, name=f"{name}_{key}", reset_less=key != "valid")
        with m.If(enable):
            m.d.sync += register.eq(value)
        setattr(registers, key, register)
    return registers

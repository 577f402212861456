"""Pipeline registers that advance together."""

from __future__ import annotations

from types import SimpleNamespace

from amaranth import Module, Signal
from amaranth.hdl import Value

__all__ = ["stage"]


def stage(m: Module, enable: Value, name: str, *, valid: Value, **values: Value) -> SimpleNamespace:
    """Register values at the end of a stage, all with one enable.

    Reset clears ``valid`` only, because the others mean nothing without it.

    Returns the registers by the names of their values, each with its value's shape. Their names in
    the Verilog begin with ``name``.
    """
    registers = SimpleNamespace()
    for key, value in {"valid": valid, **values}.items():
        shape = Value.cast(value).shape()
        register = Signal(shape, name=f"{name}_{key}", reset_less=key != "valid")
        with m.If(enable):
            m.d.sync += register.eq(value)
        setattr(registers, key, register)
    return registers

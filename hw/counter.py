"""Nested counters: one level of a walk over positions."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.hdl import Value

__all__ = ["counter"]


def counter(
    m: Module,
    name: str,
    limit: int,
    tick: Value,
    *,
    cut: tuple[Value, int] | None = None,
    early: bool = False,
) -> tuple[Value, Value]:
    """Count the cycles in which ``tick`` is high, from 0 to ``limit`` - 1 and again from 0.

    cut : (condition, another limit while it holds); a limit of 0 means no cut
    early : make ``ends`` a register, so that it is valid early in a cycle; ignored if there is a
        cut

    Returns (count, ends): the count, and whether it is the last.
    """
    count = Signal(range(limit), name=name)
    if cut is not None and not cut[1]:
        cut = None
    early = early and limit > 1 and cut is None
    ends = Signal(name=f"{name}_ends")
    if not early:
        m.d.comb += ends.eq(count == limit - 1)
    if cut is not None:
        m.d.comb += ends.eq(count == Mux(cut[0], cut[1] - 1, limit - 1))
    with m.If(tick):
        m.d.sync += count.eq(Mux(ends, 0, count + 1))
        if early:
            m.d.sync += ends.eq(count == limit - 2)
    return count, ends

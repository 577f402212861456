"""Position counters of the patch engine: weight, sum, and the first and last step of a patch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amaranth import Const, Module, Signal
from amaranth.hdl import Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .counter import counter
from .geometry import PatchGeometry

__all__ = ["PatchWalk"]

FEW = 16  # up to this limit, one LUT4 detects the end of a count


@dataclass(frozen=True)
class _Ends:
    """What ends with a step.

    Each of the first four flags includes those before it. A segment is the part of a patch in one
    row of pixels.
    """

    slot: Value
    channel: Value
    pixel: Value
    segment: Value
    last_column: Value
    last_ky: Value


class PatchWalk(wiring.Component):
    """Walk through an image in raster order, channels last, one step for each slot of a beat.

    A beat inside a patch takes ``slots`` steps. A beat to the right of the last patch or below it
    takes one step, in which ``drop`` is high. Addresses change by increments, without a
    multiplication.

    Parameters
    ----------
    geometry : geometry of the engine
    early : whether the end of each count is a register, unless a tail prevents it; otherwise only
        that of long counts is

    Members
    -------
    step : In(1), go on to the next step
    drop : Out(1), the beat belongs to no patch
    take : Out(1), last step of this beat
    weight : Out, address in the weight ROM, in the order of ``model.layout``
    first, last : Out(1), first or last contribution to the current partial sum
    fresh : Out(1), the partial sum starts, or is none of the ``geometry.recent`` most recent ones
    partial : Out, address of the partial sum: column * outputs + index; index alone if a patch lies
        in one row of pixels, because it then ends before the next begins
    index : Out, group * slots + slot

    All outputs are registers or gates after registers, valid in the cycle of the step. Reset
    returns to the first step of an image.
    """

    def __init__(self, *, geometry: PatchGeometry, early: bool = False):
        self._geometry = g = geometry
        self._early = early
        super().__init__(
            {
                "step": In(1),
                "drop": Out(1),
                "take": Out(1),
                "weight": Out(range(g.weight_depth)),
                "first": Out(1),
                "last": Out(1),
                "fresh": Out(1),
                "partial": Out(range(g.partial_sums)),
                "index": Out(range(g.outputs)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self._geometry
        column_tail = Signal()
        row_tail = Signal()
        m.d.comb += self.drop.eq(column_tail | row_tail)

        def level(name: str, limit: int, tick: Value, **cut: Any) -> tuple[Value, Value]:
            return counter(m, name, limit, tick, early=self._early or limit > FEW, **cut)

        tails = g.tail_steps or g.tail_rows
        whole = self._early and not tails  # without tails, a count ends at its last value
        one = (self.drop, 1) if tails or not (whole or g.slots > FEW) else None
        _, slot_ends = level("slot", g.slots, self.step, cut=one)
        m.d.comb += self.take.eq(slot_ends)
        # ``done`` leaves out ``step``, which comes late in a cycle.
        done = slot_ends
        channel, channel_ends = level("channel", g.channel_steps, self.step & done)
        done &= channel_ends
        _, group_ends = level("group", g.group_steps, self.step & done)
        done &= group_ends
        kx, kx_ends = level("kx", g.kx_steps, self.step & done, cut=(column_tail, g.tail_steps))
        done &= kx_ends
        columns = g.column_steps + bool(g.tail_steps)
        column, column_ends = level("column", columns, self.step & done)
        done &= column_ends
        ky, ky_ends = level("ky", g.kernel[0], self.step & done, cut=(row_tail, g.tail_rows))
        done &= ky_ends
        row, _ = level("row", g.rows + bool(g.tail_rows), self.step & done)

        last_kx = kx_ends if whole else kx == g.kx_steps - 1
        last_column = column_ends if whole else column == g.column_steps - 1
        last_ky = ky_ends if whole else ky == g.kernel[0] - 1
        m.d.comb += [
            column_tail.eq(column == g.column_steps if g.tail_steps else 0),
            row_tail.eq(row == g.rows if g.tail_rows else 0),
            self.first.eq((ky == 0) & (kx == 0) & (channel == 0)),
            self.last.eq(last_ky & last_kx & channel_ends),
            self.fresh.eq(self._is_fresh(kx, channel)),
        ]
        channel_done = slot_ends & channel_ends
        ends = _Ends(
            slot=slot_ends,
            channel=channel_done,
            pixel=channel_done & group_ends,
            segment=channel_done & group_ends & kx_ends,
            last_column=last_column,
            last_ky=last_ky,
        )
        self._advance_sums(m, ends)
        self._advance_weight(m, ends)
        return m

    def _is_fresh(self, kx: Value, channel: Value) -> Value:
        """Whether this step's partial sum starts, or is not one of the most recent."""
        g = self._geometry
        if not g.recent:
            return Value.cast(1)
        if g.recent == g.partial_sums:
            return self.first
        grouped = g.group_steps > 1 and g.channel_steps > 1
        return (channel == 0) if grouped else (channel == 0) & (kx == 0)

    def _advance_sums(self, m: Module, ends: _Ends) -> None:
        """Advance the index and the address of the partial sum.

        Within a group the slots repeat for each channel; within a column the outputs repeat for
        each pixel. Then comes the next column, or at the end of the row the first one again. If a
        patch lies in one row of pixels, the first column comes again as soon as the patch is done.
        """
        g = self._geometry
        index, partial = self.index, self.partial
        with m.If(self.step & ~self.drop):
            m.d.sync += [index.eq(index + 1), partial.eq(partial + 1)]
            with m.If(ends.segment):
                m.d.sync += index.eq(0)
                with m.If(ends.last_column if g.kernel[0] > 1 else Const(1)):
                    m.d.sync += partial.eq(0)
            with m.Elif(ends.pixel):
                m.d.sync += [index.eq(0), partial.eq(partial - (g.outputs - 1))]
            with m.Elif(ends.slot & ~ends.channel):
                m.d.sync += [
                    index.eq(index - (g.slots - 1)),
                    partial.eq(partial - (g.slots - 1)),
                ]

    def _advance_weight(self, m: Module, ends: _Ends) -> None:
        """Advance the address of the weights.

        It goes straight through a kernel row. Then it returns to the start of that row for the next
        patch, or at the end of the row of pixels goes on to the next kernel row.
        """
        g = self._geometry
        with m.If(self.step & ~self.drop):
            m.d.sync += self.weight.eq(self.weight + 1)
            with m.If(ends.segment & ~ends.last_column):
                m.d.sync += self.weight.eq(self.weight - (g.row_steps - 1))
            with m.Elif(ends.segment & ends.last_ky):
                m.d.sync += self.weight.eq(0)

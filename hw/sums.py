"""Partial sums: registers for those at hand and a memory for those that wait."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth import Module, Mux, Signal
from amaranth.hdl import Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .geometry import PatchGeometry
from .storage import Kind, Storage, ram, ram_storage

__all__ = ["PartialSums", "SumsSpec"]


@dataclass(frozen=True)
class SumsSpec:
    """Partial sums as numbers.

    geometry : how many entries there are and when each is used again
    row_bits : of an entry
    """

    geometry: PatchGeometry
    row_bits: int

    @property
    def storage(self) -> Storage:
        """Rows, bits and kind of the memory; or the registers that stand for it."""
        rows = self.geometry.partial_sums
        if self.geometry.recent == rows:
            return Storage("", True, rows, self.row_bits, Kind.REGISTER)
        return ram_storage(rows, self.row_bits)

    @property
    def lead(self) -> int:
        """Cycles from an entry's address to its sums, 1 or 2: block RAM is slow, so that its output
        gets a register if the next use of an entry is far enough."""
        slow = self.storage.kind is Kind.BLOCK and self.geometry.apart > 3
        return 2 if slow else 1


class PartialSums(wiring.Component):
    """Hold sums, or maxima, between their contributions.

    Parameters
    ----------
    layout : of one entry, an array of P sums
    begins : layout of what an entry begins with, no wider
    geometry : how many entries there are and when each is used again

    Members
    -------
    en : In(1), the pipeline moves; else nothing changes
    fetch : In(range(depth)), the entry to read, ``spec.lead`` cycles before ``held`` is used
    first : In(1), with ``held``: the entry begins, with ``start``
    fresh : In(1), with ``held``: it begins or comes from the memory, not from the sums stored last
    start : In(begins)
    held : Out(layout), the entry's sums
    store : In(1), with ``held``: keep ``total`` for the entry ``address``
    address : In(range(depth))
    total : In(layout)
    sums : Out(layout), what was stored last

    ``sums`` is a register behind the addition and nothing else uses ``total``, so that a DSP block
    can hold both; the memory gets a sum one cycle later. An entry that is used again before it
    could be read from there comes from the ``geometry.recent`` sums stored last.
    """

    def __init__(
        self,
        *,
        layout: data.ArrayLayout,
        begins: data.ArrayLayout,
        geometry: PatchGeometry,
    ):
        self._layout = layout
        self._geometry = geometry
        self._spec = SumsSpec(geometry, layout.size)
        depth = geometry.partial_sums
        super().__init__(
            {
                "en": In(1),
                "fetch": In(range(depth)),
                "first": In(1),
                "fresh": In(1),
                "start": In(begins),
                "held": Out(layout),
                "store": In(1),
                "address": In(range(depth)),
                "total": In(layout),
                "sums": Out(layout),
            }
        )

    @property
    def spec(self) -> SumsSpec:
        """The sums as numbers; ``lead`` counts from ``fetch`` to ``held``."""
        return self._spec

    def elaborate(self, platform: object) -> Module:
        m = Module()
        fetched = self._fetched(m)
        for p in range(self._layout.length):
            recent = self._recent(m, p)
            m.d.comb += [
                self.sums[p].eq(recent[0]),
                self.held[p].eq(Mux(self.fresh, fetched[p], recent[-1])),
            ]
        return m

    def _fetched(self, m: Module) -> Sequence[Value]:
        """What an entry holds that is not among the sums stored last."""
        if self._spec.storage.kind is Kind.REGISTER:
            return list(self.start)
        stored = Signal()
        address = Signal.like(self.address, reset_less=True)
        with m.If(self.en):
            m.d.sync += [stored.eq(self.store), address.eq(self.address)]
        m.submodules.memory = waiting = ram(shape=self._layout, storage=self._spec.storage)
        write, read = waiting.write_port(), waiting.read_port()
        m.d.comb += [
            write.en.eq(self.en & stored),
            write.addr.eq(address),
            write.data.eq(self.sums),
            read.en.eq(self.en),
            read.addr.eq(self.fetch),
        ]
        found = read.data
        if self._spec.lead == 2:
            found = Signal(self._layout, reset_less=True)
            with m.If(self.en):
                m.d.sync += found.eq(read.data)
        return [
            Mux(self.first, start, value) for start, value in zip(self.start, found, strict=True)
        ]

    def _recent(self, m: Module, p: int) -> list[Signal]:
        """The sums of a lane stored last, the very last first; a patch begins without them."""
        last, recent = self.total[p], []
        for age in range(max(self._geometry.recent, 1)):
            name = f"kept{p}" + (f"_{age}" if age else "")
            kept = Signal(self._layout.elem_shape, name=name, reset_less=True)
            with m.If(self.en & self.store):
                m.d.sync += kept.eq(last)
            recent.append(kept)
            last = kept
        return recent

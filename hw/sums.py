"""Partial sums: the most recent ones in registers, the others in a memory."""

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
    """The spec of partial sums.

    geometry : number of entries, and when each is used again
    row_bits : bits of an entry
    """

    geometry: PatchGeometry
    row_bits: int

    @property
    def storage(self) -> Storage:
        """Rows, bits and kind of the memory, or of the registers that replace it."""
        rows = self.geometry.partial_sums
        if self.geometry.recent == rows:
            return Storage("", True, rows, self.row_bits, Kind.REGISTER)
        return ram_storage(rows, self.row_bits)

    @property
    def lead(self) -> int:
        """Cycles from an entry's address to its sums, 1 or 2.

        Block RAM is slow, so its output gets a register if the next use of an entry is far enough
        away.
        """
        slow = self.storage.kind is Kind.BLOCK and self.geometry.apart > 3
        return 2 if slow else 1


class PartialSums(wiring.Component):
    """Hold the partial sums, or maxima, of unfinished patches between their contributions.

    Parameters
    ----------
    layout : layout of an entry, an array of sums
    begins : layout of an entry's start values, no wider
    geometry : number of entries, and when each is used again

    Members
    -------
    en : In(1), advances the pipeline; while it is low, nothing changes
    fetch : In(range(depth)), the entry to read, ``spec.lead`` cycles before ``held`` is used
    first : In(1), valid with ``held``: the entry starts now, with ``start``
    fresh : In(1), valid with ``held``. High if the entry starts now or comes from memory; low if it
        is one of the most recent sums, still in registers.
    start : In(begins)
    held : Out(layout), the entry's sums
    store : In(1), valid with ``held``: keep ``total`` for the entry ``address``
    address : In(range(depth))
    total : In(layout)
    sums : Out(layout), the sums stored last

    ``sums`` is a register after the addition, and nothing else uses ``total``, so that a DSP block
    can hold both. The memory receives a sum one cycle later. An entry that is used again before it
    could be read from memory comes from the ``geometry.recent`` most recent sums.
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
        """The spec of the sums; ``lead`` counts from ``fetch`` to ``held``."""
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
        """The sums of an entry that is not one of the most recent: its start, or from memory."""
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
        """The most recent sums at place ``p``, latest first; a patch does not start with them."""
        last, recent = self.total[p], []
        for age in range(max(self._geometry.recent, 1)):
            name = f"kept{p}" + (f"_{age}" if age else "")
            kept = Signal(self._layout.elem_shape, name=name, reset_less=True)
            with m.If(self.en & self.store):
                m.d.sync += kept.eq(last)
            recent.append(kept)
            last = kept
        return recent

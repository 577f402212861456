"""Partial sums: a register for the sum at hand and a memory for those that wait."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .storage import Storage, ram, ram_storage

__all__ = ["PartialSums"]


class PartialSums(wiring.Component):
    """Hold sums, or maxima, between their contributions; read in one cycle, add and store in the
    next.

    Parameters
    ----------
    layout : of one entry, an array of P sums
    depth : entries; one entry is a register and takes no memory

    Members
    -------
    en : In(1), the pipeline moves; else nothing changes
    fetch : In(range(depth)), the entry to read, one cycle before ``held`` is used
    fresh : In(1), with ``held``: that entry differs from the one stored last
    held : Out(layout), the entry's sums
    store : In(1), with ``held``: keep ``total`` for the entry ``address``
    address : In(range(depth))
    total : In(layout)
    sums : Out(layout), what was stored last

    An entry stored in one cycle cannot be read from the memory in the same: where the next step
    uses the same entry (``fresh`` low) the register gives it.
    """

    def __init__(self, *, layout: data.ArrayLayout, depth: int):
        self._layout = layout
        self._depth = depth
        super().__init__(
            {
                "en": In(1),
                "fetch": In(range(depth)),
                "fresh": In(1),
                "held": Out(layout),
                "store": In(1),
                "address": In(range(depth)),
                "total": In(layout),
                "sums": Out(layout),
            }
        )

    @property
    def storage(self) -> Storage:
        """Rows, bits and kind of the memory; or the register that stands for it."""
        return ram_storage(self._depth, self._layout.size)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        store = self.en & self.store
        kept = Signal(self._layout, reset_less=True)  # a patch begins without it
        m.d.comb += self.sums.eq(kept)
        with m.If(store):
            m.d.sync += kept.eq(self.total)
        if self._depth == 1:
            m.d.comb += self.held.eq(self.sums)
            return m
        m.submodules.memory = waiting = ram(shape=self._layout, storage=self.storage)
        write, read = waiting.write_port(), waiting.read_port()
        m.d.comb += [
            write.en.eq(store),
            write.addr.eq(self.address),
            write.data.eq(self.total),
            read.en.eq(self.en),
            read.addr.eq(self.fetch),
            self.held.eq(Mux(self.fresh, read.data, self.sums)),
        ]
        return m

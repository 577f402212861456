"""A read-only memory with one synchronous port."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth import Module, Shape
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from .storage import Kind, Storage, rom_storage

__all__ = ["Rom"]


class Rom(wiring.Component):
    """Rows of signed integers, read one cycle after the address: row = rows[address].

    Parameters
    ----------
    rows : tuples of as many values as the layout has fields; row 0 at address 0
    layout : of a row: an array or a structure of signed fields
    beside : other ROMs of the layer, which go before this one where one block would hold both

    Members
    -------
    en : In(1), reads; else the last row stays
    address : In(range(depth))
    row : Out(layout), one cycle later

    Rows that are all equal need no memory: they are a constant. Others go into LUTs or block RAM
    (``storage.py``). Raises ValueError where a value does not fit.
    """

    def __init__(
        self,
        *,
        rows: Sequence[Sequence[int]],
        layout: data.Layout,
        beside: Sequence[Storage] = (),
    ):
        self._beside = tuple(beside)
        self._rows = tuple(tuple(int(value) for value in row) for row in rows)
        self._layout = layout
        widths = [Shape.cast(field.shape).width for _, field in layout]
        for address, row in enumerate(self._rows):
            for value, width in zip(row, widths, strict=True):
                if not -(1 << (width - 1)) <= value < 1 << (width - 1):
                    raise ValueError(f"Row {address}: {value} does not fit {width} signed bits")
        super().__init__(
            {
                "en": In(1),
                "address": In(range(len(self._rows))),
                "row": Out(layout),
            }
        )

    @property
    def layout(self) -> data.Layout:
        """Of a row."""
        return self._layout

    @property
    def storage(self) -> Storage:
        """Its rows, bits and kind."""
        return rom_storage(
            len(self._rows),
            self._layout.size,
            varies=len(set(self._rows)) > 1,
            beside=self._beside,
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        storage = self.storage
        fields = [key for key, _ in self._layout]
        rows = [dict(zip(fields, row, strict=True)) for row in self._rows]
        if storage.kind is Kind.CONSTANT:
            m.d.comb += self.row.eq(self._layout.const(rows[0]))
            return m
        m.submodules.memory = rom = memory.Memory(
            shape=self._layout, depth=storage.rows, init=rows, attrs=storage.attributes
        )
        port = rom.read_port()
        m.d.comb += [port.en.eq(self.en), port.addr.eq(self.address), self.row.eq(port.data)]
        return m

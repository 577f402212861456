"""A read-only memory with one synchronous port."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth import Module, signed
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Rom"]


class Rom(wiring.Component):
    """Rows of signed integers, read one cycle after the address: row = rows[address].

    Parameters
    ----------
    rows : tuples of equal length, lane 0 first; row 0 at address 0
    width : bits of one lane, two's complement

    Members
    -------
    en : In(1), reads; else the last row stays
    address : In(range(depth))
    row : Out(ArrayLayout(signed(width), lanes)), one cycle later

    Rows that are all equal need no memory: they are a constant. Raises ValueError where a value
    does not fit.
    """

    def __init__(self, *, rows: Sequence[Sequence[int]], width: int):
        self._rows = tuple(tuple(int(value) for value in row) for row in rows)
        for address, row in enumerate(self._rows):
            for value in row:
                if not -(1 << (width - 1)) <= value < 1 << (width - 1):
                    raise ValueError(f"Row {address}: {value} does not fit {width} signed bits")
        self._layout = data.ArrayLayout(signed(width), len(self._rows[0]))
        super().__init__(
            {
                "en": In(1),
                "address": In(range(len(self._rows))),
                "row": Out(self._layout),
            }
        )

    @property
    def _varies(self) -> bool:
        return len(set(self._rows)) > 1

    @property
    def bits(self) -> int:
        """Bits held: depth times row; 0 for a constant."""
        return len(self._rows) * self._layout.size if self._varies else 0

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if not self._varies:
            m.d.comb += self.row.eq(self._layout.const(self._rows[0]))
            return m
        m.submodules.memory = rom = memory.Memory(
            shape=self._layout, depth=len(self._rows), init=self._rows
        )
        port = rom.read_port()
        m.d.comb += [port.en.eq(self.en), port.addr.eq(self.address), self.row.eq(port.data)]
        return m

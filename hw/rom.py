"""A read-only memory with a synchronous port, and an output register if its memory is slow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from amaranth import Module, Shape, Signal
from amaranth.hdl import Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..model.dtypes import Integers
from .storage import Kind, Storage, folded_rows, rows_storage

__all__ = ["Rom"]


class Rom(wiring.Component):
    """row = rows[address], a read-only table of signed integers.

    Parameters
    ----------
    rows : (depth, fields) integers, fields in the layout's order; row 0 at address 0
    layout : layout of a row: an array or a structure of signed fields
    beside : other ROMs of the layer, which have priority if one block would hold both
    read_cycles : the least number of cycles from an address to its row

    Members
    -------
    en : In(1), advances the read by a cycle; while it is low, all registers hold
    address : In(range(depth))
    row : Out(layout)

    A row comes ``read_cycles`` cycles after its address. If all rows are equal, the ROM is a
    constant without a memory. Otherwise it goes into LUTs or block RAM, and is folded if it is
    deeper than a block (``storage.py``).

    Raises ValueError if a row has another number of values than the layout, or a value does not
    fit.
    """

    def __init__(
        self,
        *,
        rows: Sequence[Sequence[int]] | Integers,
        layout: data.Layout,
        beside: Sequence[Storage] = (),
        read_cycles: int = 1,
    ):
        self._least_cycles = read_cycles
        self._beside = tuple(beside)
        self._layout = layout
        widths = [Shape.cast(field.shape).width for _, field in layout]
        if any(len(row) != len(widths) for row in rows):
            raise ValueError(f"Rows must have {len(widths)} values each, as the layout has fields")
        # Python's integers if int64 may be too narrow for a field
        small = isinstance(rows, np.ndarray) and rows.dtype == np.int64 and max(widths) < 64
        kind = np.int64 if small else object
        self._rows = np.array(rows, dtype=kind)
        limits = np.array([1 << (width - 1) for width in widths], dtype=kind)
        wrong = np.argwhere((self._rows < -limits) | (self._rows >= limits))
        for address, field in wrong[:1]:
            value, width = self._rows[address, field], widths[field]
            raise ValueError(f"Row {address}: {value} does not fit {width} signed bits")
        super().__init__(
            {
                "en": In(1),
                "address": In(range(len(self._rows))),
                "row": Out(layout),
            }
        )

    @property
    def storage(self) -> Storage:
        """Rows, bits and kind of the memory."""
        return rows_storage(self._rows, self._layout.size, self._beside)

    @property
    def read_cycles(self) -> int:
        """Cycles from an address to its row: 1 to 3, or the number asked for if it is greater."""
        return max(self.storage.read_cycles, self._least_cycles)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        storage = self.storage
        rows = self._row_bits()
        if storage.kind is Kind.CONSTANT:
            m.d.comb += self.row.as_value().eq(rows[0])
            return m
        depth = folded_rows(storage)
        folds = -(-len(rows) // depth)
        shape = data.ArrayLayout(self._layout, folds)
        m.submodules.memory = rom = memory.Memory(
            shape=shape.size,
            depth=depth,
            init=[_joined(rows[first::depth], storage.row_bits) for first in range(depth)],
            attrs=storage.attributes,
        )
        port = rom.read_port()
        read = data.View(shape, port.data)
        m.d.comb += [port.en.eq(self.en), port.addr.eq(self.address)]  # the lower bits
        last = int(folds > 1)  # a register after the choice among folds
        row = self._delayed(m, "late", read, self.read_cycles - 1 - last)
        fold: Value | int = 0
        if folds > 1:
            upper = self.address[(depth - 1).bit_length() :]
            fold = self._delayed(m, "fold", upper, self.read_cycles - last)
        m.d.comb += self.row.eq(self._delayed(m, "chosen", row[fold], last))
        return m

    def _row_bits(self) -> list[int]:
        """The rows as bits of the layout, computed much faster than by its own constants."""
        fields = [(field.offset, (1 << field.width) - 1) for _, field in self._layout]
        return [
            sum(
                (int(value) & mask) << offset
                for value, (offset, mask) in zip(row, fields, strict=True)
            )
            for row in self._rows.tolist()
        ]

    def _delayed(self, m: Module, name: str, value: Any, cycles: int) -> Any:
        """Delay a value or a view by ``cycles`` cycles; only cycles with ``en`` high count."""
        for age in range(cycles):
            before, value = value, Signal(value.shape(), name=f"{name}{age}", reset_less=True)
            with m.If(self.en):
                m.d.sync += value.eq(before)
        return value


def _joined(rows: Sequence[int], bits: int) -> int:
    """Join rows of ``bits`` bits side by side, the first in the lowest bits."""
    return sum(row << (bits * place) for place, row in enumerate(rows))

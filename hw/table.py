"""A function of one value as a ROM: ``model.layers.table`` in hardware."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from amaranth import Module, Shape, Signal, signed
from amaranth.lib import data

from ..model.dtypes import Integers
from .component import SpecComponent
from .pipeline import stage
from .rom import Rom
from .storage import Storage, rows_storage

__all__ = ["Table", "TableSpec"]


@dataclass(frozen=True, kw_only=True)
class TableSpec:
    """The spec of a table.

    Parameters
    ----------
    activation, result : shapes of x and y
    first : the x of the first entry
    values : the y of each x from ``first`` on
    lanes : values of a beat; each lane has a ROM
    """

    activation: Shape
    result: Shape
    first: int
    values: tuple[int, ...]
    lanes: int = 1

    @cached_property
    def rows(self) -> Integers:
        """The rows of a ROM, (depth, 1), as signed integers of the result's bits.

        The depth is a power of two, so the address is the low bits of x, without an adder. Rows
        that no x addresses hold the last entry.
        """
        depth = 1 << (len(self.values) - 1).bit_length()
        rows = np.full(depth, self.values[-1], dtype=np.int64)
        rows[(self.first + np.arange(len(self.values))) % depth] = self.values
        half = 1 << (self.result.width - 1)
        return ((rows + half) % (2 * half) - half)[:, np.newaxis]

    @property
    def storage(self) -> Storage:
        """Rows, bits and kind of the ROM of a lane."""
        return rows_storage(self.rows, self.result.width)

    @property
    def memories(self) -> tuple[Storage, ...]:
        """The ROM of each lane."""
        return tuple(self.storage.within(f"lane{lane}") for lane in range(self.lanes))

    @property
    def latency(self) -> int:
        """Cycles from a value to its result."""
        return self.storage.read_cycles


class Table(SpecComponent[TableSpec]):
    """A function of one value, as a ROM with an entry for each value: y = values[x - first].

    Parameters
    ----------
    spec : spec of the table

    Members
    -------
    i, o : streams of ``spec.lanes`` activations per beat

    Throughput: one beat per cycle. Latency (``spec.latency``): 1 cycle, 2 or 3 if the ROM is block
    RAM. The whole pipeline stalls while a beat waits: ``i.ready`` depends on ``o.ready``.
    """

    def __init__(self, spec: TableSpec):
        x, y = (data.ArrayLayout(shape, spec.lanes) for shape in (spec.activation, spec.result))
        super().__init__(spec, i=x, o=y)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        enable = Signal()
        m.d.comb += [enable.eq(~self.o.valid | self.o.ready), self.i.ready.eq(enable)]
        layout = data.ArrayLayout(signed(self._spec.result.width), 1)
        for lane in range(self._spec.lanes):
            m.submodules[f"lane{lane}"] = rom = Rom(rows=self._spec.rows, layout=layout)
            m.d.comb += [
                rom.en.eq(enable),
                rom.address.eq(self.i.payload[lane]),
                self.o.payload[lane].eq(rom.row.as_value()),
            ]
        valid = self.i.valid
        for age in range(self._spec.latency):
            valid = stage(m, enable, f"s{age + 1}", valid=valid).valid
        m.d.comb += self.o.valid.eq(valid)
        return m

"""Nearest-neighbour upsampling: ``model.layers.upsample`` in hardware.

The buffer holds a row of the map and one pixel more. Each row is read ``factor_y`` times, each of
its pixels ``factor_x`` times. The last pass over a row frees pixel after pixel for the next row, so
reading never waits if the input keeps up.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from amaranth import Module, Mux, Shape, Signal
from amaranth.hdl import Value
from amaranth.lib import data

from ..model.dtypes import Integers
from .component import SpecComponent
from .counter import counter
from .pipeline import stage
from .storage import Kind, Storage, ram, ram_storage

__all__ = ["Upsample", "UpsampleSpec"]


@dataclass(frozen=True, kw_only=True)
class UpsampleSpec:
    """The spec of an upsampling.

    Parameters
    ----------
    height, width : size of the input map
    pixel_elements : elements of a pixel; an element is ``lanes`` values
    factor : (y, x), not both 1
    activation : shape of a value
    lanes : values of a beat
    """

    height: int
    width: int
    pixel_elements: int
    factor: tuple[int, int]
    activation: Shape
    lanes: int = 1

    @property
    def elements(self) -> int:
        """Elements of an image."""
        return self.height * self.width * self.pixel_elements

    @property
    def window(self) -> int:
        """Elements of an output position."""
        return self.pixel_elements

    @property
    def capacity(self) -> int:
        """Elements that the buffer holds."""
        return (self.width + 1) * self.pixel_elements

    @cached_property
    def needed(self) -> Integers:
        """(OH, OW): elements of the image that must be written before each position is read."""
        y, x = (np.arange(n * f) // f for n, f in zip(self._extents, self.factor, strict=True))
        return (y[:, None] * self.width + x + 1) * self.pixel_elements

    @cached_property
    def lowest(self) -> Integers:
        """(OH, OW): index of the first element that is kept while each position is read.

        The whole row is kept, or in its last pass the rest of the row.
        """
        lowest = self.needed - self.pixel_elements
        last = np.arange(len(lowest)) % self.factor[0] == self.factor[0] - 1
        return np.where(last[:, None], lowest, lowest[:, :1])

    @property
    def latency(self) -> int:
        """Cycles from the last element of a pixel to the first beat of its first position."""
        return Upsample.LATENCY + (self.storage.kind is Kind.BLOCK)

    @property
    def storage(self) -> Storage:
        """Rows, bits and kind of the buffer, one element in a row."""
        return ram_storage(self.capacity, self.lanes * self.activation.width)

    @property
    def memories(self) -> tuple[Storage, ...]:
        """The buffer."""
        return (self.storage.within("buffer"),)

    @property
    def _extents(self) -> tuple[int, int]:
        return self.height, self.width


class Upsample(SpecComponent[UpsampleSpec]):
    """Each position of a map several times, in both directions: o = x[oy // fy, ox // fx, c].

    Parameters
    ----------
    spec : spec of the upsampling

    Members
    -------
    i, o : streams of ``spec.lanes`` activations per beat, raster order, channels last

    Throughput: one beat of ``o`` per cycle; an image takes as many cycles as ``o`` has beats, if
    neither side pauses. Latency (``spec.latency``): 2 cycles from the last element of a pixel to
    its first beat, 3 if the buffer is block RAM. ``i.ready`` depends on the buffer alone. The whole
    read pipeline stalls while a beat waits. Reset empties the buffer and returns to the first
    position.
    """

    LATENCY = 2

    def __init__(self, spec: UpsampleSpec):
        beat = data.ArrayLayout(spec.activation, spec.lanes)
        super().__init__(spec, i=beat, o=beat)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spec = self._spec
        enable, complete = Signal(), Signal()
        wrote, step = self.i.valid & self.i.ready, enable & complete
        m.d.comb += enable.eq(~self.o.valid | self.o.ready)
        place, _ = counter(m, "place", spec.capacity, wrote)
        _, written = counter(m, "written", spec.pixel_elements, wrote, early=True)

        # The walk over output positions: channels, repeats of a pixel, columns, passes over a row.
        (fy, fx), ticks = spec.factor, step
        ends: list[Value] = []
        for name, limit in zip(
            ("channel", "copy", "column", "pass"),
            (spec.pixel_elements, fx, spec.width, fy),
            strict=True,
        ):
            count, end = counter(m, name, limit, ticks, early=name != "pass")
            ticks = ticks & end
            ends.append(ends[-1] & end if ends else end)
        position, pixel, row, _ = ends
        first, last = count == 0, end  # of the passes over a row
        address = self._address(m, step, position & ~pixel, row & ~last)

        there = self._count(m, "waiting", 0, wrote & written, step & pixel & first)
        room = self._count(m, "room", spec.width + 1, step & pixel & last, wrote & written)
        m.d.comb += [complete.eq(there | ~first), self.i.ready.eq(room)]

        m.submodules.buffer = buffer = ram(shape=self.i.payload.shape(), storage=spec.storage)
        write, read = buffer.write_port(), buffer.read_port()
        m.d.comb += [
            write.en.eq(wrote),
            write.addr.eq(place),
            write.data.eq(self.i.payload),
            read.en.eq(enable),
            read.addr.eq(address),
        ]
        s = stage(m, enable, "s1", valid=complete)
        element = read.data
        if spec.storage.kind is Kind.BLOCK:
            s = stage(m, enable, "s2", valid=s.valid, element=element)
            element = s.element
        m.d.comb += [self.o.valid.eq(s.valid), self.o.payload.eq(element)]
        return m

    def _count(self, m: Module, name: str, init: int, up: Value, down: Value) -> Signal:
        """Count pixels up and down, from 0 to one more than a row.

        Returns a register that holds whether the count is above 0.
        """
        count = Signal(range(self._spec.width + 2), name=name, init=init)
        some = Signal(name=f"{name}_some", init=init > 0)
        with m.If(up & ~down):
            m.d.sync += [count.eq(count + 1), some.eq(1)]
        with m.Elif(down & ~up):
            m.d.sync += [count.eq(count - 1), some.eq(count != 1)]
        return some

    def _address(self, m: Module, step: Value, again: Value, back: Value) -> Signal:
        """The address of the cell to read.

        Each step moves to the next cell, or if ``again`` to the first of the pixel, or if ``back``
        to the first of the row.
        """
        spec = self._spec
        address = Signal(range(spec.capacity))
        onward = Signal(range(spec.capacity))
        pixel, row = (
            (1 - n) % spec.capacity
            for n in (spec.pixel_elements, self._spec.width * spec.pixel_elements)
        )
        m.d.comb += onward.eq(Mux(again, pixel, Mux(back, row, 1)))
        total = address + onward
        with m.If(step):
            m.d.sync += address.eq(Mux(total >= spec.capacity, total - spec.capacity, total))
        return address

"""The window reader: it sends the windows of a convolution or a pool, one after another.

A patch engine or a pool whose map is one window computes on them, so there is one implementation of
multiplication, requantization and ROMs. The buffer is circular in the order of the stream, across
rows and images. It holds the span of a window in the stream, a little more than KH - 1 rows, and
the columns of one stride. No smaller buffer could keep reading while the next column loads. But at
the end of a row, where the next window starts a stride of rows further down, reading waits for the
missing elements. A buffer of more whole rows would avoid this wait, at the cost of their memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from amaranth import Cat, Const, Module, Mux, Shape, Signal
from amaranth.hdl import Value
from amaranth.lib import data

from .centered import value_range
from .component import SpecComponent
from .counter import counter
from .pipeline import stage
from .storage import Kind, Storage, ram, ram_storage
from .window_geometry import WindowGeometry

__all__ = ["WindowReader", "WindowSpec"]


@dataclass(frozen=True)
class _Position:
    """The position of the reader: row and column of the window, and flags for what ends here.

    Each flag includes those before it. A line is the part of a window in one row of taps.
    """

    row: Value
    column: Value
    pixel: Value
    line: Value
    window: Value
    row_of_windows: Value
    image: Value


@dataclass(frozen=True, kw_only=True)
class WindowSpec:
    """The spec of a window reader.

    Parameters
    ----------
    geometry : geometry of the windows
    activation : shape of x
    lanes : values of an element of the geometry: channels that enter at once
    fill : value of the padding: the zero point before a convolution or an average pool, the type's
        least value before a maximum pool

    Raises ValueError if ``fill`` is not a value of the type.
    """

    geometry: WindowGeometry
    activation: Shape
    fill: int
    lanes: int = 1

    def __post_init__(self) -> None:
        lowest, highest = value_range(self.activation)
        if not lowest <= self.fill <= highest:
            raise ValueError(f"fill must be a value of {self.activation!r}, not {self.fill}")

    @property
    def latency(self) -> int:
        """Cycles from the last element that a window needs to its first beat."""
        return WindowReader.LATENCY + self.in_blocks

    @property
    def in_blocks(self) -> bool:
        """Whether the buffer is block RAM, which adds a cycle of latency."""
        return self._buffer.kind is Kind.BLOCK

    @property
    def memories(self) -> tuple[Storage, ...]:
        """Rows, bits and kind of the buffer of each tap, one element in a row."""
        return tuple(self._buffer.within(name) for name in self.names("buffer"))

    @property
    def _buffer(self) -> Storage:
        return ram_storage(self.geometry.capacity, self.lanes * self.activation.width)

    def names(self, name: str) -> list[str]:
        """A name for each tap, or the name alone if there is one tap."""
        taps = self.geometry.taps
        return [name] if taps == 1 else [f"{name}{tap}" for tap in range(taps)]


class WindowReader(SpecComponent[WindowSpec]):
    """Send the window of each output position in raster order, ordered by ky, kx and channel.

        o = x[oy * stride_y + ky * dilation_y - top, ox * stride_x + kx * dilation_x - left, c]
        or fill outside the map

    Parameters
    ----------
    spec : spec of the window reader

    Members
    -------
    i : stream of ``lanes`` activations per beat, raster order, channels last
    o : stream of ``lanes * geometry.taps`` activations per beat, tap by tap; each tap has a buffer
        of its own, so that all are read at once

    A window starts when all its elements in the map are written. ``i.ready`` depends on the buffer
    alone. Throughput: one beat per cycle while the elements are there. An image takes
    ``geometry.cycles()``: OH * OW * KH * KW * C / taps, and the cycles in which a window waits.
    Latency (``spec.latency``): 3 cycles from the last element that a window needs to its first
    beat, 4 if the buffer is block RAM. The whole read pipeline stalls while a beat waits. Reset
    returns to the first window of an image, with an empty buffer.
    """

    LATENCY = 3

    def __init__(self, spec: WindowSpec):
        self._geometry = spec.geometry
        self._element = data.ArrayLayout(spec.activation, spec.lanes)
        beat = data.ArrayLayout(spec.activation, spec.lanes * spec.geometry.taps)
        super().__init__(spec, i=self._element, o=beat)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self._geometry
        enable = Signal()
        complete = Signal()
        m.d.comb += enable.eq(~self.o.valid | self.o.ready)
        step = enable & complete
        at = self._build_walk(m, step)
        wrote = self.i.valid & self.i.ready
        self._build_counts(m, complete, wrote, step & at.window, at)

        # Stage 0: write the element that comes; address the elements that a window reads.
        place = Signal(range(g.capacity))
        with m.If(wrote):
            m.d.sync += place.eq(Mux(place == g.capacity - 1, 0, place + 1))
        read = []
        addresses = self._build_addresses(m, step, at)
        for storage, address in zip(self._spec.memories, addresses, strict=True):
            m.submodules[storage.name] = buffer = ram(shape=self._element, storage=storage)
            write, port = buffer.write_port(), buffer.read_port()
            m.d.comb += [
                write.en.eq(wrote),
                write.addr.eq(place),
                write.data.eq(self.i.payload),
                port.en.eq(enable),
                port.addr.eq(address),
            ]
            read.append(port.data)
        inside = self._build_inside(m, step, at)
        names = self._spec.names("inside")
        s = stage(m, enable, "s1", valid=complete, **dict(zip(names, inside, strict=True)))
        if self._spec.in_blocks:  # block RAM is slow: its output goes into a register
            elements = dict(zip(self._spec.names("element"), read, strict=True))
            s = stage(m, enable, "s2", **vars(s), **elements)
            read = [data.View(self._element, getattr(s, name)) for name in elements]

        # Outside the map, send the padding instead of the buffer's output.
        with m.If(enable):
            m.d.sync += self.o.valid.eq(s.valid)
            for tap, (name, element) in enumerate(zip(names, read, strict=True)):
                for lane in range(self._element.length):
                    value = Mux(getattr(s, name), element[lane], self._spec.fill)
                    m.d.sync += self.o.payload[tap * self._element.length + lane].eq(value)
        return m

    def _build_walk(self, m: Module, step: Value) -> _Position:
        g, level = self._geometry, partial(counter, m, early=True)
        _, pixel = level("channel", g.pixel_elements, step)
        _, line = level("kx", g.kernel[1] // g.block[1], step & pixel)
        line &= pixel
        _, window = level("ky", g.kernel[0] // g.block[0], step & line)
        window &= line
        column, row_of_windows = level("column", g.columns, step & window)
        row_of_windows &= window
        row, image = level("row", g.rows, step & row_of_windows)
        image &= row_of_windows
        return _Position(row, column, pixel, line, window, row_of_windows, image)

    def _build_counts(
        self, m: Module, complete: Value, wrote: Value, done: Value, at: _Position
    ) -> None:
        """Count the free cells, and the elements written beyond the need of the current window.

        Each write changes both by one. Each window that has been read releases the elements that no
        later one needs, and raises the demand to that of the next.
        """
        # A write and ``done`` come late in a cycle and from far away. So writes count a cycle
        # later, from a register, and ``done`` chooses between finished sums.
        g = self._geometry
        late = Signal()
        free = Signal(range(g.most_free + 2), init=int(g.lowest[0, 0]) + g.capacity)
        ahead = Signal(range(g.least_ahead - 1, g.most_ahead + 1), init=-int(g.needed[0, 0]))
        nearly = Signal(init=ahead.init >= -1)  # complete when the late write counts
        writable = Signal(init=free.init > 0)  # cells are free; a register: layers wait for it
        m.d.comb += [self.i.ready.eq(writable), complete.eq((ahead >= 0) | (late & nearly))]
        many, some = (Mux(late, free > n + 1, free > n) for n in (1, 0))
        release = self._release(m, at)
        freed = _sum(m, "freed", free, release, ~late)
        ahead_then = _sum(m, "ahead_then", ahead, self._gain(m, at), late)
        more = _sum(m, "more", ahead, Const(1), late)
        more_then = _sum(m, "more_then", ahead, self._gain(m, at, extra=1), late)
        m.d.sync += [
            late.eq(wrote),
            writable.eq((done & (release >= 0)) | many | (some & ~self.i.valid)),
            free.eq(Mux(done, freed, free - late)),
            ahead.eq(Mux(done, ahead_then, ahead + late)),
            nearly.eq(Mux(done, more_then, more) >= 0),
        ]

    def _release(self, m: Module, at: _Position) -> Value:
        """The number of elements that are released when this window has been read, less 1."""
        g, inner = self._geometry, slice(None, -1)  # after the last column, the rows' table holds
        columns, rows = g.releases[:, inner].max(axis=0, initial=0), g.releases[:, -1]
        slides = (g.releases[:, inner] > 0).any(axis=1)  # if not, later rows need the same elements
        return Mux(
            at.row_of_windows,
            self._choice(m, "row_release", at.row, (rows - 1).tolist()),
            Mux(
                self._choice(m, "slides", at.row, slides.astype(int).tolist()),
                self._choice(m, "column_release", at.column, (columns - 1).tolist()),
                -1,
            ),
        )

    def _gain(self, m: Module, at: _Position, extra: int = 0) -> Value:
        """The number of elements that the next window needs fewer than this one, plus ``extra``."""
        rows, columns = extra - self._geometry.needs[:, -1], extra - self._geometry.needs[0, :-1]
        return Mux(
            at.row_of_windows,
            self._choice(m, f"row_gain{extra}", at.row, rows.tolist()),
            self._choice(m, f"column_gain{extra}", at.column, columns.tolist()),
        )

    def _build_addresses(self, m: Module, step: Value, at: _Position) -> list[Value]:
        """The address of the cell to read, for each tap.

        Outside the map it is the address of any cell, which is not used. All taps take the same
        steps.
        """
        g = self._geometry
        (_, kw), (sy, sx), (dy, dx) = g.kernel, g.stride, g.dilation
        rows, columns = g.block
        last = g.read_elements - 1  # from a window's first step to its last
        row = sy * g.width - (g.columns - 1) * sx
        image = g.height * g.width - ((g.rows - 1) * sy * g.width + (g.columns - 1) * sx)
        onward = Signal(range(g.capacity), init=1)  # the distance, less than one turn of the buffer
        back = Signal(range(-g.capacity, 0), init=1 - g.capacity)  # the same, backward
        for ends, elements in (
            (at.pixel, (columns * dx - 1) * g.pixel_elements + 1),
            (at.line, (rows * dy * g.width - (kw - columns) * dx - 1) * g.pixel_elements + 1),
            (at.window, sx * g.pixel_elements - last),
            (at.row_of_windows, row * g.pixel_elements - last),
            (at.image, image * g.pixel_elements - last),
        ):
            with m.If(ends):
                m.d.comb += onward.eq(elements % g.capacity)
                m.d.comb += back.eq(elements % g.capacity - g.capacity)
        addresses: list[Value] = []
        offsets = [
            (y * dy * g.width + x * dx) * g.pixel_elements for y, x in np.ndindex(rows, columns)
        ]
        for name, offset in zip(self._spec.names("address"), offsets, strict=True):
            first = (g.origin + offset) % g.capacity
            address = Signal(range(g.capacity), name=name, init=first)
            with m.If(step):
                wrapped = address + back
                m.d.sync += address.eq(Mux(wrapped < 0, address + onward, wrapped))
            addresses.append(address)
        return addresses

    def _build_inside(self, m: Module, step: Value, at: _Position) -> list[Value]:
        """Whether the element to read lies in the map, for each tap."""
        g = self._geometry
        if not any(g.padding):
            return [Value.cast(1)] * g.taps
        (sy, sx), (dy, dx), (rows, columns) = g.stride, g.dilation, g.block
        top, left, _, _ = g.padding
        # from a window's first step to its last
        height, width = (g.kernel[0] - rows) * dy, (g.kernel[1] - columns) * dx
        y = Signal(range(-top, (g.rows - 1) * sy - top + height + 1), init=-top)
        x = Signal(range(-left, (g.columns - 1) * sx - left + width + 1), init=-left)
        with m.If(step & at.pixel):
            m.d.sync += x.eq(x + columns * dx)
            with m.If(at.line):
                m.d.sync += [x.eq(x - width), y.eq(y + rows * dy)]
            with m.If(at.window):
                m.d.sync += [x.eq(x + (sx - width)), y.eq(y - height)]
            with m.If(at.row_of_windows):
                m.d.sync += [x.eq(-left), y.eq(y + (sy - height))]
            with m.If(at.image):
                m.d.sync += y.eq(-top)
        down = [_within(y, tap * dy, g.height) for tap in range(rows)]
        across = [_within(x, tap * dx, g.width) for tap in range(columns)]
        return [row & column for row in down for column in across]

    @staticmethod
    def _choice(m: Module, name: str, index: Value, values: Sequence[int]) -> Value:
        """values[index] as gates; all entries of a table are equal, except a few at its ends."""
        if not values:
            return Value.cast(0)
        usual = Counter(values).most_common(1)[0][0]
        chosen = Signal(range(min(values), max(values) + 1), name=name)
        m.d.comb += chosen.eq(usual)
        for place, value in enumerate(values):
            if value != usual:
                with m.If(index == place):
                    m.d.comb += chosen.eq(value)
        return chosen


def _sum(m: Module, name: str, a: Signal, b: Value, carry: Value) -> Signal:
    """a + b + carry in one carry chain; synthesis would make two for three addends."""
    wide = [Cat(low, value) for low, value in ((Const(1, 1), a), (carry, b))]
    signed = [v.as_signed() if of.shape().signed else v for v, of in zip(wide, (a, b), strict=True)]
    total = Signal(Shape(len(a) + 1, a.shape().signed), name=name)
    m.d.comb += total.eq((signed[0] + signed[1]) >> 1)
    return total


def _within(place: Signal, offset: int, extent: int) -> Value:
    """Whether ``place + offset`` is at least 0 and below ``extent``."""
    lowest, _ = value_range(place.shape())
    if extent - offset <= lowest:
        return Value.cast(0)
    inside: Value = place < extent - offset
    return inside & (place >= -offset) if lowest < -offset else inside

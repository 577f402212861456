"""The numbers of a window reader: the elements that each window needs, and how many wait.

An element's index is its place in the stream, (y * W + x) * C + c, counted on across images. All
tables follow from the taps of every window position, one axis at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..model.dtypes import Integers
from ..model.layers.windows import output_extents
from .window_cycles import Reads, Writes

__all__ = ["WindowGeometry"]


IMAGES = 8  # images until the cycles per image have settled
FILLING = 400  # cycles to fill a buffer, which may gain only one in each small image


@dataclass(frozen=True, kw_only=True)
class WindowGeometry:
    """Windows that slide over a map, as in a convolution or a pool.

    Parameters
    ----------
    height, width : size of the input map
    pixel_elements : elements of a pixel; an element is one value, or several that enter at once
    kernel, stride, dilation : (y, x), each at least 1
    padding : (top, left, bottom, right), at least 0
    taps : positions of the kernel that are read at once: a part of its row, or whole rows

    Raises ValueError if a number breaks its rule, or the kernel does not fit the padded map.
    """

    height: int
    width: int
    pixel_elements: int
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    taps: int = 1

    def __post_init__(self) -> None:
        for name in ("height", "width", "pixel_elements"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be a positive integer, not {getattr(self, name)}")
        for name in ("kernel", "stride", "dilation"):
            if min(getattr(self, name)) < 1:
                raise ValueError(f"{name} must be at least 1, not {list(getattr(self, name))}")
        if min(self.padding) < 0:
            raise ValueError(f"padding must be at least 0, not {list(self.padding)}")
        if min(self.rows, self.columns) < 1:
            raise ValueError(
                f"kernel must fit the padded {self.height}x{self.width} map, not reach "
                f"{self.reach[0]}x{self.reach[1]}"
            )
        rows, columns = self.kernel
        whole = self.taps > 0 and self.taps % columns == 0 and rows % (self.taps // columns) == 0
        if not (whole or (self.taps > 0 and columns % self.taps == 0)):
            raise ValueError(
                f"taps must divide the {columns} of a kernel's row, or be whole rows that divide "
                f"the {rows}, not {self.taps}"
            )

    @property
    def block(self) -> tuple[int, int]:
        """Rows and columns of the kernel that are read at once."""
        columns = min(self.taps, self.kernel[1])
        return self.taps // columns, columns

    @property
    def reach(self) -> tuple[int, int]:
        """Rows and columns from a window's first tap to its last."""
        ky, kx = ((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True))
        return ky, kx

    @property
    def rows(self) -> int:
        """OH: windows down the map."""
        return self._extents[0]

    @property
    def columns(self) -> int:
        """OW: windows across the map."""
        return self._extents[1]

    @cached_property
    def _extents(self) -> tuple[int, int]:
        size = self.height, self.width
        return output_extents(size, self.kernel, self.stride, self.padding, self.dilation)

    @property
    def elements(self) -> int:
        """Elements of an image."""
        return self.height * self.width * self.pixel_elements

    @property
    def window(self) -> int:
        """Steps to read a window, padding included: KH * KW * C / taps."""
        return self.kernel[0] * self.kernel[1] * self.pixel_elements // self.taps

    @property
    def beats(self) -> int:
        """Steps to read all windows of an image."""
        return self.rows * self.columns * self.window

    @cached_property
    def needed(self) -> Integers:
        """(OH, OW): elements of the image that must be written before each window starts.

        This is one more than the index of the window's last element in the map. A window without
        any takes the row and the column of the window before it, or at the start of the
        window after it. So nothing is sent before the image's first element.
        """
        y, x = _filled(self._taps(0)[1]), _filled(self._taps(1)[1])
        if y is None or x is None:
            return np.ones((self.rows, self.columns), np.int64)
        return (y[:, None] * self.width + x[None] + 1) * self.pixel_elements

    @cached_property
    def lowest(self) -> Integers:
        """(OH, OW): index of the first element that is kept while each window is read.

        It is the least index that this window or any later one needs. After the last window that
        needs one, it is the least index of the next image, counted on. Windows to the right of the
        last one in the map keep the same elements as that one, until the row ends.
        """
        (y, _), (x, _) = self._taps(0), self._taps(1)
        if (y < 0).all() or (x < 0).all():
            return np.full((self.rows, self.columns), self.elements)
        never = 2 * self.elements
        x = np.where(x < 0, self.width, x)
        x[np.flatnonzero(x < self.width)[-1] + 1 :] = x[x < self.width][-1]
        x = _least_from_here(x)
        own = np.where(
            y[:, None] < 0, never, (y[:, None] * self.width + x[None]) * self.pixel_elements
        )
        least = _least_from_here(own.reshape(-1)).reshape(own.shape)
        return np.minimum(least, self.elements + least[0, 0])

    @property
    def capacity(self) -> int:
        """Elements that the buffer holds.

        These are the span of a window in the stream, and the columns of one stride, which load
        while a window is read.
        """
        return max(int((self.needed - self.lowest).max()), 1) + self.stride[1] * self.pixel_elements

    @cached_property
    def releases(self) -> Integers:
        """(OH, OW): elements that are released when each window has been read."""
        return self._steps(self.lowest)

    @cached_property
    def needs(self) -> Integers:
        """(OH, OW): how many more elements the next window needs; negative if it needs fewer."""
        return self._steps(self.needed)

    @property
    def most_free(self) -> int:
        """The most cells that are free at once.

        More than the capacity if elements follow that no window needs.
        """
        written = np.maximum.accumulate(self.needed.reshape(-1))
        after = self.lowest.reshape(-1) + self.releases.reshape(-1)
        return self.capacity + max(int(self.lowest[0, 0]), int((after - written).max()))

    @property
    def least_ahead(self) -> int:
        """The fewest elements written beyond a window's need.

        Negative: it is minus the most elements that a window waits for.
        """
        written = np.maximum.accumulate(self.needed.reshape(-1))
        after = self.needed.reshape(-1) + self.needs.reshape(-1)
        return min(-int(self.needed[0, 0]), int((written - after).min()))

    @property
    def most_ahead(self) -> int:
        """The most elements written beyond a window's need."""
        return int((self.lowest - self.needed).max()) + self.capacity

    @property
    def read_elements(self) -> int:
        """Elements of the stream from the first to the last that the first tap reads in a window.

        Both are included.
        """
        (ky, kx), (rows, columns), (dy, dx) = self.kernel, self.block, self.dilation
        return ((ky - rows) * dy * self.width + (kx - columns) * dx + 1) * self.pixel_elements

    @property
    def origin(self) -> int:
        """Index of the first window's first element; negative if that element is padding."""
        return -(self.padding[0] * self.width + self.padding[1]) * self.pixel_elements

    def _steps(self, table: Integers) -> Integers:
        following = [*table.reshape(-1).tolist(), self.elements + int(table[0, 0])]
        return np.diff(following).reshape(table.shape)

    def cycles(self, slots: int = 1, interval: int = 1, ahead: int = 2) -> int:
        """Settled cycles per image if the input never waits.

        Parameters
        ----------
        slots : cycles that a consumer, such as a patch engine, spends on a beat; it takes the beat
            in the last of them
        interval : cycles from one element to the next
        ahead : beats by which the reader is ahead of its consumer; the cells of a window are free
            that much sooner

        An image takes KH * KW * C / taps * slots cycles for each window. If a window's elements
        have not all come when the window before it has been read, the cycles until they have are
        added. If elements come only every ``interval`` cycles, the result may be off by a few
        cycles.
        """
        limits = (self.lowest + self.capacity).reshape(-1).tolist()
        needed = self.needed.reshape(-1).tolist()
        writes, reads = Writes(interval), Reads(slots, ahead)
        images = IMAGES + FILLING // max(self.beats * slots, self.elements * interval)
        ends = []
        for base in range(0, images * self.elements, self.elements):
            for limit, need in zip(limits, needed, strict=True):
                writes.allow(base + limit, reads.last + 1)
                reads.window(writes.cycle(base + need - 1) + 1, self.window)
            ends.append(reads.taken)
        return ends[-1] - ends[-2]

    def _taps(self, axis: int) -> tuple[Integers, Integers]:
        """The first and the last position in the map that each window reads; -1 if none."""
        size = (self.height, self.width)[axis]
        count = (self.rows, self.columns)[axis]
        start = np.arange(count) * self.stride[axis] - self.padding[axis]
        taps = start[:, None] + np.arange(self.kernel[axis]) * self.dilation[axis]
        inside = (taps >= 0) & (taps < size)
        first = np.where(inside, taps, size).min(axis=1)
        return np.where(first == size, -1, first), np.where(inside, taps, -1).max(axis=1)


def _filled(positions: Integers) -> Integers | None:
    """Replace each -1 by the position before it, at the start by the one after it.

    Returns None if all are -1.
    """
    known = np.flatnonzero(positions >= 0)
    if not len(known):
        return None
    before = np.searchsorted(known, np.arange(len(positions)), side="right") - 1
    return positions[known[np.maximum(before, 0)]]


def _least_from_here(values: Integers) -> Integers:
    """For each place, the least value there or later."""
    return np.minimum.accumulate(values[::-1])[::-1]

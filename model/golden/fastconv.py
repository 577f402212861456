"""The fast convolution: exact matrix products on BLAS over rows of a batch, equal to the loop.

Tensors are (H, C, W, N), with the batch as the last axis. Only the horizontal taps are copied, once
for each input row: (rows, KW, C, OW, N). The KH * KW * C values of an output row are then
contiguous, as a matrix of OW * N columns, and the windows of adjacent output rows overlap in
memory. The vertical taps therefore need no copy. One product per output row and group follows.

Inputs are not centered. If the padding is the zero point, its contribution is the same at every
position and becomes a constant per output channel:

    sum (x - Zx) * w = sum x * w - Zx * sum w

Sums run in float32 if sum |w| * max |x| is below 2**24, and in float64 otherwise. Every partial sum
is then an integer that the type represents exactly, in any order, with or without fused
multiply-add.

If a max pool follows the convolution, it takes the greatest sum instead of the greatest output.
Requantization is monotone (M >= 1, every rounding rule and the clamp are monotone), so both are
equal, and only one value of each window is requantized.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..dtypes import Array, Integers
from ..layers.conv import Conv2d
from ..layers.windows import output_extents, tap
from .scratch import Scratch

__all__ = ["FLOAT32_EXACT", "FastConv", "accumulate"]

FLOAT32_EXACT = 1 << 24  # integers up to here, and therefore their sums, are exact in float32
BLOCK_VALUES = 1 << 17  # sums at once: half of a typical second-level cache


class FastConv:
    """A convolution prepared for repeated batches.

    Parameters
    ----------
    conv : the layer
    zero_point : Zx
    low, high : the least and greatest x
    pool : (rows, columns) of the windows whose greatest sum is taken; (1, 1) for every sum.
        Incomplete windows are dropped.
    """

    def __init__(
        self, conv: Conv2d, zero_point: int, low: int, high: int, pool: tuple[int, int] = (1, 1)
    ) -> None:
        weights = conv.weights.centered  # (OC, KH, KW, ICG)
        oc, kh, kw, icg = weights.shape
        sums = np.abs(weights).sum(axis=(1, 2, 3))
        self.reach = int(sums.max()) * max(abs(low), abs(high), abs(zero_point))
        self.constants = conv.bias - zero_point * weights.sum(axis=(1, 2, 3))
        self._dtype = np.float32 if self.reach < FLOAT32_EXACT else np.float64
        matrices = weights.reshape(conv.groups, 1, oc // conv.groups, kh * kw * icg)
        self._weights = matrices.astype(self._dtype)
        self._columns_buffer, self._sums_buffer = Scratch(self._dtype), Scratch(self._dtype)
        self._conv = conv
        self._zero_point = zero_point
        self._pool = pool

    def __call__(self, x: Array) -> Iterator[tuple[slice, Array]]:
        """Compute the sums without ``constants`` (bias and zero point), some rows at a time.

        Parameters
        ----------
        x : integers (H, IC, W, N), in [low, high]

        Yields (slice of output rows, float (rows, OC, OW, N)): integers, |sum| <= ``reach``. The
        next iteration overwrites the array.
        """
        x = self._padded(x)
        height, _, width, _ = x.shape
        _, kh, kw, _ = self._conv.weights.values.shape
        (sy, sx), (dy, dx) = self._conv.stride, self._conv.dilation
        extents = output_extents((height, width), (kh, kw), (sy, sx), dilation=(dy, dx))
        oh, ow = extents[0] // self._pool[0], extents[1] // self._pool[1]
        if dy > 1:  # gather the rows that are read, so that windows follow each other
            starts = np.arange(oh * self._pool[0])[:, np.newaxis] * sy
            x, sy = x[(starts + np.arange(kh) * dy).ravel()], kh
        windows = self._windows(self._columns(x, ow), sy, oh * self._pool[0])
        groups, _, oc, _ = self._weights.shape
        row_values = self._pool[0] * groups * oc * windows.shape[3]
        rows = max(1, BLOCK_VALUES // max(row_values, 1))
        for start in range(0, oh, rows):
            part = windows[:, start * self._pool[0] : (start + rows) * self._pool[0]]
            sums = self._sums_buffer.array(part.shape[1], groups, oc, part.shape[3])
            np.matmul(self._weights, part, out=sums.swapaxes(0, 1))
            yield slice(start, start + rows), self._pooled(sums, ow)

    def _padded(self, x: Array) -> Array:
        """The map with its padding, whose value is the zero point."""
        if not any(self._conv.padding):
            return x
        top, left, bottom, right = self._conv.padding
        height, channels, width, n = x.shape
        shape = (top + height + bottom, channels, left + width + right, n)
        padded = np.full(shape, self._zero_point, dtype=x.dtype)
        padded[top : top + height, :, left : left + width] = x
        return padded

    def _windows(self, columns: Array, sy: int, oh: int) -> Array:
        """One matrix per output row, overlapping in memory: (G, OH, KH * KW * ICG, OW * N)."""
        groups, _, kw, icg, *positions = columns.shape
        width = math.prod(positions)
        by_group, by_row, _, by_channel, *_, item = columns.strides
        kh = self._conv.kernel[0]
        return as_strided(
            columns,
            (groups, oh, kh * kw * icg, width),
            (by_group, by_row * sy, by_channel, item),
            writeable=False,
        )

    def _pooled(self, sums: Array, ow: int) -> Array:
        """The greatest sum of each window of the pool: (rows, G, OC, PW * OW * N), overwritten."""
        (ph, pw), (rows, groups, oc, width) = self._pool, sums.shape
        parts = sums.reshape(rows // ph, ph, groups * oc, pw, ow, width // (pw * ow))
        by_row = parts[:, 0]
        for row in range(1, ph):
            np.maximum(by_row, parts[:, row], out=by_row)
        best: Array = by_row[:, :, 0]
        for column in range(1, pw):
            np.maximum(best, by_row[:, :, column], out=best)
        return best

    def _columns(self, x: Array, ow: int) -> Array:
        """The horizontal taps of each row: (G, rows, KW, ICG, PW, OW, N), PW of the pool."""
        height, _, width, n = x.shape
        _, _, kw, icg = self._conv.weights.values.shape
        groups, pw = self._conv.groups, self._pool[1]
        sx, dx = self._conv.stride[1], self._conv.dilation[1]
        split = x.reshape(height, groups, icg, width, n).swapaxes(0, 1)
        columns = self._columns_buffer.array(groups, height, kw, icg, pw, ow, n)
        for kx, column in np.ndindex(kw, pw):
            reads = tap(kx * dx + column * sx, ow, pw * sx)
            columns[:, :, kx, :, column] = split[:, :, :, reads]
        return columns


def accumulate(x: Array, conv: Conv2d, zero_point: int) -> Integers:
    """The fast form for a batch in the network's axis order.

    Parameters
    ----------
    x : (N, H, W, IC) integers
    zero_point : Zx

    Returns int64 (N, OH, OW, OC).
    """
    low, high = int(x.min(initial=zero_point)), int(x.max(initial=zero_point))
    fast = FastConv(conv, zero_point, low, high)
    sums = np.concatenate([acc.astype(np.int64) for _, acc in fast(x.transpose(1, 3, 2, 0))])
    acc: Integers = sums.transpose(3, 0, 2, 1) + fast.constants
    return acc

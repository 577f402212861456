"""Convolutions with three columns, exact, by Winograd's F(2, 3): four products for two outputs.

    d0 = x0 - x2    m0 = d0 * w0                     y0 = m0 + m1 + m2
    d1 = x1 + x2    m1 = d1 * (w0 + w1 + w2) / 2     y1 = m1 - m2 - m3
    d2 = x2 - x1    m2 = d2 * (w0 - w1 + w2) / 2
    d3 = x1 - x3    m3 = d3 * w2

This applies along the columns. Rows and channels are summed as usual, so a third of the
multiplications is saved. Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural
Networks", CVPR 2016, 4.1. Every number is a multiple of 1/2, and float32 represents such numbers
exactly below 2**23. The bound on all partial sums is computed from the weights; a layer that
exceeds it uses ``FastConv``. Only for a convolution with a pool of two columns after it, which
reads y0 and y1 in pairs.
"""

from __future__ import annotations

import numpy as np

from ..dtypes import Array
from ..layers.conv import Conv2d
from ..layers.windows import tap
from .fastconv import FLOAT32_EXACT, FastConv

__all__ = ["MinimalConv", "fast_conv"]

FEWEST = 16  # input and output channels per group; with fewer the additions cost more


def fast_conv(
    conv: Conv2d, zero_point: int, low: int, high: int, pool: tuple[int, int] = (1, 1)
) -> FastConv:
    """The faster of the two forms for a layer; arguments as for :class:`FastConv`."""
    oc, _, kw, icg = conv.weights.values.shape
    if (kw, conv.stride[1], conv.dilation[1], pool[1]) == (3, 1, 1, 2):
        minimal = MinimalConv(conv, zero_point, low, high, pool)
        if min(oc // conv.groups, icg) >= FEWEST and minimal.bound < FLOAT32_EXACT // 2:
            return minimal
    return FastConv(conv, zero_point, low, high, pool)


class MinimalConv(FastConv):
    """A convolution with KW = 3, stride and dilation 1 along columns, and a pool of two columns."""

    def __init__(
        self, conv: Conv2d, zero_point: int, low: int, high: int, pool: tuple[int, int]
    ) -> None:
        super().__init__(conv, zero_point, low, high, pool)
        weights = conv.weights.centered
        oc, kh, _, icg = weights.shape
        w0, w1, w2 = np.moveaxis(weights, 2, 0)
        doubled = np.stack([2 * w0, w0 + w1 + w2, w0 - w1 + w2, 2 * w2])  # (4, OC, KH, ICG)
        ends = (low, high, zero_point)
        span, most = max(ends) - min(ends), max(map(abs, ends))
        sums = np.abs(doubled).sum(axis=(2, 3)) * np.array([[span], [2 * most], [span], [span]])
        #: An upper bound on |partial sum|.
        self.bound = int(max(sums[:3].sum(axis=0).max(), sums[1:].sum(axis=0).max())) // 2 + 1
        matrices: Array = doubled.reshape(4 * conv.groups, 1, oc // conv.groups, kh * icg) / 2
        self._weights = matrices.astype(self._dtype)

    def _columns(self, x: Array, ow: int) -> Array:
        """d0 to d3 of each pair of columns: (4 * G, rows, 1, ICG, 1, OW, N)."""
        height, channels, width, n = x.shape
        groups = self._conv.groups
        icg = channels // groups
        floats = x.reshape(height, groups, icg, width, n).swapaxes(0, 1).astype(self._dtype)
        x0, x1, x2, x3 = (floats[:, :, :, tap(first, ow, 2)] for first in range(4))
        d = self._columns_buffer.array(4, groups, height, icg, ow, n)
        np.subtract(x0, x2, out=d[0])
        np.add(x1, x2, out=d[1])
        np.subtract(x2, x1, out=d[2])
        np.subtract(x1, x3, out=d[3])
        return d.reshape(4 * groups, height, 1, icg, 1, ow, n)

    def _pooled(self, sums: Array, ow: int) -> Array:
        """The greatest of y0 and y1, and of the pool's rows: (rows, 4 * G, OC, OW * N)."""
        rows, _, _, width = sums.shape
        m = sums.reshape(rows, 4, self._conv.out_channels, width)
        y0, y1, m2, m3 = (m[:, index] for index in range(4))
        np.add(y0, y1, out=y0)
        np.add(y0, m2, out=y0)
        np.subtract(y1, m2, out=y1)
        np.subtract(y1, m3, out=y1)
        np.maximum(y0, y1, out=y0)
        ph = self._pool[0]
        parts = y0.reshape(rows // ph, ph, *y0.shape[1:])
        best: Array = parts[:, 0]
        for row in range(1, ph):
            best = np.maximum(best, parts[:, row])
        return best.reshape(rows // ph, -1, ow, width // ow)

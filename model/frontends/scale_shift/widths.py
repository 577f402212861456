"""Output types as wide as the values require, for networks that do not requantize to few bits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...dtypes import INT32, Bounds, Integers, IntType, signed_width
from ...layers import require
from ...layers.conv import Conv2d
from ...layers.pool import AvgPool2d
from ...requant import Requant
from .affine import Affine

__all__ = ["WIDE", "Widths"]

WIDE = 1 << 62  # a clamp that no sum reaches


class Widths:
    """The least and greatest value of each channel, along a chain of layers with zero points 0.

    Parameters
    ----------
    low, high : int64 (C,), of the tensor that the first layer reads
    most : the widest allowed type; values outside it saturate
    """

    def __init__(self, low: Integers, high: Integers, most: IntType = INT32) -> None:
        self._range: Bounds = low, high
        self._most = most
        self._form: Affine | None = None  # of one position, since the last ReLU or pool

    def flatten(self, positions: int) -> None:
        """Turn all positions of the map into channels."""
        if positions > 1:
            low, high = (np.tile(end, positions) for end in self._range)
            self._range, self._form = (low, high), None

    def widen(self, layer: Conv2d | AvgPool2d) -> tuple[IntType, Requant]:
        """The narrowest signed type for the outputs of ``layer``, and its requantization.

        layer : of one group; its clamp is at ``WIDE``, its lower end at 0 for a ReLU; the result's
            clamp is at the ends of the outputs

        Raises NetworkError if accumulator or output leave int32.
        """
        where = f"Layer {layer.name!r}"
        if isinstance(layer, Conv2d):
            least, greatest = layer.sums_within(*self._range, 0)
            require(
                INT32.contains(least) and INT32.contains(greatest),
                f"{where}: the accumulator can reach [{least.min()}, {greatest.max()}], outside "
                "int32; take a smaller gain, or a smaller m with its n",
            )
        self._range = self._after(layer)
        if self._most != INT32 and not all(map(self._most.contains, self._range)):
            least, most = (np.clip(end, self._most.qmin, self._most.qmax) for end in self._range)
            self._range, self._form = (least, most), None  # a clamp that may act is not linear
        low, high = int(self._range[0].min()), int(self._range[1].max())
        require(
            INT32.contains((low, high)),
            f"{where}: outputs can reach [{low}, {high}], outside int32; check its m and n",
        )
        dtype = IntType(max(signed_width(low, high), 2), signed=True)
        return dtype, replace(layer.requant, low=low, high=high)

    def _after(self, layer: Conv2d | AvgPool2d) -> Bounds:
        """The range of each channel that ``layer`` writes; also updates the affine form."""
        low, high = layer.channel_bounds([self._range], (0, 0))
        if isinstance(layer, AvgPool2d) or layer.requant.low == 0:
            self._form = None
            return low, high
        if self._form is None or layer.kernel != (1, 1) or any(layer.padding):
            self._form = Affine.after(layer, *self._range)
        else:
            self._form = self._form.through(layer)
        least, greatest = self._form.bounds()
        return np.maximum(low, least), np.minimum(high, greatest)

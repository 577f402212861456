"""Value ranges through consecutive linear layers, as one affine map, so that terms can cancel.

If no clamp acts between them, consecutive convolutions and linear layers are one linear map of the
first one's window, except for their roundings. Bounds on that map, with the weights multiplied out,
are much tighter than an interval for each layer (``Layer.channel_bounds``): in a trained LeNet, by
three bits after three layers. All arithmetic uses Python's unbounded integers, so it is exact:

    y[c] = (sum matrix[c, v] * x[v] + offset[c] + e) / 2**shift,  error_low[c] <= e <= error_high[c]
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...dtypes import Array, Bounds
from ...layers.conv import Conv2d
from ...requant import Requant, Rounding

__all__ = ["Affine"]

Exact = Array  # Python's integers


@dataclass(frozen=True, eq=False)
class Affine:
    """The values of a tensor as affine forms of independent integers x; see the module docstring.

    Parameters
    ----------
    low, high : (V,), of each x
    matrix, offset, error_low, error_high : (C, V) for the matrix, else (C,); in units of 2**-shift
    """

    low: Exact
    high: Exact
    matrix: Exact
    offset: Exact
    error_low: Exact
    error_high: Exact
    shift: int

    @classmethod
    def after(cls, layer: Conv2d, low: Exact, high: Exact) -> Affine:
        """The output of ``layer`` for independent integers, without its clamp.

        Parameters
        ----------
        layer : of one group, zero points 0, not of the rounding ``FLOAT32``
        low, high : int64 (IC,), of its input's channels
        """
        if any(layer.padding):
            low, high = np.minimum(low, 0), np.maximum(high, 0)
        positions = layer.kernel[0] * layer.kernel[1]
        low, high = (np.tile(end.astype(object), positions) for end in (low, high))
        weights, bias = _multiplied(layer)
        least, most = _moves(layer.requant)
        none = np.zeros(len(bias), dtype=object)
        return cls(low, high, weights, bias, none + least, none + most, layer.requant.shift)

    def through(self, layer: Conv2d) -> Affine:
        """The output of ``layer`` for these values; as in :meth:`after`, with a 1x1 kernel."""
        weights, bias = _multiplied(layer)
        least, most = _moves(layer.requant)
        up, down = np.maximum(weights, 0), np.minimum(weights, 0)
        one = 1 << self.shift
        return Affine(
            self.low,
            self.high,
            weights @ self.matrix,
            weights @ self.offset + bias * one,
            up @ self.error_low + down @ self.error_high + least * one,
            up @ self.error_high + down @ self.error_low + most * one,
            self.shift + layer.requant.shift,
        )

    def bounds(self) -> Bounds:
        """The least and greatest integer of each channel, int64 (C,); never exceeded."""
        ends = [self.matrix * end for end in (self.low, self.high)]
        least = np.minimum(*ends).sum(axis=1) + self.offset + self.error_low
        most = np.maximum(*ends).sum(axis=1) + self.offset + self.error_high
        low = -(-least >> self.shift)
        return low.astype(np.int64), (most >> self.shift).astype(np.int64)


def _multiplied(layer: Conv2d) -> tuple[Exact, Exact]:
    """Weights (OC, KH * KW * IC) and bias (OC,), offset included, each times its channel's M."""
    requant, channels = layer.requant, layer.out_channels
    factors = np.array(requant.per_channel(channels), dtype=object)
    weights = layer.weights.centered.reshape(channels, -1).astype(object)
    bias = layer.bias.astype(object) * factors + np.array(requant.offsets, dtype=object)
    return weights * factors[:, None], bias


def _moves(requant: Requant) -> tuple[int, int]:
    """The largest change of a quotient by rounding, down and up, in units of 2**-n."""
    one = 1 << requant.shift
    return (1 - one, 0) if requant.rounding is Rounding.FLOOR else (-(one // 2), one // 2)

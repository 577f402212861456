"""Integer convolution, defined by a plain loop.

    acc[oy, ox, oc] = bias[oc] + sum (x[iy, ix, ic] - Zx) * (w[oc, ky, kx, ic] - Zw[oc])
    iy = oy * stride_y + ky * dilation_y - pad_top, ix likewise; outside the map x - Zx is 0

The output's extent follows ONNX Conv (operator set 11) with floor rounding: rows that the last
window does not reach are dropped. ``golden/fastconv.py`` has the fast form.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import numpy as np

from ..dtypes import INT32, Array, Bounds, Integers
from ..requant import requantize
from .accumulators import accumulator_bounds
from .layer import Requantizing, require_requant, require_windows, zero_points_of
from .tensor import Values, require
from .weights import Weights, frozen_integers
from .windows import output_extents

__all__ = ["Conv2d", "accumulate_loop"]


@dataclass(frozen=True, eq=False)
class Conv2d(Requantizing):
    """A convolution with fused requantization; see ``conv.py`` for the formula.

    Parameters
    ----------
    weights : (OC, KH, KW, IC / groups)
    bias : int32 (OC,) at scale Sx * Sw
    stride, dilation : (y, x), at least 1
    padding : (top, left, bottom, right), at least 0; the padded value is the input's zero point
    groups : divides IC and OC

    Raises TypeError if the bias is not integer.
    """

    kind: ClassVar[str] = "conv2d"

    weights: Weights
    bias: Integers
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "bias", frozen_integers("Bias", self.bias))

    @property
    def out_channels(self) -> int:
        """OC."""
        return len(self.weights.values)

    @property
    def kernel(self) -> tuple[int, int]:
        """(KH, KW)."""
        return self.weights.values.shape[1], self.weights.values.shape[2]

    def factors(self, ratios: list[Fraction]) -> list[Fraction]:
        return [ratios[0] * Fraction(scale) for scale in self.weights.scales]

    def sum_bounds(self, network: Values) -> Bounds:
        x = network.tensors[self.input]
        return self.sums_within(*network.value_range(self.input), x.zero_point)

    def sums_within(self, low: int | Integers, high: int | Integers, zero_point: int) -> Bounds:
        """The least and greatest sum of each output channel; see ``accumulator_bounds``."""
        weights = self.weights.centered
        return accumulator_bounds(weights, self.bias, self.groups, low, high, zero_point)

    def compute(self, network: Values, *inputs: Array) -> Array:
        zx, zy = zero_points_of(network, self)
        acc = np.stack([accumulate_loop(image, self, zx) for image in inputs[0]])
        return requantize(acc, self.requant, zy)

    def channel_bounds(self, inputs: Sequence[Bounds], zero_points: Sequence[int]) -> Bounds:
        zx, zy = zero_points
        low, high = self.sums_within(*inputs[0], zx)
        return requantize(low, self.requant, zy), requantize(high, self.requant, zy)

    def validate(self, network: Values) -> None:
        x, y = network.tensors[self.input], network.tensors[self.output]
        self._validate_weights()
        require(
            min(self.stride) >= 1 and min(self.dilation) >= 1,
            f"stride and dilation must be at least 1, not {list(self.stride)} and "
            f"{list(self.dilation)}",
        )
        require(min(self.padding) >= 0, f"padding must be at least 0, not {list(self.padding)}")
        channels, (count, *_, per_group) = x.shape[2], self.weights.values.shape
        require(
            self.groups >= 1 and channels == per_group * self.groups and count % self.groups == 0,
            f"groups={self.groups} must divide {count} output channels and split the "
            f"{channels} channels of {x.name!r} into the {per_group} of the weights",
        )
        extents = output_extents(x.shape, self.kernel, self.stride, self.padding, self.dilation)
        require_windows(x, y, self.kernel, (*extents, count))
        require_requant(self.requant, y, counts=(1, self.out_channels))
        lo, hi = self.sum_bounds(network)
        require(
            INT32.contains(lo) and INT32.contains(hi),
            f"the accumulator can reach [{lo.min()}, {hi.max()}], outside int32; "
            "use fewer input channels or narrower weights",
        )

    def _validate_weights(self) -> None:
        weights = self.weights
        require(
            weights.values.ndim == 4 and weights.values.size > 0,
            f"weights must have the shape (OC, KH, KW, IC / groups), "
            f"not {list(weights.values.shape)}",
        )
        channels = self.out_channels
        require(
            2 <= weights.dtype.bits <= 8, f"weights must have 2 to 8 bits, not {weights.dtype.bits}"
        )
        require(
            weights.dtype.contains(weights.values),
            f"weights must lie in [{weights.dtype.qmin}, {weights.dtype.qmax}] as "
            f"{weights.dtype} does, but reach [{weights.values.min()}, {weights.values.max()}]",
        )
        for what, values in (("scales", weights.scales), ("zero_points", weights.zero_points)):
            require(
                len(values) in (1, channels),
                f"weight {what} must number 1 or {channels}, not {len(values)}",
            )
        for scale in weights.scales:
            require(
                math.isfinite(scale) and scale > 0,
                f"weight scale must be positive and finite, not {scale}",
            )
        require(
            weights.dtype.contains(weights.zero_points),
            f"weight zero_points must lie in [{weights.dtype.qmin}, "
            f"{weights.dtype.qmax}], not {list(weights.zero_points)}",
        )
        require(
            self.bias.shape == (channels,) and INT32.contains(self.bias),
            f"bias must be {channels} int32 values, not {self.bias.size} or some out of range",
        )


def accumulate_loop(x: Array, conv: Conv2d, zero_point: int) -> Integers:
    """The definition of the sums: one multiplication at a time, in Python's unbounded integers.

    Parameters
    ----------
    x : (H, W, IC) integers, one image
    zero_point : Zx

    Returns int64 (OH, OW, OC). Raises OverflowError if a sum leaves int32.
    """
    height, width, _ = x.shape
    oc_count, kh, kw, icg = conv.weights.values.shape
    top, left, _, _ = conv.padding
    oh, ow = output_extents(x.shape, conv.kernel, conv.stride, conv.padding, conv.dilation)
    out = np.zeros((oh, ow, oc_count), dtype=np.int64)
    weight_zero_points = conv.weights.zero_points_per_channel
    for oy, ox, oc in np.ndindex(oh, ow, oc_count):
        first_ic = oc // (oc_count // conv.groups) * icg
        acc = int(conv.bias[oc])
        for ky, kx, ic in np.ndindex(kh, kw, icg):
            iy = oy * conv.stride[0] + ky * conv.dilation[0] - top
            ix = ox * conv.stride[1] + kx * conv.dilation[1] - left
            if 0 <= iy < height and 0 <= ix < width:
                activation = int(x[iy, ix, first_ic + ic]) - zero_point
                acc += activation * (
                    int(conv.weights.values[oc, ky, kx, ic]) - weight_zero_points[oc]
                )
        if not -(1 << 31) <= acc < 1 << 31:
            raise OverflowError(f"Layer {conv.name!r}: accumulator {acc} leaves int32")
        out[oy, ox, oc] = acc
    return out

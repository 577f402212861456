"""Integer pools, maximum and average: plain loops as definition, and fast forms equal to them.

Max pool takes the greatest value of each window and ignores positions outside the map. Input and
output share scale and zero point, so nothing is rounded. Average pool sums x - Zx over the window;
positions outside the map add 0 (count_include_pad of PyTorch and ONNX). It requantizes the sum with
M / 2**n for Sx / (Sy * KH * KW): division and rescaling are one rounding. Sources: PyTorch's
``aten/src/ATen/native/quantized/cpu/kernels/QuantizedOpKernels.cpp`` (qmaxpool, qavg_pool2d), ONNX
MaxPool-12 and AveragePool-11.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ..dtypes import Array, Bounds, Integers
from ..requant import requantize
from .layer import (
    Layer,
    Requantizing,
    SameValues,
    require_requant,
    require_windows,
    zero_points_of,
)
from .tensor import Shape, Values, require
from .windows import output_extents, tap

__all__ = ["AvgPool2d", "MaxPool2d", "pool_max", "pool_max_loop", "pool_sum", "pool_sum_loop"]


@dataclass(frozen=True, kw_only=True)
class _Pool(Layer):
    """A window that slides over each channel.

    kernel, stride : (y, x), at least 1
    padding : (top, left, bottom, right), each less than the kernel along its axis
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)

    def _validate_window(self, network: Values) -> None:
        x, y = network.tensors[self.input], network.tensors[self.output]
        require(
            min(*self.kernel, *self.stride) >= 1,
            f"kernel and stride must be at least 1, not {list(self.kernel)} and "
            f"{list(self.stride)}",
        )
        top, left, bottom, right = self.padding
        require(
            min(self.padding) >= 0
            and max(top, bottom) < self.kernel[0]
            and max(left, right) < self.kernel[1],
            f"padding must be at least 0 and less than the kernel {list(self.kernel)}, not "
            f"{list(self.padding)}",
        )
        extents = output_extents(x.shape, self.kernel, self.stride, self.padding)
        require_windows(x, y, self.kernel, (*extents, x.shape[2]))


@dataclass(frozen=True, kw_only=True)
class MaxPool2d(_Pool, SameValues):
    """The greatest value of each window; see the module docstring."""

    kind: ClassVar[str] = "max_pool2d"

    def compute(self, network: Values, *inputs: Array) -> Array:
        shape = network.tensors[self.output].shape
        return np.stack([pool_max_loop(image, self, shape) for image in inputs[0]])

    def validate(self, network: Values) -> None:
        self._validate_window(network)
        SameValues.validate(self, network)


@dataclass(frozen=True, kw_only=True)
class AvgPool2d(_Pool, Requantizing):
    """The requantized sum of each window, with one multiplier; see the module docstring."""

    kind: ClassVar[str] = "avg_pool2d"

    def factors(self, ratios: list[Fraction]) -> list[Fraction]:
        return [ratios[0] / (self.kernel[0] * self.kernel[1])]

    def sum_bounds(self, network: Values) -> Bounds:
        zero_point = network.tensors[self.input].zero_point
        low, high = self.bounds(*network.value_range(self.input), zero_point)
        return np.array([low]), np.array([high])

    def compute(self, network: Values, *inputs: Array) -> Array:
        zx, zy = zero_points_of(network, self)
        shape = network.tensors[self.output].shape
        total = np.stack([pool_sum_loop(image, self, zx, shape) for image in inputs[0]])
        return requantize(total, self.requant, zy)

    def channel_bounds(self, inputs: Sequence[Bounds], zero_points: Sequence[int]) -> Bounds:
        zx, zy = zero_points
        low, high = inputs[0]
        positions = self.kernel[0] * self.kernel[1]
        padded = any(self.padding)  # positions outside the map add 0
        low_sum = positions * (np.minimum(low - zx, 0) if padded else low - zx)
        high_sum = positions * (np.maximum(high - zx, 0) if padded else high - zx)
        return requantize(low_sum, self.requant, zy), requantize(high_sum, self.requant, zy)

    def validate(self, network: Values) -> None:
        self._validate_window(network)
        y = network.tensors[self.output]
        require_requant(self.requant, y, counts=(1,))

    def bounds(self, low: int, high: int, zero_point: int) -> tuple[int, int]:
        """The least and greatest sum of a window over activations in [low, high]."""
        positions = self.kernel[0] * self.kernel[1]
        return (positions * min(low - zero_point, 0), positions * max(high - zero_point, 0))


def _taps(x: Array, pool: _Pool, fill: int) -> Iterator[Array]:
    """The values that each tap reads from a batch (H, C, W, N): (OH, C, OW, N) each."""
    top, left, bottom, right = pool.padding
    if any(pool.padding):
        pads = ((top, bottom), (0, 0), (left, right), (0, 0))
        x = np.pad(x, pads, constant_values=fill)
    oh, ow = output_extents((x.shape[0], x.shape[2]), pool.kernel, pool.stride)
    for ky, kx in np.ndindex(pool.kernel):
        yield x[tap(ky, oh, pool.stride[0]), :, tap(kx, ow, pool.stride[1])]


def pool_max(x: Array, pool: MaxPool2d) -> Array:
    """The greatest value of each window: (H, C, W, N) -> (OH, C, OW, N), dtype of x."""
    taps = _taps(x, pool, np.iinfo(x.dtype).min)
    greatest = next(taps).copy()
    for values in taps:
        np.maximum(greatest, values, out=greatest)
    return greatest


def pool_sum(x: Array, pool: AvgPool2d, zero_point: int) -> npt.NDArray[np.float64]:
    """The sum of x over each window, with Zx as padding: (H, C, W, N) -> float64 (OH, C, OW, N).

    Zx is not subtracted: the sum of x - Zx is less by KH * KW * Zx.
    """
    taps = _taps(x, pool, zero_point)
    total = next(taps).astype(np.float64)
    for values in taps:
        total += values
    return total


def _values_of(x: Array, pool: _Pool, oy: int, ox: int, channel: int) -> list[int]:
    """The values of one window inside the map, in raster order."""
    height, width, _ = x.shape
    rows = (oy * pool.stride[0] + ky - pool.padding[0] for ky in range(pool.kernel[0]))
    columns = [ox * pool.stride[1] + kx - pool.padding[1] for kx in range(pool.kernel[1])]
    return [
        int(x[iy, ix, channel])
        for iy in rows
        for ix in columns
        if 0 <= iy < height and 0 <= ix < width
    ]


def pool_max_loop(x: Array, pool: MaxPool2d, shape: Shape) -> Integers:
    """The definition of :func:`pool_max` for one image (H, W, C); ``shape`` is the output's."""
    out = np.zeros(shape, dtype=np.int64)
    for at in np.ndindex(shape):
        out[at] = max(_values_of(x, pool, *at))
    return out


def pool_sum_loop(x: Array, pool: AvgPool2d, zero_point: int, shape: Shape) -> Integers:
    """The definition of :func:`pool_sum` for one image (H, W, C); ``shape`` is the output's."""
    out = np.zeros(shape, dtype=np.int64)
    for at in np.ndindex(shape):
        out[at] = sum(value - zero_point for value in _values_of(x, pool, *at))
    return out

"""Value ranges channel by channel: tighter than ``Values.value_range``, which is per tensor.

The method is interval arithmetic as in ``layers/accumulators.py``, but each channel keeps its own
ends through ReLU, pools, additions, concatenations and convolutions. A range of the whole tensor
would give every channel the widest one. Rounding and clamping are monotone, so the ends of a sum
give the ends of an output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..dtypes import Bounds
from ..layers import Argmax, Flatten, Layer, Relu
from ..layers.add import Add, add
from ..layers.concat import Concat, concat
from ..layers.conv import Conv2d
from ..layers.pool import AvgPool2d
from ..requant import requantize
from ..requant.rounding import clamp

if TYPE_CHECKING:
    from ..network import QNetwork

__all__ = ["channel_ranges", "output_range"]

ZeroPoints = Sequence[int]  # of the tensors read, then of the tensor written


def channel_ranges(network: QNetwork) -> dict[str, Bounds]:
    """The least and greatest value of each channel of every tensor.

    Returns {tensor: (low, high)}, int64 (C,) each; never exceeded, for any image.
    """
    image = network.tensors[network.input]
    ends = (image.dtype.qmin, image.dtype.qmax)
    channels = image.shape[2]
    ranges: dict[str, Bounds] = {network.input: _both(np.full(channels, end) for end in ends)}
    for layer in network.layers:
        names = (*layer.reads, layer.output)
        zero_points = [network.tensors[name].zero_point for name in names]
        inputs = [ranges[name] for name in layer.reads]
        low, high = output_range(layer, inputs, zero_points)
        if isinstance(layer, Flatten):  # raster order, channels last: the channels in turn
            height, width, _ = network.tensors[layer.input].shape
            low, high = (np.tile(end, height * width) for end in (low, high))
        ranges[layer.output] = low, high
    return ranges


def output_range(layer: Layer, inputs: Sequence[Bounds], zero_points: ZeroPoints) -> Bounds:
    """The least and greatest value of each channel that ``layer`` writes.

    Parameters
    ----------
    inputs : (low, high) of each tensor read, int64 (C,) each
    zero_points : of the tensors read, then of the tensor written

    Returns (low, high), int64 (OC,) each; for a Flatten those of its input, not repeated.
    """
    for kind, rule in RULES.items():
        if isinstance(layer, kind):
            return rule(layer, inputs, zero_points)
    return inputs[0]  # a maximum or a flattening: values of the same channel


def _both(ends: Any) -> Bounds:
    low, high = (np.asarray(end, dtype=np.int64) for end in ends)
    return low, high


def _conv2d(layer: Conv2d, inputs: Sequence[Bounds], zero_points: ZeroPoints) -> Bounds:
    zx, zy = zero_points
    sums = layer.sums_within(*inputs[0], zx)
    return _both(requantize(end, layer.requant, zy) for end in sums)


def _avg_pool2d(layer: AvgPool2d, inputs: Sequence[Bounds], zero_points: ZeroPoints) -> Bounds:
    zx, zy = zero_points
    low, high = inputs[0]
    positions = layer.kernel[0] * layer.kernel[1]
    padded = any(layer.padding)  # positions outside the map add 0
    low_sum = positions * (np.minimum(low - zx, 0) if padded else low - zx)
    high_sum = positions * (np.maximum(high - zx, 0) if padded else high - zx)
    return _both(requantize(end, layer.requant, zy) for end in (low_sum, high_sum))


def _add(layer: Add, inputs: Sequence[Bounds], zero_points: ZeroPoints) -> Bounds:
    return _both(add(a, b, layer, tuple(zero_points)) for a, b in zip(*inputs, strict=True))


def _concat(layer: Concat, inputs: Sequence[Bounds], zero_points: ZeroPoints) -> Bounds:
    return _both(concat(ends, layer, zero_points) for ends in zip(*inputs, strict=True))


def _relu(layer: Relu, inputs: Sequence[Bounds], zero_points: ZeroPoints) -> Bounds:
    return _both(clamp(end, layer.low, layer.high) for end in inputs[0])


def _argmax(layer: Argmax, inputs: Sequence[Bounds], zero_points: ZeroPoints) -> Bounds:
    return _both([[0], [len(inputs[0][0]) - 1]])


Rule = Callable[[Any, Sequence[Bounds], ZeroPoints], Bounds]
RULES = cast(
    dict[type[Layer], Rule],
    {
        Conv2d: _conv2d,
        AvgPool2d: _avg_pool2d,
        Add: _add,
        Concat: _concat,
        Relu: _relu,
        Argmax: _argmax,
    },
)

"""The golden model as plain loops: image by image, slow, and the definition.

Tests compare ``fast.py`` with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..layers.add import add
from ..layers.concat import concat
from ..layers.conv import accumulate_loop
from ..layers.pool import pool_max_loop, pool_sum_loop
from ..requant import requantize

if TYPE_CHECKING:
    from ..layers import Argmax, Flatten, Layer, Relu, Runnable
    from ..layers.add import Add
    from ..layers.concat import Concat
    from ..layers.conv import Conv2d
    from ..layers.pool import AvgPool2d, MaxPool2d

__all__ = ["LOOP", "trace_loop", "zero_points_of"]

Array = npt.NDArray[Any]


def zero_points_of(network: Runnable, layer: Layer) -> tuple[int, ...]:
    """The zero points of the tensors that a layer reads, and of the tensor that it writes."""
    return tuple(network.tensors[name].zero_point for name in (*layer.reads, layer.output))


def _conv2d_loop(network: Runnable, layer: Conv2d, x: Array) -> Array:
    zx, zy = zero_points_of(network, layer)
    acc = np.stack([accumulate_loop(image, layer, zx) for image in x])
    return requantize(acc, layer.requant, zy)


def _max_pool2d_loop(network: Runnable, layer: MaxPool2d, x: Array) -> Array:
    shape = network.tensors[layer.output].shape
    return np.stack([pool_max_loop(image, layer, shape) for image in x])


def _avg_pool2d_loop(network: Runnable, layer: AvgPool2d, x: Array) -> Array:
    zx, zy = zero_points_of(network, layer)
    shape = network.tensors[layer.output].shape
    total = np.stack([pool_sum_loop(image, layer, zx, shape) for image in x])
    return requantize(total, layer.requant, zy)


def _add_loop(network: Runnable, layer: Add, a: Array, b: Array) -> Array:
    return add(a, b, layer, zero_points_of(network, layer))


def _concat_loop(network: Runnable, layer: Concat, *inputs: Array) -> Array:
    return concat(inputs, layer, zero_points_of(network, layer))


def _relu_loop(network: Runnable, layer: Relu, x: Array) -> Array:
    clamped: Array = np.clip(x, layer.low, layer.high)
    return clamped


def _flatten_loop(network: Runnable, layer: Flatten, x: Array) -> Array:
    return x.reshape(len(x), 1, 1, math.prod(x.shape[1:]))


def _argmax_loop(network: Runnable, layer: Argmax, x: Array) -> Array:
    index: Array = x.argmax(axis=3, keepdims=True)
    return index


# By the kind of layer: (network, layer, *inputs) -> output, tensors (N, H, W, C).
LOOP: dict[str, Callable[..., Array]] = {
    "conv2d": _conv2d_loop,
    "linear": _conv2d_loop,
    "max_pool2d": _max_pool2d_loop,
    "avg_pool2d": _avg_pool2d_loop,
    "add": _add_loop,
    "concat": _concat_loop,
    "relu": _relu_loop,
    "flatten": _flatten_loop,
    "argmax": _argmax_loop,
}


def trace_loop(network: Runnable, images: Array) -> dict[str, Array]:
    """Every tensor by name, (N, H, W, C), for checked images (N, H, W, C)."""
    values = {network.input: images}
    for layer in network.layers:
        inputs = (values[name] for name in layer.reads)
        result = LOOP[layer.kind](network, layer, *inputs)
        values[layer.output] = result.astype(network.tensors[layer.output].dtype.numpy)
    return values

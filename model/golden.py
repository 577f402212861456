"""The golden model: runs an integer network and gives every tensor, bit for bit.

Two forms of one truth. ``trace`` runs batches on BLAS, with the batch last inside, (C, H, W, N), so
that every operator works on runs of N values; ``trace_loop`` runs image by image through the plain
loops. A test holds them equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .add import add
from .conv import accumulate_batch_last, accumulate_loop, magnitude
from .pool import pool_max, pool_max_loop, pool_sum, pool_sum_loop
from .requant import requantize, requantize_batch_last

if TYPE_CHECKING:
    from .add import Add
    from .conv import Conv2d
    from .layers import Argmax, Flatten, Layer, Relu
    from .network import QNetwork
    from .pool import AvgPool2d, MaxPool2d

__all__ = ["scores", "trace", "trace_loop"]

BATCH = 256  # images at once: large enough for BLAS, small enough for the cache

Array = npt.NDArray[Any]
Operator = Callable[..., Array]  # (network, layer, *inputs) -> output


def _zero_points(network: QNetwork, layer: Layer) -> tuple[int, ...]:
    """Those of the tensors read, and of the tensor written."""
    return tuple(network.tensors[name].zero_point for name in (*layer.reads, layer.output))


def _conv2d(network: QNetwork, layer: Conv2d, x: Array) -> Array:
    zx, zy = _zero_points(network, layer)
    low, high = network.value_range(layer.input)
    reach = max(abs(low - zx), abs(high - zx))
    acc = accumulate_batch_last(x, layer, zx, reach)
    return requantize_batch_last(acc, layer.requant, zy, magnitude(layer, reach))


def _conv2d_loop(network: QNetwork, layer: Conv2d, x: Array) -> Array:
    zx, zy = _zero_points(network, layer)
    acc = np.stack([accumulate_loop(image, layer, zx) for image in x])
    return requantize(acc, layer.requant, zy)


def _max_pool2d(network: QNetwork, layer: MaxPool2d, x: Array) -> Array:
    return pool_max(x, layer)


def _max_pool2d_loop(network: QNetwork, layer: MaxPool2d, x: Array) -> Array:
    shape = network.tensors[layer.output].shape
    return np.stack([pool_max_loop(image, layer, shape) for image in x])


def _avg_pool2d(network: QNetwork, layer: AvgPool2d, x: Array) -> Array:
    zx, zy = _zero_points(network, layer)
    return requantize(pool_sum(x, layer, zx), layer.requant, zy)


def _avg_pool2d_loop(network: QNetwork, layer: AvgPool2d, x: Array) -> Array:
    zx, zy = _zero_points(network, layer)
    shape = network.tensors[layer.output].shape
    total = np.stack([pool_sum_loop(image, layer, zx, shape) for image in x])
    return requantize(total, layer.requant, zy)


def _add(network: QNetwork, layer: Add, a: Array, b: Array) -> Array:
    return add(a, b, layer, _zero_points(network, layer))


def _relu(network: QNetwork, layer: Relu, x: Array) -> Array:
    clamped: Array = np.clip(x, layer.low, layer.high)
    return clamped


def _flatten(network: QNetwork, layer: Flatten, x: Array) -> Array:
    return x.transpose(1, 2, 0, 3).reshape(math.prod(x.shape[:3]), 1, 1, x.shape[3])


def _flatten_loop(network: QNetwork, layer: Flatten, x: Array) -> Array:
    return x.reshape(len(x), 1, 1, math.prod(x.shape[1:]))


def _argmax(network: QNetwork, layer: Argmax, x: Array) -> Array:
    index: Array = x.argmax(axis=0, keepdims=True)
    return index


def _argmax_loop(network: QNetwork, layer: Argmax, x: Array) -> Array:
    index: Array = x.argmax(axis=3, keepdims=True)
    return index


FAST: dict[str, Operator] = {  # tensors (C, H, W, N)
    "conv2d": _conv2d,
    "linear": _conv2d,
    "max_pool2d": _max_pool2d,
    "avg_pool2d": _avg_pool2d,
    "add": _add,
    "relu": _relu,
    "flatten": _flatten,
    "argmax": _argmax,
}
LOOP: dict[str, Operator] = {  # tensors (N, H, W, C)
    "conv2d": _conv2d_loop,
    "linear": _conv2d_loop,
    "max_pool2d": _max_pool2d_loop,
    "avg_pool2d": _avg_pool2d_loop,
    "add": _add,
    "relu": _relu,
    "flatten": _flatten_loop,
    "argmax": _argmax_loop,
}


def _run(network: QNetwork, images: Array, operators: dict[str, Operator]) -> dict[str, Array]:
    values = {network.input: images}
    for layer in network.layers:
        inputs = (values[name] for name in layer.reads)
        result = operators[layer.kind](network, layer, *inputs)
        values[layer.output] = result.astype(network.tensors[layer.output].dtype.numpy)
    return values


def _run_fast(network: QNetwork, images: Array) -> dict[str, Array]:
    """One batch (N, H, W, C) by the fast forms; tensors (C, H, W, N)."""
    return _run(network, np.ascontiguousarray(images.transpose(3, 1, 2, 0)), FAST)


def _batches(images: Array) -> Iterator[Array]:
    for start in range(0, max(len(images), 1), BATCH):
        yield images[start : start + BATCH]


def trace(network: QNetwork, images: Array) -> dict[str, Array]:
    """Every tensor by name, (N, H, W, C), for checked images (N, H, W, C)."""
    parts = [_run_fast(network, batch) for batch in _batches(images)]
    return {name: _joined(part[name] for part in parts) for name in parts[0]}


def trace_loop(network: QNetwork, images: Array) -> dict[str, Array]:
    """The same as :func:`trace` by the plain loops; slow, and easy to believe."""
    return _run(network, images, LOOP)


def scores(network: QNetwork, images: Array) -> Array:
    """The output tensor alone, (N, H, W, C)."""
    return _joined(_run_fast(network, batch)[network.output] for batch in _batches(images))


def _joined(parts: Iterable[Array]) -> Array:
    """Batches (C, H, W, N) in a row, as (N, H, W, C)."""
    return np.concatenate([part.transpose(3, 1, 2, 0) for part in parts])

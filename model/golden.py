"""The golden model: runs an integer network and gives every tensor, bit for bit.

Two forms of one truth. ``trace`` runs batches on BLAS (``conv.accumulate``); ``trace_loop`` runs
one image through the plain loops. A test holds them equal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .conv import accumulate, accumulate_loop
from .requant import requantize

if TYPE_CHECKING:
    from .layers import Argmax, Conv2d
    from .network import QNetwork

__all__ = ["scores", "trace", "trace_loop"]

BATCH = 512  # images at once: large enough for BLAS, small enough for the cache

Array = npt.NDArray[Any]


def _conv2d(network: QNetwork, layer: Conv2d, x: Array) -> Array:
    acc = accumulate(x, layer, network.tensors[layer.input].zero_point)
    return requantize(acc, layer.requant, network.tensors[layer.output].zero_point)


def _conv2d_loop(network: QNetwork, layer: Conv2d, x: Array) -> Array:
    zero_point = network.tensors[layer.input].zero_point
    acc = np.stack([accumulate_loop(image, layer, zero_point) for image in x])
    return requantize(acc, layer.requant, network.tensors[layer.output].zero_point)


def _argmax(network: QNetwork, layer: Argmax, x: Array) -> Array:
    index: Array = x.argmax(axis=3, keepdims=True)
    return index


Operator = Callable[["QNetwork", Any, Array], Array]

FAST: dict[str, Operator] = {"conv2d": _conv2d, "argmax": _argmax}
LOOP: dict[str, Operator] = {"conv2d": _conv2d_loop, "argmax": _argmax}


def _run(network: QNetwork, images: Array, operators: dict[str, Operator]) -> dict[str, Array]:
    values = {network.input: images}
    for layer in network.layers:
        result = operators[layer.kind](network, layer, values[layer.input])
        values[layer.output] = result.astype(network.tensors[layer.output].dtype.numpy)
    return values


def _batches(images: Array) -> Iterator[Array]:
    for start in range(0, max(len(images), 1), BATCH):
        yield images[start : start + BATCH]


def trace(network: QNetwork, images: Array) -> dict[str, Array]:
    """Every tensor by name, (N, H, W, C), for checked images (N, H, W, C)."""
    parts = [_run(network, batch, FAST) for batch in _batches(images)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def trace_loop(network: QNetwork, images: Array) -> dict[str, Array]:
    """The same as :func:`trace` by the plain loops; slow, and easy to believe."""
    return _run(network, images, LOOP)


def scores(network: QNetwork, images: Array) -> Array:
    """The output tensor alone, (N, H, W, C)."""
    parts = [_run(network, batch, FAST)[network.output] for batch in _batches(images)]
    return np.concatenate(parts)

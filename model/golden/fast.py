"""The golden model: runs an integer network and returns every tensor, bit for bit.

There are two equal forms. ``trace`` runs batches on BLAS. Its tensors are (H, C, W, N), with the
batch as the last axis, so every operator works on N contiguous values. ``trace_loop`` runs image by
image through the plain loops of ``Layer.compute``. A test compares the two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..dtypes import Array
from ..layers import zero_points_of
from ..layers.conv import Conv2d
from ..layers.pool import MaxPool2d, pool_max, pool_sum
from .fastrequant import FastRequant
from .loop import trace_loop
from .minimalconv import fast_conv

if TYPE_CHECKING:
    from ..layers import Argmax, Flatten, Layer, Relu, Runnable
    from ..layers.add import Add
    from ..layers.concat import Concat
    from ..layers.pool import AvgPool2d
    from ..layers.table import Table
    from ..layers.upsample import Upsample

__all__ = ["batch_size", "scores", "trace", "trace_loop"]

BATCH_VALUES = 1 << 18  # values in the largest tensor of a batch; limited by the cache
BATCHES = (32, 256)  # images: fewer make runs too short for BLAS; more give no speed

Operator = Callable[..., Array]  # (*inputs) -> output


def _reach(network: Runnable, tensor: str) -> int:
    """An upper bound on |q| of the tensor."""
    return max(map(abs, (*network.value_range(tensor), network.tensors[tensor].zero_point)))


def _requantizing(network: Runnable, layer: Layer, requant: FastRequant) -> Operator:
    """Write requantized sums (H, C, W, N) in the numpy type of the layer's output."""
    dtype = network.tensors[layer.output].dtype.numpy

    def run(acc: Array) -> Array:
        out = np.empty(acc.shape, dtype)
        requant(acc, out)
        return out

    return run


def _conv2d(network: Runnable, layer: Conv2d, pool: tuple[int, int] = (1, 1)) -> Operator:
    zx, zy = zero_points_of(network, layer)
    fast = fast_conv(layer, zx, *network.value_range(layer.input), pool)
    requant = FastRequant(layer.requant, zy, fast.constants, fast.reach)
    y = network.tensors[layer.output]
    height, width = (extent // step for extent, step in zip(y.shape, pool, strict=False))

    def run(x: Array) -> Array:
        out = np.empty((height, y.shape[2], width, x.shape[3]), y.dtype.numpy)
        for rows, acc in fast(x):
            requant(acc, out[rows])
        return out

    return run


def _max_pool2d(network: Runnable, layer: MaxPool2d) -> Operator:
    return lambda x: pool_max(x, layer)


def _avg_pool2d(network: Runnable, layer: AvgPool2d) -> Operator:
    zx, zy = zero_points_of(network, layer)
    positions = math.prod(layer.kernel)
    constants = np.array([-positions * zx])
    reach = positions * _reach(network, layer.input)
    requant = FastRequant(layer.requant, zy, constants, reach)
    finish = _requantizing(network, layer, requant)
    return lambda x: finish(pool_sum(x, layer, zx))


def _add(network: Runnable, layer: Add) -> Operator:
    za, zb, zy = zero_points_of(network, layer)
    ma, mb = layer.requant.multipliers
    reach = ma * _reach(network, layer.input) + mb * _reach(network, layer.other)  # < 2**48
    constants = np.array([-za * ma - zb * mb])
    unit = replace(layer.requant, multipliers=(1,))
    finish = _requantizing(network, layer, FastRequant(unit, zy, constants, reach))

    def run(a: Array, b: Array) -> Array:
        total = a.astype(np.float64)
        total *= ma
        other = b.astype(np.float64)
        other *= mb
        total += other
        return finish(total)

    return run


def _concat(network: Runnable, layer: Concat) -> Operator:
    if layer.copies(network):
        dtype = network.tensors[layer.output].dtype.numpy
        return lambda *inputs: np.concatenate(inputs, axis=1, dtype=dtype, casting="unsafe")
    *zero_points, zy = zero_points_of(network, layer)
    finish = [
        _requantizing(
            network,
            layer,
            FastRequant(layer.requant_of(index), zy, np.array([-zx]), _reach(network, name)),
        )
        for index, (name, zx) in enumerate(zip(layer.reads, zero_points, strict=True))
    ]

    def run(*inputs: Array) -> Array:
        parts = zip(finish, inputs, strict=True)
        return np.concatenate([part(x.astype(np.float64)) for part, x in parts], axis=1)

    return run


def _relu(network: Runnable, layer: Relu) -> Operator:
    return lambda x: np.clip(x, layer.low, layer.high)


def _table(network: Runnable, layer: Table) -> Operator:
    values = np.array(layer.values, network.tensors[layer.output].dtype.numpy)
    return lambda x: values[x.astype(np.int32) - layer.first]


def _upsample(network: Runnable, layer: Upsample) -> Operator:
    fy, fx = layer.factor
    return lambda x: x.repeat(fy, axis=0).repeat(fx, axis=2)


def _flatten(network: Runnable, layer: Flatten) -> Operator:
    def run(x: Array) -> Array:
        return x.swapaxes(1, 2).reshape(1, math.prod(x.shape[:3]), 1, x.shape[3])

    return run


def _argmax(network: Runnable, layer: Argmax) -> Operator:
    dtype = network.tensors[layer.output].dtype.numpy
    return lambda x: x.argmax(axis=1, keepdims=True).astype(dtype)


# By the kind of layer: (network, layer) -> a function that runs it on tensors (H, C, W, N).
FAST: dict[str, Callable[..., Operator]] = {
    "conv2d": _conv2d,
    "linear": _conv2d,
    "max_pool2d": _max_pool2d,
    "avg_pool2d": _avg_pool2d,
    "add": _add,
    "concat": _concat,
    "relu": _relu,
    "table": _table,
    "upsample": _upsample,
    "flatten": _flatten,
    "argmax": _argmax,
}


@dataclass(frozen=True)
class _Step:
    """One or two layers run together: the tensors that they read, write and then drop."""

    reads: tuple[str, ...]
    output: str
    run: Operator
    done: tuple[str, ...] = ()


def _to_the_output(network: Runnable) -> list[_Step]:
    """The steps for the output: a convolution and its max pool as one, used tensors dropped."""
    readers: dict[str, list[Layer]] = {name: [] for name in network.tensors}
    for layer in network.layers:
        for name in layer.reads:
            readers[name].append(layer)
    steps: list[_Step] = []
    written = {network.input}
    for layer in network.layers:
        if layer.output in written or network.output in written:
            continue  # done together with its convolution, or after the output
        run, last = FAST[layer.kind](network, layer), layer
        if isinstance(layer, Conv2d) and layer.output != network.output:
            match readers[layer.output]:
                case [MaxPool2d() as pool] if pool.kernel == pool.stride and not any(pool.padding):
                    run, last = _conv2d(network, layer, pool.kernel), pool
        written |= {layer.output, last.output}
        done = tuple({name for name in layer.reads if readers[name][-1] is layer})
        steps.append(_Step(layer.reads, last.output, run, done))
    return steps


def _run(network: Runnable, steps: list[_Step], images: Array) -> dict[str, Array]:
    """Run one batch (N, H, W, C) with the fast forms; returns tensors (H, C, W, N)."""
    values = {network.input: np.ascontiguousarray(images.transpose(1, 3, 2, 0))}
    for step in steps:
        values[step.output] = step.run(*(values[name] for name in step.reads))
        for name in step.done:
            del values[name]
    return values


def batch_size(network: Runnable) -> int:
    """Images in a batch: enough for BLAS, few enough for the cache."""
    largest = max(math.prod(tensor.shape) for tensor in network.tensors.values())
    fewest, most = BATCHES
    return min(max(BATCH_VALUES // largest, fewest), most)


def _batches(network: Runnable, images: Array) -> Iterator[Array]:
    size = batch_size(network)
    for start in range(0, max(len(images), 1), size):
        yield images[start : start + size]


def trace(network: Runnable, images: Array) -> dict[str, Array]:
    """Every tensor by name, (N, H, W, C), for checked images (N, H, W, C)."""
    steps = [
        _Step(layer.reads, layer.output, FAST[layer.kind](network, layer))
        for layer in network.layers
    ]
    parts = [_run(network, steps, batch) for batch in _batches(network, images)]
    return {name: _joined(part[name] for part in parts) for name in parts[0]}


def scores(network: Runnable, images: Array) -> Array:
    """The output tensor alone, (N, H, W, C)."""
    steps = _to_the_output(network)
    batches = _batches(network, images)
    return _joined(_run(network, steps, batch)[network.output] for batch in batches)


def _joined(parts: Iterable[Array]) -> Array:
    """Join batches (H, C, W, N) to one array (N, H, W, C)."""
    return np.concatenate([part.transpose(3, 0, 2, 1) for part in parts])

"""Random layers of every kind, over the whole range of their parameters, small enough to simulate;
``concats.py`` has the concatenations.

Each function takes a draft and the input tensor, adds a random layer, and returns its output
tensor.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..dtypes import IntType
from ..layers import Flatten, Relu, Tensor
from ..layers.add import Add
from ..layers.linear import Linear
from ..layers.pool import AvgPool2d, MaxPool2d
from ..layers.table import MAX_BITS, Table
from ..layers.upsample import Upsample
from ..layers.windows import output_extents
from ..requant import Requant, fixed_point
from .convs import argmax_of, random_conv, random_window
from .draft import Draft
from .draws import random_requant

__all__ = [
    "add",
    "argmax",
    "average_pool",
    "convolution",
    "flatten",
    "linear",
    "max_pool",
    "relu",
    "requantize",
    "same_convolution",
    "same_pool",
    "table",
    "upsample",
    "whole_map",
]

MOST_ELEMENTS = 1_500  # of all windows of an image: the cycles of its window reader
MOST_CHANNELS = 8
MOST_KERNEL = 11
SUM_BITS = 30  # of the sum of products; with a bias of this size it still fits int32

Window = dict[str, Any]  # arguments of random_conv


def convolution(draft: Draft, x: Tensor) -> Tensor:
    """Any kernel from 1 to 11, with any stride, padding per side, dilation and groups."""
    window = random_window(draft.rng, *x.shape[:2])
    if draft.chance(0.1):
        window = _large_kernel(draft, x)
    if _elements(x, window) > MOST_ELEMENTS:
        window = {"kernel": (1, 1)}
    return _conv(draft, x, **window)


def same_convolution(draft: Draft, x: Tensor) -> Tensor:
    """A convolution that keeps height and width: padding on all sides, stride 1."""
    kernel = [int(k) for k in draft.rng.choice([1, 2, 3, 3, 5], 2)]
    dilation = [int(d) for d in draft.rng.choice([1, 1, 1, 2], 2)]
    (top, bottom), (left, right) = (
        (d * (k - 1) // 2, d * (k - 1) - d * (k - 1) // 2)
        for k, d in zip(kernel, dilation, strict=True)
    )
    window: Window = {
        "kernel": tuple(kernel),
        "stride": (1, 1),
        "padding": (top, left, bottom, right),
        "dilation": tuple(dilation),
    }
    if _elements(x, window) > MOST_ELEMENTS:
        window = {"kernel": (1, 1)}
    return _conv(draft, x, out_channels=x.shape[2], **window)


def whole_map(draft: Draft, x: Tensor) -> Tensor:
    """A convolution whose kernel covers the map: one position remains."""
    return _conv(draft, x, kernel=x.shape[:2])


def linear(draft: Draft, x: Tensor) -> Tensor:
    """A fully connected layer; a flatten is added before it if needed."""
    flat = x if x.shape[:2] == (1, 1) else flatten(draft, x)
    return _conv(draft, flat, kernel=(1, 1), groups=1, linear=True)


def flatten(draft: Draft, x: Tensor) -> Tensor:
    """Flatten the map to one position."""
    name = draft.name("flatten")
    height, width, channels = x.shape
    y = draft.like(x, name, (1, 1, height * width * channels))
    return draft.append(Flatten(name, x.name, y.name), y)


def max_pool(draft: Draft, x: Tensor) -> Tensor:
    """Any kernel, stride and padding."""
    return _max_pool(draft, x, **_pool_window(draft, x))


def same_pool(draft: Draft, x: Tensor) -> Tensor:
    """A maximum pool that keeps the shape."""
    return _max_pool(draft, x, kernel=(3, 3), stride=(1, 1), padding=(1, 1, 1, 1))


def average_pool(draft: Draft, x: Tensor) -> Tensor:
    """Any kernel, stride and padding; in some cases one window for the whole map."""
    window: Window = _pool_window(draft, x)
    if draft.chance(0.3):
        window = {"kernel": x.shape[:2], "stride": x.shape[:2]}
    return _average(draft, x, **window)


def requantize(draft: Draft, x: Tensor) -> Tensor:
    """Requantize a map to another grid: an average pool with a 1x1 kernel."""
    return _average(draft, x, kernel=(1, 1), stride=(1, 1))


def relu(draft: Draft, x: Tensor) -> Tensor:
    """A clamp: a ReLU, a ReLU6, or any other."""
    name = draft.name("relu")
    y = draft.like(x, name, x.shape)
    low, high = sorted(draft.rng.integers(x.dtype.qmin, x.dtype.qmax, 2, endpoint=True).tolist())
    if draft.chance(0.5):
        low, high = x.zero_point, max(high, x.zero_point)
    return draft.append(Relu(name, x.name, y.name, low=low, high=high), y)


def table(draft: Draft, x: Tensor) -> Tensor:
    """Any function of one value: noise, a rising one, or a constant; requantized to few bits before
    if necessary."""
    if x.dtype.bits > MAX_BITS:
        return requantize(draft, x)
    name = draft.name("table")
    y = draft.grid(name, x.shape)
    low, high = x.dtype.qmin, x.dtype.qmax
    if x is not draft.image:
        low, high = draft.network("draft").value_range(x.name)
    values = draft.rng.integers(y.dtype.qmin, y.dtype.qmax, high - low + 1, endpoint=True)
    if draft.chance(0.3):
        values.sort()
    elif draft.chance(0.1):
        values[:] = values[0]
    return draft.append(Table(name, x.name, y.name, first=low, values=tuple(values.tolist())), y)


def upsample(draft: Draft, x: Tensor) -> Tensor:
    """Upsample by up to 3, unless the map becomes large; then pool it."""
    fy, fx = (int(factor) for factor in draft.rng.integers(1, 4, 2))
    height, width, channels = x.shape
    if height * fy * width * fx * channels > MOST_ELEMENTS:
        return max_pool(draft, x)
    name = draft.name("upsample")
    y = draft.like(x, name, (height * fy, width * fx, channels))
    return draft.append(Upsample(name, x.name, y.name, factor=(fy, fx)), y)


def add(draft: Draft, a: Tensor, b: Tensor) -> Tensor:
    """The sum of two tensors of the same shape."""
    rng, name = draft.rng, draft.name("add")
    y = draft.grid(name, a.shape)
    reach = y.dtype.qmax - y.dtype.qmin
    factors = [float(reach * rng.uniform(0.2, 2) / (x.dtype.qmax - x.dtype.qmin)) for x in (a, b)]
    try:
        multipliers, shift = fixed_point(factors, bits=int(rng.integers(4, 32)))
    except ValueError:  # the factors are too far apart for this number of bits
        multipliers, shift = fixed_point(factors, bits=31)
    offset = int(rng.integers(-4 << shift, 4 << shift)) if draft.chance(0.3) else 0
    low = y.zero_point if draft.chance(0.3) else y.dtype.qmin
    requant = Requant(multipliers, shift, draft.rule(), low, y.dtype.qmax, offsets=(offset,))
    return draft.append(Add(name, a.name, y.name, other=b.name, requant=requant), y)


def argmax(draft: Draft, x: Tensor) -> Tensor:
    """An argmax over the channels of one position."""
    return draft.append(*argmax_of(x))


def _conv(draft: Draft, x: Tensor, *, linear: bool = False, **window: Any) -> Tensor:
    """A convolution with the given window and otherwise random parameters; sums fit int32."""
    rng = draft.rng
    channels = x.shape[2]
    outputs = window.get("out_channels") or int(rng.integers(1, MOST_CHANNELS + 1))
    both = [g for g in range(1, channels + 1) if channels % g == 0 == outputs % g]
    groups = window.get("groups") or int(rng.choice(both))
    kernel = window["kernel"]
    taps = kernel[0] * kernel[1] * (channels // groups)
    most = min(8, SUM_BITS - x.dtype.bits - (taps - 1).bit_length())
    bits = most if draft.chance(0.4) else int(rng.integers(2, most + 1))
    conv, y = random_conv(
        rng,
        x,
        name=draft.name("linear" if linear else "conv"),
        **{**window, "out_channels": outputs, "groups": groups},
        weight_type=IntType(bits, signed=not draft.chance(0.3)),
        output_type=draft.type(),
        symmetric=draft.chance(0.5),
        greatest_bias=int(rng.choice([5000, 1 << SUM_BITS - 1], p=[0.9, 0.1])),
        rounding=draft.rule(),
        offsets=draft.chance(0.3),
    )
    return draft.append(_as_linear(conv) if linear else conv, y)


def _as_linear(conv: Any) -> Linear:
    return Linear(
        conv.name,
        conv.input,
        conv.output,
        weights=conv.weights,
        bias=conv.bias,
        requant=conv.requant,
    )


def _max_pool(draft: Draft, x: Tensor, **window: Any) -> Tensor:
    name = draft.name("max")
    y = draft.like(x, name, (*output_extents(x.shape, **window), x.shape[2]))
    return draft.append(MaxPool2d(name, x.name, y.name, **window), y)


def _average(draft: Draft, x: Tensor, **window: Any) -> Tensor:
    name = draft.name("average")
    y = draft.grid(name, (*output_extents(x.shape, **window), x.shape[2]))
    positions = window["kernel"][0] * window["kernel"][1]
    lo, hi = (np.array([positions * (end - x.zero_point)]) for end in (x.dtype.qmin, x.dtype.qmax))
    requant = random_requant(
        draft.rng, lo, hi, y, rounding=draft.rule(), offsets=int(draft.chance(0.3))
    )
    return draft.append(AvgPool2d(name, x.name, y.name, requant=requant, **window), y)


def _pool_window(draft: Draft, x: Tensor) -> Window:
    """Kernel, stride and padding less than the kernel; the usual 2x2 with stride 2 more often."""
    if draft.chance(0.3) and min(x.shape[:2]) >= 2:
        return {"kernel": (2, 2), "stride": (2, 2)}
    axes = []
    for extent in x.shape[:2]:
        kernel = int(draft.rng.integers(1, min(extent, 4) + 1))
        before, after = (int(pad) for pad in draft.rng.integers(0, kernel, 2))
        axes.append((kernel, int(draft.rng.integers(1, 5)), before, after))
    (kh, sh, top, bottom), (kw, sw, left, right) = axes
    return {"kernel": (kh, kw), "stride": (sh, sw), "padding": (top, left, bottom, right)}


def _large_kernel(draft: Draft, x: Tensor) -> Window:
    """A kernel above 5 along one axis or both, with the padding that makes it fit."""
    kernel = tuple(int(k) for k in draft.rng.integers(6, MOST_KERNEL + 1, 2))
    lacks = [max(0, k - extent) for k, extent in zip(kernel, x.shape[:2], strict=True)]
    padding = (lacks[0] - lacks[0] // 2, lacks[1] // 2, lacks[0] // 2, lacks[1] - lacks[1] // 2)
    stride = tuple(int(s) for s in draft.rng.integers(1, 13, 2))
    return {"kernel": kernel, "stride": stride, "padding": padding}


def _elements(x: Tensor, window: Window) -> int:
    """The elements that a window reader reads for an image."""
    rows, columns = output_extents(x.shape, **window)
    return int(rows * columns * math.prod(window["kernel"]) * x.shape[2])

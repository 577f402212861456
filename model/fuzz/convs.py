"""Random convolutions, for tests that fix some of the parameters.

By default everything suits the patch engine: kernel = stride, no padding, no dilation. Each
argument fixes one choice; the others are drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..dtypes import IntType
from ..layers import Argmax, Layer, Tensor
from ..layers.conv import Conv2d
from ..layers.windows import output_extents
from ..network import QNetwork
from ..requant import Requant, Rounding
from .draws import INT8, UINT8, Rng, drawn, random_requant, random_tensor, random_weights

__all__ = [
    "argmax_of",
    "network_of",
    "random_conv",
    "random_window",
]

Pair = tuple[int, int]


def random_conv(
    rng: Rng,
    x: Tensor,
    *,
    name: str = "conv",
    out_channels: int | None = None,
    kernel: Pair | None = None,
    stride: Pair | None = None,
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    dilation: Pair = (1, 1),
    groups: int | None = None,
    weight_type: IntType = INT8,
    output_type: IntType = UINT8,
    symmetric: bool = True,
    bias: bool | None = None,
    greatest_bias: int = 5000,
    per_channel: bool | None = None,
    rounding: Rounding | None = None,
    relu: bool | None = None,
    offsets: bool = False,
) -> tuple[Conv2d, Tensor]:
    """A convolution that reads the tensor ``x``; returns (layer, its output tensor).

    ``kernel`` is drawn to fit, ``stride`` equals the kernel, ``groups`` divides both channel
    counts.
    """
    channels = x.shape[2]
    kernel = _kernel_within(rng, x) if kernel is None else kernel
    stride = kernel if stride is None else stride
    if groups is None:
        groups = int(rng.choice([g for g in range(1, channels + 1) if channels % g == 0]))
    if out_channels is None:
        out_channels = groups * int(rng.integers(1, 4))
    extents = output_extents(x.shape, kernel, stride, padding, dilation)
    y = random_tensor(rng, f"{name}_out", (*extents, out_channels), output_type)
    has_bias = drawn(rng, bias)
    placeholder = Requant((1,), 0, Rounding.FLOOR, y.dtype.qmin, y.dtype.qmax)
    conv = Conv2d(
        name=name,
        input=x.name,
        output=y.name,
        weights=random_weights(
            rng, (out_channels, *kernel, channels // groups), weight_type, symmetric, per_channel
        ),
        bias=rng.integers(-greatest_bias, greatest_bias, out_channels) * has_bias,
        requant=placeholder,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )
    lo, hi = conv.sums_within(x.dtype.qmin, x.dtype.qmax, x.zero_point)
    requant = random_requant(
        rng,
        lo,
        hi,
        y,
        rounding=rounding,
        per_channel=per_channel,
        relu=relu,
        offsets=int(rng.choice([1, out_channels])) if offsets else 0,
    )
    return replace(conv, requant=requant), y


def _kernel_within(rng: Rng, x: Tensor) -> Pair:
    tall, wide = (int(rng.integers(1, min(extent, 5) + 1)) for extent in x.shape[:2])
    return tall, wide


def argmax_of(x: Tensor) -> tuple[Argmax, Tensor]:
    """An argmax over the channels of one position; returns (layer, its output tensor)."""
    index = IntType(max(1, (x.shape[2] - 1).bit_length()), signed=False)
    return Argmax("argmax", x.name, "class"), Tensor("class", (1, 1, 1), index, 1.0, 0)


def random_window(rng: Rng, height: int, width: int) -> dict[str, Any]:
    """Any kernel, stride, padding and dilation that fit a map, as arguments of random_conv."""
    axes = []
    for extent in (height, width):
        before, after = (int(pad) for pad in rng.integers(0, 3, 2))
        kernel = int(rng.integers(1, min(extent + before + after, 5) + 1))
        reach = (extent + before + after - 1) // max(kernel - 1, 1)
        dilation = int(rng.integers(1, min(max(reach, 1), 3) + 1))
        axes.append((kernel, int(rng.integers(1, 6)), before, after, dilation))
    (kh, sh, top, bottom, dh), (kw, sw, left, right, dw) = axes
    return {
        "kernel": (kh, kw),
        "stride": (sh, sw),
        "padding": (top, left, bottom, right),
        "dilation": (dh, dw),
    }


def network_of(
    x: Tensor, layers: Sequence[Layer], tensors: Sequence[Tensor], name: str = "net"
) -> QNetwork:
    """A network of the input ``x``, its layers and the tensors that they write."""
    return QNetwork(
        name=name,
        input=x.name,
        tensors={tensor.name: tensor for tensor in (x, *tensors)},
        layers=layers,
    )

"""Random integer networks for tests: legal by construction, and the same for the same generator.

Without further arguments everything suits the patch engine: kernel = stride, no padding, no
dilation. Each argument pins one choice; what is left open is drawn.
"""

from dataclasses import replace

import numpy as np
from tercet.model import QNetwork
from tercet.model.arith import Rounding
from tercet.model.conv import Conv2d, output_extent
from tercet.model.dtypes import IntType
from tercet.model.layers import Argmax, Tensor
from tercet.model.ranges import accumulator_bounds
from tercet.model.requant import Requant, fixed_point
from tercet.model.weights import Weights

UINT8 = IntType(8, signed=False)
INT8 = IntType(8, signed=True)
FIXED_POINT = [rule for rule in Rounding if rule is not Rounding.FLOAT32]  # they round once


def random_tensor(rng, name, shape, dtype=UINT8, zero_point=None):
    """A tensor with a drawn scale, and a drawn zero point where none is given."""
    if zero_point is None:
        zero_point = int(rng.integers(dtype.qmin, dtype.qmax, endpoint=True))
    return Tensor(name, tuple(shape), dtype, float(rng.uniform(0.001, 2)), zero_point)


def random_images(rng, tensor, count):
    """Images for ``tensor``: one all minimum, one all maximum, the others uniform noise."""
    low, high = tensor.dtype.qmin, tensor.dtype.qmax
    images = rng.integers(low, high, (count, *tensor.shape), endpoint=True)
    images[:1] = low
    images[1:2] = high
    return images.astype(tensor.dtype.numpy)


def random_weights(rng, shape, dtype=INT8, symmetric=True, per_channel=None):
    """Weights (OC, KH, KW, IC / groups) over the whole range of their type."""
    count = shape[0] if _drawn(rng, per_channel) else 1
    zero_points = rng.integers(dtype.qmin, dtype.qmax, count, endpoint=True)
    return Weights(
        values=rng.integers(dtype.qmin, dtype.qmax, shape, endpoint=True),
        dtype=dtype,
        scales=tuple(rng.uniform(0.001, 0.1, count).tolist()),
        zero_points=(0,) if symmetric else tuple(zero_points.tolist()),
    )


def random_requant(rng, lo, hi, y, *, rounding=None, per_channel=None, relu=None):
    """A requantization that spreads accumulators in [lo, hi] over y's range and some beyond."""
    reach = np.maximum(np.maximum(np.abs(lo), np.abs(hi)), 1)
    if not _drawn(rng, per_channel):
        reach = reach.max(keepdims=True)
    scales = (y.dtype.qmax - y.dtype.qmin) * rng.uniform(0.5, 5, reach.shape) / reach
    try:
        multipliers, shift = fixed_point(scales.tolist(), bits=int(rng.integers(8, 32)))
    except ValueError:  # factors too far apart for few bits
        multipliers, shift = fixed_point([float(scales.max())], bits=16)
    return Requant(
        multipliers=multipliers,
        shift=shift,
        rounding=rng.choice(FIXED_POINT) if rounding is None else rounding,
        low=y.zero_point if _drawn(rng, relu) else y.dtype.qmin,
        high=y.dtype.qmax,
    )


def random_conv(
    rng,
    x,
    *,
    name="conv",
    out_channels=None,
    kernel=None,
    stride=None,
    padding=(0, 0, 0, 0),
    dilation=(1, 1),
    groups=None,
    weight_type=INT8,
    output_type=UINT8,
    symmetric=True,
    bias=None,
    per_channel=None,
    rounding=None,
    relu=None,
):
    """A convolution that reads the tensor ``x``; returns (layer, the tensor it writes).

    ``kernel`` is drawn to fit, ``stride`` is the kernel, ``groups`` divides both channel counts.
    """
    height, width, channels = x.shape
    if kernel is None:
        kernel = tuple(int(rng.integers(1, min(extent, 5) + 1)) for extent in (height, width))
    stride = kernel if stride is None else stride
    if groups is None:
        groups = int(rng.choice([g for g in range(1, channels + 1) if channels % g == 0]))
    if out_channels is None:
        out_channels = groups * int(rng.integers(1, 4))
    top, left, bottom, right = padding
    shape = (
        output_extent(height, kernel[0], stride[0], (top, bottom), dilation[0]),
        output_extent(width, kernel[1], stride[1], (left, right), dilation[1]),
        out_channels,
    )
    y = random_tensor(rng, f"{name}_out", shape, output_type)
    has_bias = _drawn(rng, bias)
    placeholder = Requant((1,), 0, Rounding.FLOOR, y.dtype.qmin, y.dtype.qmax)
    conv = Conv2d(
        name=name,
        input=x.name,
        output=y.name,
        weights=random_weights(
            rng, (out_channels, *kernel, channels // groups), weight_type, symmetric, per_channel
        ),
        bias=rng.integers(-5000, 5000, out_channels) * has_bias,
        requant=placeholder,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )
    lo, hi = accumulator_bounds(conv, x.dtype.qmin, x.dtype.qmax, x.zero_point)
    requant = random_requant(rng, lo, hi, y, rounding=rounding, per_channel=per_channel, relu=relu)
    return replace(conv, requant=requant), y


def random_window(rng, height, width):
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


def network_of(x, layers, tensors, name="net"):
    """A network over the input ``x``, its layers and the tensors that they write."""
    return QNetwork(
        name=name,
        input=x.name,
        tensors={tensor.name: tensor for tensor in (x, *tensors)},
        layers=layers,
    )


def random_network(rng, *, shape=None, depth=None, windows=False, argmax=None, **conv_arguments):
    """A chain of ``depth`` convolutions, closed by an argmax where ``argmax`` says so.

    ``windows`` draws any kernel, stride, padding and dilation instead of the patch engine's.
    ``conv_arguments`` go to every :func:`random_conv`. With an argmax the last kernel takes the
    whole map.
    """
    if shape is None:
        shape = (*(int(extent) for extent in rng.integers(1, 20, 2)), int(rng.integers(1, 5)))
    depth = int(rng.integers(1, 4)) if depth is None else depth
    closes = _drawn(rng, argmax)
    x = tensor = random_tensor(rng, "image", shape)
    layers, tensors = [], []
    for index in range(depth):
        height, width, _ = tensor.shape
        geometry = random_window(rng, height, width) if windows else {}
        if closes and index == depth - 1:
            geometry = {"kernel": (height, width)}
        conv, tensor = random_conv(rng, tensor, name=f"conv{index}", **(geometry | conv_arguments))
        layers.append(conv)
        tensors.append(tensor)
    if closes:
        index_type = IntType(max(1, (tensor.shape[2] - 1).bit_length()), signed=False)
        layers.append(Argmax("argmax", tensor.name, "class"))
        tensors.append(Tensor("class", (1, 1, 1), index_type, 1.0, 0))
    return network_of(x, layers, tensors)


def _drawn(rng, choice):
    """A choice that was made, or else the toss of a coin."""
    return bool(rng.integers(2)) if choice is None else choice

"""An exact decision: does DequantizeLinear -> Conv -> QuantizeLinear compute a layer's integers?

ONNX Runtime fuses the three into one node. It adds integers and requantizes them by
``references.REFERENCES["float32_half_even"]`` with the factor float32(float32(Sx * Sw) / Sy)
(sources: ``qlinearconv.cc``, ``quant_gemm.cc``, MLAS ``MlasRequantizeOutput``). The scales of the
tensors are given, but the weights' scales are free. This module searches a float32 for each channel
with which the fused node's staircase equals the layer's.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from ...dtypes import Bounds
from ...layers import Tensor
from ...layers.conv import Conv2d
from ...requant import MAX_MULTIPLIER, Requant, requantize
from ...requant.references import REFERENCES, Acc
from .exact import WeightedSum
from .nodes import Nodes

__all__ = ["NoScaleError", "fused", "weight_scales"]

Floats = npt.NDArray[np.float32]


class NoScaleError(ValueError):
    """The layer has no form DequantizeLinear -> Conv -> QuantizeLinear, for the given reason."""


def weight_scales(conv: Conv2d, x: Tensor, y: Tensor, reach: Bounds) -> Floats:
    """Find the weights' scales with which a fused node equals ``conv`` on all its accumulators.

    Parameters
    ----------
    x, y : the tensors read and written
    reach : the least and greatest accumulator of each output channel

    Returns float32 (1,) or (OC,). Raises NoScaleError if there are none, or if ONNX Runtime would
    not fuse the nodes.
    """
    for tensor in (x, y):
        if tensor.dtype.numpy != np.uint8:
            raise NoScaleError(f"{tensor.name} is {tensor.dtype}; only unsigned 8 bits are fused")
    if len(set(conv.weights.zero_points)) > 1:
        raise NoScaleError("the zero points of the weights differ")
    with np.errstate(over="ignore", under="ignore"):
        scales = np.array([x.scale, y.scale], dtype=np.float32)
    if not (np.isfinite(scales) & (scales >= np.finfo(np.float32).tiny)).all():
        raise NoScaleError("the scale of a tensor is no normal float32")
    acc = _checkpoints(conv.requant, y.zero_point, reach)
    expected = requantize(acc, conv.requant, y.zero_point)
    return _search(conv, y, scales, acc, expected)


def _checkpoints(requant: Requant, zero_point: int, reach: Bounds) -> Acc:
    """The accumulators on which two monotone staircases must agree to be equal, int64 (K, OC).

    For each output above the least, these are the least accumulator that reaches it and the one
    before. Between two such pairs the layer's output is constant, and so is that of any monotone
    rule that agrees at both ends. Below the first and above the last the clamp decides for both. If
    an output is reached from the start, or never, the least or greatest accumulator is used.
    """
    lo, hi = reach
    outputs = np.arange(requant.low + 1, requant.high + 1, dtype=np.int64)[:, None]
    left = np.broadcast_to(lo, (len(outputs), len(lo)))
    right = np.broadcast_to(hi, left.shape)
    while (left < right).any():
        middle = (left + right) >> 1
        reached = requantize(middle, requant, zero_point) >= outputs
        left, right = np.where(reached, left, middle + 1), np.where(reached, middle, right)
    return np.concatenate([left, np.maximum(left - 1, lo)])


def _search(conv: Conv2d, y: Tensor, scales: Floats, acc: Acc, expected: Acc) -> Floats:
    """One scale for all channels if M and Sw are shared and there is one, else one per channel."""
    own = np.array(conv.weights.scales, dtype=np.float64)
    if len(own) == len(conv.requant.multipliers) == 1:
        found = _scale(conv, y, scales, 0, acc.ravel(), expected.ravel())
        if found is not None:
            return np.array([found], dtype=np.float32)
    every = []
    for channel in range(conv.out_channels):
        found = _scale(conv, y, scales, channel, acc[:, channel], expected[:, channel])
        if found is None:
            raise NoScaleError(f"no float32 scale gives channel {channel} the same integers")
        every.append(found)
    return np.array(every, dtype=np.float32)


def _scale(
    conv: Conv2d, y: Tensor, scales: Floats, channel: int, acc: Acc, expected: Acc
) -> np.float32 | None:
    """A scale of one channel's weights that gives ``expected``; None if there is none.

    The first candidates are the layer's own scale and the one that corresponds to M / 2**n. Then
    follows a bisection over all float32, since |output - Zy| grows with the scale. Too small an
    output somewhere needs a greater scale, too large an output somewhere a smaller one. If both
    occur, no scale works.
    """
    usable = np.finfo(np.float32)
    low, high = (int(end.view(np.int32)) for end in (usable.tiny, usable.max))
    first = [int(scale.view(np.int32)) for scale in _likely(conv, scales, channel)]
    while low <= high:
        bits = first.pop(0) if first else (low + high) // 2
        scale = np.int32(bits).view(np.float32)
        little, much = _misses(conv, y, scales, scale, acc, expected)
        if not little and not much:
            return scale
        low = max(low, bits + 1) if little else low
        high = min(high, bits - 1) if much else high
    return None


def _misses(
    conv: Conv2d, y: Tensor, scales: Floats, scale: np.float32, acc: Acc, expected: Acc
) -> tuple[bool, bool]:
    """Whether a fused node gives too small, and too large, values of |output - Zy|."""
    with np.errstate(over="ignore", under="ignore"):
        product = scales[0] * scale
        factor = product / scales[1]
    little = min(product, factor) < np.finfo(np.float32).tiny
    much = not np.isfinite(product) or factor > MAX_MULTIPLIER
    if little or much:
        return bool(little), bool(much)
    rule, clamp = REFERENCES["float32_half_even"], (conv.requant.low, conv.requant.high)
    got = rule(acc, Fraction(float(factor)), y.zero_point, *clamp, 0.0)
    error = got - expected
    at_zero = bool(error[acc == 0].any())  # a scale cannot change the output there
    outward = error * np.sign(acc)
    return at_zero or bool((outward < 0).any()), at_zero or bool((outward > 0).any())


def _likely(conv: Conv2d, scales: Floats, channel: int) -> list[np.float32]:
    """The channel's own scale, and the float32 nearest to the one that corresponds to M / 2**n."""
    own = conv.weights.scales
    multiplier = conv.requant.per_channel(conv.out_channels)[channel]
    factor = Fraction(multiplier, 1 << conv.requant.shift)
    ratio = Fraction(float(scales[1])) / Fraction(float(scales[0]))
    with np.errstate(over="ignore", under="ignore"):
        return [
            np.float32(own[channel if len(own) > 1 else 0]),
            np.float32(float(factor * ratio)),
        ]


def fused(nodes: Nodes, total: WeightedSum, requant: Requant, scales: Floats, axes: int) -> None:
    """A layer as DequantizeLinear -> Conv or Gemm -> QuantizeLinear, with a Clip if it clamps."""
    x, y = nodes.network.tensors[nodes.layer.input], nodes.y
    sx, one = np.float32(x.scale), len(scales) == 1
    axis = {} if one else {"axis": 0}

    def spread(values: Any) -> Any:
        return values[0] if one else values

    dtype = total.weights.dtype
    w = [
        nodes.constant("weights", total.weights, dtype),
        nodes.constant("weight_scales", spread(scales), np.float32),
        nodes.constant("weight_zero_points", spread(total.zero_points), dtype),
    ]
    inputs = [
        nodes.node("DequantizeLinear", _quantized(nodes, nodes.read(x.name, axes), x, "x"), "x"),
        nodes.node("DequantizeLinear", w, "w", **axis),
    ]
    if total.bias.any():
        b = [
            nodes.constant("bias", total.bias, np.int32),
            nodes.constant("bias_scales", spread(sx * scales), np.float32),
        ]
        inputs.append(nodes.node("DequantizeLinear", b, "b", **axis))
    value = nodes.node(total.operator, inputs, "real", **total.attributes)
    value = nodes.node("QuantizeLinear", _quantized(nodes, value, y, "y"), "y")
    container = np.iinfo(y.dtype.numpy)
    if (requant.low, requant.high) != (container.min, container.max):
        nodes.clip(value, requant.low, requant.high)
    nodes.shape_output(axes)


def _quantized(nodes: Nodes, value: str, tensor: Tensor, what: str) -> list[str]:
    """The inputs of a (De)QuantizeLinear between ``value`` and the type of ``tensor``."""
    return [
        value,
        nodes.constant(f"{what}_scale", tensor.scale, np.float32),
        nodes.constant(f"{what}_zero_point", tensor.zero_point, tensor.dtype.numpy),
    ]

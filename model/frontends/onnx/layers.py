"""ONNX operators as layers of an integer network.

``arithmetic.py`` has the arithmetic of each operator; ``ordered.py`` keeps ONNX's axis order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...builder import Grid, Window
from ...dtypes import Array, Integers
from ...float.ptq.seen import Seen
from ...layers.weights import Weights
from ...ordered import Ordered, OrderedBuilder
from .arithmetic import added, averaged, multiplied, pooled, requantized
from .graph import Node
from .values import Constant, Result

__all__ = [
    "OnnxLayers",
    "pool_kernel",
    "require_plain",
    "require_spatial",
    "whole",
    "window",
]

Bias = Array | Constant | None
MAX_WINDOW = 1 << 16  # positions of a pool


class OnnxLayers:
    """Adds the layers of ONNX operators to a builder.

    inexact : whether to accept ties that depend on float rounding errors
    """

    def __init__(self, builder: OrderedBuilder, inexact: bool) -> None:
        self.builder = builder
        self.inexact = inexact

    def conv(self, node: Node, x: Ordered, w: Constant, bias: Bias, y: Result) -> Ordered:
        """A convolution."""
        if w.values.ndim != 4:
            raise node.refuse(
                f"weights have {w.values.ndim} axes", "use a 2-d convolution (OC, IC, KH, KW)"
            )
        weights = w.per_channel(node, 0, w.values.transpose(0, 2, 3, 1))
        _require_types(node, x, weights, y.grid)
        kernel = (w.values.shape[2], w.values.shape[3])
        node.require("kernel_shape", list(kernel), "export again")
        return self.builder.conv2d(
            y.name,
            x,
            weights,
            _bias(node, x, weights, bias),
            y.by(multiplied(x.tensor, weights, y.grid)),
            window=window(node, x, kernel),
            groups=node.integer("group", 1),
        )

    def linear(self, node: Node, x: Ordered, w: Constant, bias: Bias, y: Result) -> Ordered:
        """A fully connected layer: Gemm or MatMul."""
        require_plain(node)
        if w.values.ndim != 2:
            raise node.refuse(f"weights have {w.values.ndim} axes", "use a matrix of weights")
        transposed = node.integer("transB", 0) != 0
        values = w.values if transposed else w.values.T
        if x.dims != values.shape[1:]:
            reason = f"weights read {values.shape[1]} values, there are {list(x.dims)}"
            raise node.refuse(reason, "put a Flatten before it, or export the model again")
        weights = w.per_channel(node, 0 if transposed else 1, values[:, None, None])
        _require_types(node, x, weights, y.grid)
        output = y.by(multiplied(x.tensor, weights, y.grid))
        return self.builder.linear(y.name, x, weights, _bias(node, x, weights, bias), output)

    def add(self, node: Node, a: Ordered, b: Ordered, y: Result) -> Ordered:
        """The sum of two tensors of the same shape."""
        if a.dims != b.dims:
            reason = f"its inputs have the shapes {list(a.dims)} and {list(b.dims)}"
            raise node.refuse(reason, "broadcast before the model is exported")
        if not a.tensor.dtype == b.tensor.dtype == y.grid.dtype:
            types = f"{a.tensor.dtype}, {b.tensor.dtype} and {y.grid.dtype}"
            raise node.refuse(f"inputs and output are {types}", "quantize them to one type")
        return self.builder.add(y.name, a, b, y.by(added(self.inexact)))

    def average_pool(self, node: Node, x: Ordered, y: Result) -> Ordered:
        """An average pool; padding, if any, counts."""
        kernel = pool_kernel(node)
        frame = window(node, x, kernel)
        if any(frame.padding) and node.integer("count_include_pad", 0) != 1:
            reason = "padding that does not count divides by another number at the border"
            raise node.refuse(reason, "set count_include_pad=1, or pad with a Conv before it")
        return self.builder.avg_pool2d(y.name, x, kernel, frame, y.by(pooled(self.inexact)))

    def global_average_pool(self, node: Node, x: Ordered, y: Result) -> Ordered:
        """The average of each channel, with an integer sum."""
        node.require("channels_last", 0, "export it channels first")
        return self.builder.avg_pool2d(y.name, x, whole(node, x), Window(), y.by(averaged))

    def reduce_mean(self, node: Node, x: Ordered, axes: Sequence[int], y: Result) -> Ordered:
        """The average of each channel, with a float sum."""
        require_spatial(node, x, axes)
        output = y.by(pooled(self.inexact))
        made = self.builder.avg_pool2d(y.name, x, whole(node, x), Window(), output)
        return made if node.integer("keepdims", 1) else made.reshaped((-1,), y.name)

    def max_pool(self, node: Node, name: str, x: Ordered) -> Ordered:
        """A maximum pool."""
        kernel = pool_kernel(node)
        return self.builder.max_pool2d(name, x, kernel, window(node, x, kernel))

    def requantize(self, x: Ordered, y: Result) -> Ordered:
        """Requantize to another grid, or clamp if the grid is the same."""
        if y.grid == x.grid:
            return self.builder.relu(y.name, x, *y.ends)
        return self.builder.requantize(y.name, x, y.by(requantized))


def require_plain(node: Node) -> None:
    """Refuse a Gemm that scales, or that transposes its input."""
    node.require("alpha", 1.0, "fold it into the weights")
    node.require("beta", 1.0, "fold it into the bias")
    node.require("transA", 0, "transpose the weights instead")


def _require_types(node: Node, x: Ordered, weights: Weights, grid: Grid) -> None:
    """Refuse type combinations that ONNX Runtime computes in floats or not at all."""
    if x.tensor.dtype != grid.dtype or (x.tensor.dtype.signed and not weights.dtype.signed):
        types = f"{x.tensor.dtype}, {weights.dtype} and {grid.dtype}"
        raise node.refuse(
            f"input, weights and output are {types}",
            "give input and output one type, int8 activations int8 weights",
        )


def _bias(node: Node, x: Ordered, weights: Weights, bias: Bias) -> Integers:
    channels = len(weights.values)
    if bias is None:
        return np.zeros(channels, np.int64)
    values = bias.as_bias(node, x, weights) if isinstance(bias, Constant) else bias
    if values.dtype != np.int32 or values.shape != (channels,):
        reason = f"the bias is {values.dtype} with the extents {list(values.shape)}"
        raise node.refuse(reason, f"use int32 ({channels},)")
    return values.astype(np.int64)


def _extents(node: Node, x: Ordered | Seen) -> tuple[int, int]:
    """Rows and columns of a map. Raises NetworkError if the tensor is no map."""
    if len(x.dims) != 3:
        raise node.refuse("its input is flat", "put it before the Flatten")
    return x.dims[1], x.dims[2]


def require_spatial(node: Node, x: Ordered | Seen, axes: Sequence[int]) -> None:
    """Refuse axes other than rows and columns of a map."""
    if len(x.dims) != 3 or sorted(axis % 4 for axis in axes) != [2, 3]:
        raise node.refuse(f"axes are {list(axes)}", "average over height and width, [2, 3]")


def whole(node: Node, x: Ordered | Seen) -> tuple[int, int]:
    """Rows and columns of a map, as the kernel of an average over all of them."""
    height, width = _extents(node, x)
    if height * width > MAX_WINDOW:
        reason = f"an average of {height * width} positions is too large"
        raise node.refuse(reason, f"average at most {MAX_WINDOW}")
    return height, width


def pool_kernel(node: Node) -> tuple[int, int]:
    """Rows and columns of a pool; unusual attributes are refused."""
    node.require("dilations", [1, 1], "use a pool without dilation")
    node.require("storage_order", 0, "leave it out")
    if len(node.outputs) > 1:
        raise node.refuse("indices of the maximum are not supported", "leave the output out")
    height, width = node.integers("kernel_shape", (0, 0))
    if min(height, width) < 1 or height * width > MAX_WINDOW:
        reason = f"kernel_shape is {[height, width]}"
        raise node.refuse(reason, f"pool 1 to {MAX_WINDOW} positions")
    return height, width


def window(node: Node, x: Ordered | Seen, kernel: tuple[int, ...]) -> Window:
    """Strides, pads (top, left, bottom, right, as in ONNX) and dilations of a node.

    Raises NetworkError if ceil_mode would add a window.
    """
    strides = node.integers("strides", (1, 1))
    dilations = node.integers("dilations", (1, 1))
    if min(*strides, *dilations) < 1:
        reason = f"strides {list(strides)} and dilations {list(dilations)} must be at least 1"
        raise node.refuse(reason, "export the model again")
    top, left, bottom, right = node.integers("pads", (0, 0, 0, 0))
    mode = node.attributes.get("auto_pad", b"NOTSET")
    if mode in (b"SAME_UPPER", b"SAME_LOWER"):
        sides = []
        for size, k, s, d in zip(_extents(node, x), kernel, strides, dilations, strict=True):
            total = max((-(-size // s) - 1) * s + d * (k - 1) + 1 - size, 0)
            sides.append((total // 2, total - total // 2))
        (top, bottom), (left, right) = (
            sides if mode == b"SAME_UPPER" else [side[::-1] for side in sides]
        )
    elif mode not in (b"NOTSET", b"VALID"):
        raise node.refuse(f"auto_pad is {mode!r}", "give explicit pads")
    elif mode == b"VALID":
        top = left = bottom = right = 0
    if node.integer("ceil_mode", 0):
        for size, pads, k, s in zip(
            _extents(node, x), (top + bottom, left + right), kernel, strides, strict=True
        ):
            if (size + pads - k) % s:
                reason = "ceil_mode adds a window that hangs over the map"
                raise node.refuse(reason, "set ceil_mode=0, or pad the map")
    return Window(
        (strides[0], strides[1]), (top, left, bottom, right), (dilations[0], dilations[1])
    )

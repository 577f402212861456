"""The ATen operators of float networks: each becomes a node of the float graph or is refused.

A reading function's parameters have the names of the operator's schema (``x`` for ``self`` and
``input``). :class:`Operator` must list the other arguments: those that change no value, and those
with one allowed value. Any other argument is refused, also one of another PyTorch version.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from ...builder import Window
from ..ptq import graph as g
from .arguments import Only, Operator, pair
from .program import Reader

__all__ = ["OPERATORS"]

Pads = tuple[int, int, int, int]  # top, left, bottom, right


def _padding(kernel: tuple[int, int], padding: Any, dilation: tuple[int, int]) -> Pads:
    """(top, left, bottom, right); "same" puts the odd row or column at the end, as PyTorch does."""
    if padding == "valid":
        return (0, 0, 0, 0)
    if padding == "same":
        whole = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        (top, left), (bottom, right) = [t // 2 for t in whole], [t - t // 2 for t in whole]
        return (top, left, bottom, right)
    y, x = pair(padding)
    return (y, x, y, x)


def _conv2d(
    reader: Reader,
    node: torch.fx.Node,
    x: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> None:
    values = reader.constant(weight, node)
    offsets = np.zeros(len(values)) if bias is None else reader.constant(bias, node)
    pads = _padding((values.shape[2], values.shape[3]), padding, pair(dilation))
    source = reader.map(x, node)
    reader.put(
        node,
        g.Conv(
            reader.layer_name(node),
            (source,),
            weight=values,
            bias=offsets,
            window=Window(pair(stride), pads, pair(dilation)),
            groups=groups,
        ),
    )


def _linear(reader: Reader, node: torch.fx.Node, x: Any, weight: Any, bias: Any) -> None:
    values = reader.constant(weight, node)
    offsets = np.zeros(len(values)) if bias is None else reader.constant(bias, node)
    inputs = (reader.vector(x, node),)
    reader.put(node, g.Linear(reader.layer_name(node), inputs, weight=values, bias=offsets))


def _batch_norm(
    reader: Reader,
    node: torch.fx.Node,
    x: Any,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    momentum: float,
    eps: float,
) -> None:
    if running_mean is None or running_var is None:
        reason = "batch_norm without running statistics depends on the batch"
        raise reader.refuse(node, reason, "build it with track_running_stats=True")
    means, variances = reader.constant(running_mean, node), reader.constant(running_var, node)
    source = reader.whole(x, node)
    reader.put(
        node,
        g.Norm(
            reader.layer_name(node),
            (source,),
            gamma=np.ones(len(means)) if weight is None else reader.constant(weight, node),
            beta=np.zeros(len(means)) if bias is None else reader.constant(bias, node),
            mean=means,
            var=variances,
            eps=eps,
            momentum=momentum,
        ),
    )


def _clip(reader: Reader, node: torch.fx.Node, x: Any, low: Any, high: Any) -> None:
    least = -math.inf if low is None else float(low)
    most = math.inf if high is None else float(high)
    reader.put_clip(node, x, (least, most), "use ReLU or ReLU6")


def _named(name: str) -> Operator:
    """A function of one value without parameters."""
    return Operator(lambda reader, node, x: reader.put_function(node, x, name))


def _leaky_relu(reader: Reader, node: torch.fx.Node, x: Any, negative_slope: Any) -> None:
    reader.put_leaky(node, x, negative_slope)


def _prelu(reader: Reader, node: torch.fx.Node, x: Any, weight: Any) -> None:
    slopes = reader.constant(weight, node)
    if len(set(slopes.ravel().tolist())) != 1:
        reason = f"its {slopes.size} channels have slopes of their own"
        raise reader.refuse(node, reason, "train nn.PReLU() with one slope, num_parameters=1")
    reader.put_leaky(node, x, float(slopes.flat[0]))


def _gelu(reader: Reader, node: torch.fx.Node, x: Any, approximate: str) -> None:
    reader.put_function(node, x, "gelu" if approximate == "none" else "gelu_tanh")


def _elu(reader: Reader, node: torch.fx.Node, x: Any, alpha: Any) -> None:
    reader.put_function(node, x, "elu", alpha)


def _upsample(reader: Reader, node: torch.fx.Node, x: Any, exact: bool) -> None:
    """Nearest-neighbour upsampling; torch.export has computed the extents of the output."""
    source = reader.map(x, node)
    before, after = reader.shapes[source][1:], reader.extents(node)[1:]
    for size, wanted in zip(before, after, strict=True):
        places = torch.arange(size, dtype=torch.float64).reshape(1, 1, size)
        mode = "nearest-exact" if exact else "nearest"
        found = functional.interpolate(places, size=wanted, mode=mode).reshape(-1)
        if wanted % size or not torch.equal(found, places[0, 0].repeat_interleave(wanted // size)):
            reason = f"it upsamples {list(before)} to {list(after)}"
            raise reader.refuse(node, reason, "upsample by an integer, such as scale_factor=2")
    factor = (after[0] // before[0], after[1] // before[1])
    reader.put(node, g.Upsample(reader.layer_name(node), (source,), factor=factor))


def _window(
    reader: Reader,
    node: torch.fx.Node,
    kernel: tuple[int, int],
    stride: Any,
    padding: Any,
    ceil_mode: bool,
) -> Window:
    """The geometry of a pool. Raises NetworkError if ceil_mode adds a row or a column."""
    window = Window(pair(stride or kernel), _padding(kernel, padding, (1, 1)))
    channels, height, width = reader.extents(node)
    before = reader.shapes[reader.map(node.args[0], node)]
    if ceil_mode and window.extents((before[1], before[2], channels), kernel) != (height, width):
        reason = "ceil_mode=True adds a window that hangs over the map"
        raise reader.refuse(node, reason, "set ceil_mode=False, or pad the map")
    return window


def _max_pool2d(
    reader: Reader,
    node: torch.fx.Node,
    x: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
) -> None:
    if pair(dilation) != (1, 1):
        reason = f"max_pool2d with dilation {list(pair(dilation))} is not supported"
        raise reader.refuse(node, reason, "use dilation=1")
    source, kernel = reader.map(x, node), pair(kernel_size)
    window = _window(reader, node, kernel, stride, padding, ceil_mode)
    reader.put(node, g.MaxPool(reader.layer_name(node), (source,), kernel=kernel, window=window))


def _avg_pool2d(
    reader: Reader,
    node: torch.fx.Node,
    x: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> None:
    source, kernel = reader.map(x, node), pair(kernel_size)
    if divisor_override not in (None, kernel[0] * kernel[1]):
        reason = f"avg_pool2d with divisor_override={divisor_override} is not supported"
        raise reader.refuse(node, reason, "leave it out")
    if any(pair(padding)) and not count_include_pad:
        reason = "avg_pool2d with padding and count_include_pad=False divides by less at the border"
        raise reader.refuse(node, reason, "set count_include_pad=True or padding=0")
    window = _window(reader, node, kernel, stride, padding, ceil_mode)
    reader.put(node, g.AvgPool(reader.layer_name(node), (source,), kernel=kernel, window=window))


def _adaptive_avg_pool2d(reader: Reader, node: torch.fx.Node, x: Any, output_size: Any) -> None:
    source = reader.map(x, node)
    _, *extents = reader.shapes[source]
    counts = pair(output_size)
    if any(extent % count for extent, count in zip(extents, counts, strict=True)):
        reason = f"it pools {extents} to {list(counts)}, by windows of several sizes"
        raise reader.refuse(node, reason, "pool to numbers that divide these, or use avg_pool2d")
    kernel = (extents[0] // counts[0], extents[1] // counts[1])
    window = Window() if counts == (1, 1) else Window(stride=kernel)
    reader.put(node, g.AvgPool(reader.layer_name(node), (source,), kernel=kernel, window=window))


def _mean(reader: Reader, node: torch.fx.Node, x: Any, dim: Any) -> None:
    rank = len(reader.seen(x, node).dims) + 1
    if rank != 4 or {axis % rank for axis in dim or ()} != {2, 3}:
        raise reader.refuse(node, "mean is supported over rows and columns alone", "use dim=(2, 3)")
    source = reader.map(x, node)
    _, height, width = reader.shapes[source]
    pool = g.AvgPool(reader.layer_name(node), (source,), kernel=(height, width), window=Window())
    reader.put(node, pool)


def _add(reader: Reader, node: torch.fx.Node, x: Any, other: Any) -> None:
    reader.put_sum(node, x, other)


def _cat(reader: Reader, node: torch.fx.Node, tensors: Any, dim: int) -> None:
    rank = len(node.meta["val"].shape)
    if dim % rank != 1:
        reason = f"cat along dimension {dim} is not supported"
        raise reader.refuse(node, reason, "concatenate channels, dim=1")
    if len(tensors) == 1:
        reader.same(node, tensors[0])
    else:
        inputs = tuple(reader.whole(part, node) for part in tensors)
        reader.put(node, g.Concat(reader.layer_name(node), inputs))


def _reshape(reader: Reader, node: torch.fx.Node, x: Any) -> None:
    """A reshape: torch.export has computed its extents, and the raster order stays."""
    places = reader.seen(x, node).places
    extents = reader.extents(node)
    if math.prod(extents) != places.size:
        reason = f"it reshapes {list(places.shape)} to {list(extents)}, across images"
        raise reader.refuse(node, reason, "keep axis 0, such as by flatten(1)")
    reader.move(node, x, places.reshape(extents))


def _permute(reader: Reader, node: torch.fx.Node, x: Any, dims: Any) -> None:
    places = reader.seen(x, node).places
    rank = places.ndim + 1
    batch, *axes = (axis % rank for axis in dims)
    if batch != 0:
        reason = f"it permutes the axes to {list(dims)}, the batch among them"
        raise reader.refuse(node, reason, "keep axis 0 where it is")
    reader.move(node, x, places.transpose([axis - 1 for axis in axes]))


def _transpose(reader: Reader, node: torch.fx.Node, x: Any, dim0: int, dim1: int) -> None:
    axes = list(range(reader.seen(x, node).places.ndim + 1))
    axes[dim0], axes[dim1] = axes[dim1], axes[dim0]
    _permute(reader, node, x, axes)


def _pad(reader: Reader, node: torch.fx.Node, x: Any, pad: Any) -> None:
    if any(pad):
        reason = f"it pads by {list(pad)} on its own"
        raise reader.refuse(node, reason, "pad in the convolution or pool after it")
    reader.same(node, x)


def _dropout(reader: Reader, node: torch.fx.Node, x: Any, p: float, train: bool) -> None:
    if train and p > 0:
        reason = "it drops values at random, as in training"
        way_out = "pass training=self.training, or call move_exported_model_to_eval before PT2E"
        raise reader.refuse(node, reason, way_out)
    reader.same(node, x)


def _same(reader: Reader, node: torch.fx.Node, x: Any) -> None:
    reader.same(node, x)


def _by_shape(*names: str) -> Operator:
    """A reshape whose arguments (``names``) are implied by the shape of its output."""
    return Operator(_reshape, ignored=names)


MEMORY = ("memory_format",)  # the memory layout does not change values
UNLIKE_TRAINING = Only(False, "normalizes by the batch", "use nn.BatchNorm2d in evaluation mode")
PLAIN_SUM = Only(1, "is not supported", "use alpha=1")
PLAIN_ELU = Only(1, "is not supported", "use nn.ELU, and not SELU")

OPERATORS: Mapping[str, Operator] = {
    "conv2d.default": Operator(_conv2d),
    "conv2d.padding": Operator(_conv2d),
    "linear.default": Operator(_linear),
    "batch_norm.default": Operator(
        _batch_norm, ignored=("cudnn_enabled",), only={"training": UNLIKE_TRAINING}
    ),
    "_native_batch_norm_legit_no_training.default": Operator(_batch_norm),
    "relu.default": Operator(partial(_clip, low=0.0, high=None)),
    "relu6.default": Operator(partial(_clip, low=0.0, high=6.0)),
    "hardtanh.default": Operator(_clip),
    "clamp.default": Operator(_clip),
    "clamp_min.default": Operator(partial(_clip, high=None)),
    "clamp_max.default": Operator(partial(_clip, low=None)),
    "leaky_relu.default": Operator(_leaky_relu),
    "prelu.default": Operator(_prelu),
    "_prelu_kernel.default": Operator(_prelu),
    "hardsigmoid.default": _named("hardsigmoid"),
    "hardswish.default": _named("hardswish"),
    "sigmoid.default": _named("sigmoid"),
    "tanh.default": _named("tanh"),
    "silu.default": _named("silu"),
    "gelu.default": Operator(_gelu),
    "elu.default": Operator(_elu, only={"scale": PLAIN_ELU, "input_scale": PLAIN_ELU}),
    "upsample_nearest2d.vec": Operator(
        partial(_upsample, exact=False), ignored=("output_size", "scale_factors")
    ),
    "upsample_nearest2d.default": Operator(
        partial(_upsample, exact=False), ignored=("output_size", "scales_h", "scales_w")
    ),
    "_upsample_nearest_exact2d.vec": Operator(
        partial(_upsample, exact=True), ignored=("output_size", "scale_factors")
    ),
    "max_pool2d.default": Operator(_max_pool2d),
    "avg_pool2d.default": Operator(_avg_pool2d),
    "adaptive_avg_pool2d.default": Operator(_adaptive_avg_pool2d),
    "mean.dim": Operator(
        _mean,
        ignored=("keepdim",),  # implied by the shape of the output
        only={"dtype": Only(None, "changes the type", "leave dtype out")},
    ),
    "add.Tensor": Operator(_add, only={"alpha": PLAIN_SUM}),
    "cat.default": Operator(_cat),
    "flatten.using_ints": _by_shape("start_dim", "end_dim"),
    "view.default": _by_shape("size"),
    "_unsafe_view.default": _by_shape("size"),
    "reshape.default": _by_shape("shape"),
    "unflatten.int": _by_shape("dim", "sizes"),
    "squeeze.default": _by_shape(),
    "squeeze.dim": _by_shape("dim"),
    "squeeze.dims": _by_shape("dim"),
    "unsqueeze.default": _by_shape("dim"),
    "permute.default": Operator(_permute),
    "transpose.int": Operator(_transpose),
    "swapaxes.default": Operator(_transpose),
    "pad.default": Operator(
        _pad,
        ignored=("mode", "value"),  # they have no effect if the padding is 0
    ),
    "dropout.default": Operator(_dropout),
    "feature_dropout.default": Operator(_dropout),
    "contiguous.default": Operator(_same, ignored=MEMORY),
    "clone.default": Operator(_same, ignored=MEMORY),
    "alias.default": Operator(_same),
    "detach.default": Operator(_same),
}

"""The ATen operators of float networks: each as a node of the float graph, or refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ..builder import Window
from ..float import graph as g
from .exported import Operator, Reader, pair

__all__ = ["OPERATORS"]

Pads = tuple[int, int, int, int]  # top, left, bottom, right


def _padding(kernel: tuple[int, int], padding: Any, dilation: tuple[int, int]) -> Pads:
    """(top, left, bottom, right); "same" puts the odd one at the end, as PyTorch does."""
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
    reader.put(
        node,
        g.Conv(
            reader.layer_name(node),
            (reader.source(x, node),),
            weight=values,
            bias=offsets,
            window=Window(pair(stride), pads, pair(dilation)),
            groups=groups,
        ),
    )


def _linear(reader: Reader, node: torch.fx.Node, x: Any, weight: Any, bias: Any) -> None:
    values = reader.constant(weight, node)
    offsets = np.zeros(len(values)) if bias is None else reader.constant(bias, node)
    inputs = (reader.source(x, node),)
    reader.put(node, g.Linear(reader.layer_name(node), inputs, weight=values, bias=offsets))


def _batch_norm(
    reader: Reader,
    node: torch.fx.Node,
    x: Any,
    weight: Any,
    bias: Any,
    mean: Any,
    var: Any,
    training: bool,
    momentum: float,
    eps: float,
    *_: Any,
) -> None:
    if mean is None or var is None:
        reason = "batch_norm without running statistics depends on the batch"
        raise reader.refuse(node, reason, "build it with track_running_stats=True")
    means, variances = reader.constant(mean, node), reader.constant(var, node)
    reader.put(
        node,
        g.Norm(
            reader.layer_name(node),
            (reader.source(x, node),),
            gamma=np.ones(len(means)) if weight is None else reader.constant(weight, node),
            beta=np.zeros(len(means)) if bias is None else reader.constant(bias, node),
            mean=means,
            var=variances,
            eps=eps,
            momentum=momentum,
        ),
    )


def _clip(low: float | None, high: float | None) -> Callable[..., None]:
    """An operator that clips, to what its arguments say where these ends are None."""

    def read(reader: Reader, node: torch.fx.Node, x: Any, *ends: Any) -> None:
        given = [low, high] if low is not None else list(ends[:2])
        least = -math.inf if given[0] is None else float(given[0])
        most = math.inf if given[1] is None else float(given[1])
        if not least <= 0 <= most or least == most:
            reason = f"it clips to [{least}, {most}], which does not hold 0 and more"
            raise reader.refuse(node, reason, "use ReLU or ReLU6")
        inputs = (reader.source(x, node),)
        reader.put(node, g.Activation(reader.layer_name(node), inputs, clip=(least, most)))

    return read


def _window(reader: Reader, node: torch.fx.Node, kernel: Any, stride: Any, padding: Any) -> Window:
    return Window(pair(stride or kernel), _padding(pair(kernel), padding, (1, 1)))


def _max_pool2d(
    reader: Reader,
    node: torch.fx.Node,
    x: Any,
    kernel: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
) -> None:
    if pair(dilation) != (1, 1) or ceil_mode:
        reason = "max_pool2d with dilation or ceil_mode is not supported"
        raise reader.refuse(node, reason, "drop it")
    window = _window(reader, node, kernel, stride, padding)
    inputs = (reader.source(x, node),)
    reader.put(node, g.MaxPool(reader.layer_name(node), inputs, kernel=pair(kernel), window=window))


def _avg_pool2d(
    reader: Reader,
    node: torch.fx.Node,
    x: Any,
    kernel: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: int | None,
) -> None:
    if ceil_mode or divisor is not None:
        reason = "avg_pool2d with ceil_mode or divisor_override is not supported"
        raise reader.refuse(node, reason, "drop it")
    if any(pair(padding)) and not count_include_pad:
        reason = "avg_pool2d with padding and count_include_pad=False divides by less at the border"
        raise reader.refuse(node, reason, "set count_include_pad=True or padding=0")
    window = _window(reader, node, kernel, stride, padding)
    inputs = (reader.source(x, node),)
    reader.put(node, g.AvgPool(reader.layer_name(node), inputs, kernel=pair(kernel), window=window))


def _global_avg_pool(reader: Reader, node: torch.fx.Node, x: Any) -> None:
    shape = x.meta["val"].shape
    reader.put(
        node,
        g.AvgPool(
            reader.layer_name(node),
            (reader.source(x, node),),
            kernel=(int(shape[2]), int(shape[3])),
            window=Window(),
        ),
    )


def _adaptive_avg_pool2d(reader: Reader, node: torch.fx.Node, x: Any, size: Any) -> None:
    if pair(size) != (1, 1):
        reason = f"adaptive_avg_pool2d to {list(size)} is not supported"
        raise reader.refuse(node, reason, "pool to one position, or use avg_pool2d")
    _global_avg_pool(reader, node, x)


def _mean(
    reader: Reader, node: torch.fx.Node, x: Any, axes: Any, keepdim: bool, dtype: Any
) -> None:
    rank = len(x.meta["val"].shape)
    if rank != 4 or {axis % rank for axis in axes or ()} != {2, 3} or dtype is not None:
        raise reader.refuse(node, "mean is supported over rows and columns alone", "use dim=(2, 3)")
    _global_avg_pool(reader, node, x)


def _add(reader: Reader, node: torch.fx.Node, a: Any, b: Any, alpha: Any = 1) -> None:
    if alpha != 1:
        raise reader.refuse(node, f"add with alpha={alpha} is not supported", "use alpha=1")
    inputs = (reader.source(a, node), reader.source(b, node))
    reader.put(node, g.Add(reader.layer_name(node), inputs))


def _cat(reader: Reader, node: torch.fx.Node, parts: Any, axis: int = 0) -> None:
    rank = len(node.meta["val"].shape)
    if axis % rank != 1:
        reason = f"cat along dimension {axis} is not supported"
        raise reader.refuse(node, reason, "concatenate channels, dim=1")
    inputs = tuple(reader.source(part, node) for part in parts)
    if len(inputs) == 1:
        reader.same(node, parts[0])
    else:
        reader.put(node, g.Concat(reader.layer_name(node), inputs))


def _reshape(reader: Reader, node: torch.fx.Node, x: Any, *_: Any) -> None:
    """Flattening behind the batch, by whatever operator; what changes nothing vanishes."""
    before, after = (tuple(int(n) for n in value.meta["val"].shape) for value in (x, node))
    if before == after or {math.prod(before[1:])} == {before[1], after[1]}:
        reader.same(node, x)  # (N, C), (N, C, 1, 1): one position either way
    elif after == (before[0], math.prod(before[1:])):
        reader.put(node, g.Flatten(reader.layer_name(node), (reader.source(x, node),)))
    else:
        reason = f"it reshapes {list(before[1:])} to {list(after[1:])}"
        raise reader.refuse(node, reason, "only flatten everything behind the batch")


OPERATORS: dict[str, Operator] = {
    "conv2d.default": _conv2d,
    "conv2d.padding": _conv2d,
    "linear.default": _linear,
    "batch_norm.default": _batch_norm,
    "relu.default": _clip(0.0, math.inf),
    "relu_.default": _clip(0.0, math.inf),
    "relu6.default": _clip(0.0, 6.0),
    "hardtanh.default": _clip(None, None),
    "hardtanh_.default": _clip(None, None),
    "clamp.default": _clip(None, None),
    "clamp_min.default": lambda reader, node, x, low: _clip(None, None)(reader, node, x, low, None),
    "max_pool2d.default": _max_pool2d,
    "avg_pool2d.default": _avg_pool2d,
    "adaptive_avg_pool2d.default": _adaptive_avg_pool2d,
    "mean.dim": _mean,
    "add.Tensor": _add,
    "add_.Tensor": _add,
    "cat.default": _cat,
    "flatten.using_ints": _reshape,
    "view.default": _reshape,
    "reshape.default": _reshape,
    "squeeze.dims": _reshape,
    "squeeze.dim": _reshape,
    "dropout.default": Reader.same,
    "dropout_.default": Reader.same,
    "feature_dropout.default": Reader.same,
    "contiguous.default": Reader.same,
    "clone.default": Reader.same,
    "alias.default": Reader.same,
    "detach.default": Reader.same,
}

"""Execution of a float graph in PyTorch, for calibration and for measuring quantization errors."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from ...builder import Grid
from . import graph as g
from .graph import Graph, Node
from .schemes import PIXELS

__all__ = ["apply", "batches", "trace"]

BATCH = 100  # images


def apply(node: Node, inputs: list[torch.Tensor]) -> torch.Tensor:
    """Run one node of a folded graph on tensors (N, C, H, W), including its clip."""
    x = inputs[0]
    if isinstance(node, g.Weighted):
        weight, bias = (torch.from_numpy(part).to(x.dtype) for part in node.folded())
        return clip(weighted(node, x, weight, bias), node.clip)
    if isinstance(node, g.Joining):
        return clip(joined(node, inputs), node.clip)
    return unweighted(node, x)


def joined(node: g.Joining, inputs: list[torch.Tensor]) -> torch.Tensor:
    """Run a node of several inputs, without its clip."""
    if isinstance(node, g.Concat):
        return torch.cat(inputs, 1)
    return inputs[0] + inputs[1]


def weighted(
    node: g.Weighted, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
) -> torch.Tensor:
    """Run a convolution or linear layer with the given weight and bias, without its clip."""
    if isinstance(node, g.Conv):
        window = node.window
        x = _pad(x, window.padding, 0.0)
        return functional.conv2d(
            x, weight, bias, window.stride, 0, window.dilation, groups=node.groups
        )
    return functional.linear(x.flatten(1), weight, bias)[:, :, None, None]


def unweighted(node: Node, x: torch.Tensor) -> torch.Tensor:
    """Run a node with one input and no weights."""
    if isinstance(node, g.MaxPool):
        x = _pad(x, node.window.padding, -torch.inf)
        return functional.max_pool2d(x, node.kernel, node.window.stride)
    if isinstance(node, g.AvgPool):
        return functional.avg_pool2d(
            _pad(x, node.window.padding, 0.0), node.kernel, node.window.stride
        )
    if isinstance(node, g.Activation):
        return clip(x, node.clip)
    if isinstance(node, g.Pointwise):
        return node.function.of_tensor(x)
    if isinstance(node, g.Upsample):
        rows, columns = node.factor
        return x.repeat_interleave(rows, 2).repeat_interleave(columns, 3)
    assert isinstance(node, g.View)
    return x.flatten(1)[:, torch.from_numpy(node.places.ravel())].unflatten(1, node.places.shape)


def clip(x: torch.Tensor, ends: tuple[float, float]) -> torch.Tensor:
    """Clip to ``ends``; an infinite end clips nothing."""
    if ends == (0, math.inf):
        return functional.relu(x)  # its gradient is cheaper
    return x if ends == g.NO_CLIP else x.clamp(*ends)


def _pad(x: torch.Tensor, padding: tuple[int, int, int, int], value: float) -> torch.Tensor:
    top, left, bottom, right = padding
    return functional.pad(x, (left, right, top, bottom), value=value) if any(padding) else x


def trace(graph: Graph, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Every tensor of a folded graph by name, (N, C, H, W), for images in real values."""
    values = {g.IMAGE: images}
    for node in graph.nodes:
        values[node.name] = apply(node, [values[name] for name in node.inputs])
    return values


def batches(
    graph: Graph, images: npt.NDArray[np.uint8], grid: Grid = PIXELS
) -> Iterator[tuple[npt.NDArray[np.uint8], dict[str, npt.NDArray[np.float64]]]]:
    """Run pixels through a folded graph in batches.

    Parameters
    ----------
    images : uint8 (N, H, W, C)
    grid : of the pixels

    Yields (images, every tensor by name as float64 (N, H, W, C)) for up to 100 images at a time.
    """
    with torch.no_grad():
        for start in range(0, len(images), BATCH):
            part = images[start : start + BATCH]
            levels = part.transpose(0, 3, 1, 2).astype(np.float64) - grid.zero_point
            real = torch.from_numpy(np.ascontiguousarray(levels) * grid.scale)
            traced = trace(graph, real)
            yield part, {name: y.permute(0, 2, 3, 1).numpy() for name, y in traced.items()}

"""Input normalization, (x - mean) / std, merged into the first layer, so that it reads raw pixels.

With x = p / 255 a normalized value is S * (p - 255 * mean), S = 1 / (255 * std). This is a grid,
except that a zero point must be an integer. The difference is constant over the map, so it is added
exactly to the bias of the first convolution. If that layer pads, its padding is the zero point
instead, and the difference, at most half a grey level, remains as a quantization error of the zero
point. Channels with different std get different weights. Channels with different means get
different additions to the bias; this is not possible together with padding.

Where it is not possible, or where something else than a convolution reads the image, the
normalization becomes a layer of its own: a depthwise 1x1 convolution, whose output is quantized as
that of any layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ...builder import Grid, Window
from ...layers import NetworkError
from ...names import free_name
from . import graph as g
from .schemes import PIXELS

__all__ = ["NAME", "normalized"]

LARGEST = 8  # mean and std of pixels 0..1 are far below, of pixels 0..255 above
NAME = "normalize"  # of the layer that normalizes, if there is one


def normalized(graph: g.Graph, mean: Sequence[float], std: Sequence[float]) -> tuple[g.Graph, Grid]:
    """Merge a normalization into a folded graph that takes normalized images.

    Parameters
    ----------
    mean, std : one number, or one per channel of the image; of pixels in 0..1

    Returns the graph for inputs (p - zero_point) * scale, and that grid of its image. Raises
    NetworkError for a std that is not positive.
    """
    means, stds = (_per_channel(graph, what, v) for what, v in (("mean", mean), ("std", std)))
    if not (np.isfinite(means).all() and np.isfinite(stds).all() and (stds > 0).all()):
        raise NetworkError(f"mean and std must be finite and std positive, not {mean} and {std}")
    if max(np.abs(means).max(), stds.max()) > LARGEST:
        raise NetworkError(
            f"mean and std are of pixels 0..1, at most {LARGEST}, not {mean} and {std}; divide "
            "those of pixels 0..255 by 255"
        )
    scale = 1 / (255 * stds.min())
    levels = 255 * means
    zero_point = min(max(round(float(levels.mean())), 0), 255)
    rest = zero_point - levels  # grey levels, (C,)
    first = [node for node in graph.nodes if g.IMAGE in node.inputs]
    absorbing = [node for node in first if isinstance(node, g.Conv) and _absorbs(node, rest)]
    if len(absorbing) < len(first):
        return _own_layer(graph, means, stds), PIXELS
    nodes = [
        _absorbed(node, stds.min() / stds, rest * scale) if node in absorbing else node
        for node in graph.nodes
    ]
    return g.Graph(graph.name, graph.shape, tuple(nodes)), Grid(PIXELS.dtype, scale, zero_point)


def _per_channel(graph: g.Graph, what: str, values: Sequence[float]) -> npt.NDArray[np.float64]:
    if len(values) not in (1, graph.shape[0]):
        raise NetworkError(
            f"{what} must be one number or {graph.shape[0]}, one per channel, not {len(values)}"
        )
    return np.broadcast_to(np.array(values, dtype=np.float64), (graph.shape[0],))


def _absorbs(node: g.Conv, rest: npt.NDArray[np.float64]) -> bool:
    """Whether a normalization can be merged into a convolution."""
    exact = not any(node.window.padding) or bool(np.abs(rest).max() <= 1 / 2)
    return node.groups in (1, len(rest)) and exact


def _own_layer(
    graph: g.Graph, means: npt.NDArray[np.float64], stds: npt.NDArray[np.float64]
) -> g.Graph:
    """The graph after a depthwise 1x1 convolution that normalizes pixels / 255."""
    name = free_name(NAME, {node.name for node in graph.nodes})
    weight = (1 / stds)[:, None, None, None]
    layer = g.Conv(
        name,
        (g.IMAGE,),
        weight=weight,
        bias=-means / stds,
        window=Window(),
        groups=len(stds),
    )
    renamed = [
        replace(node, inputs=tuple(name if each == g.IMAGE else each for each in node.inputs))
        for node in graph.nodes
    ]
    return g.Graph(graph.name, graph.shape, (layer, *renamed))


def _absorbed(node: g.Conv, gain: npt.NDArray[np.float64], rest: npt.NDArray[np.float64]) -> g.Conv:
    """A convolution of channels ``gain * (x + rest)``, rewritten as a convolution of x."""
    per_output = len(node.weight) // node.groups
    gains, rests = (
        values[None] if node.groups == 1 else np.repeat(values, per_output)[:, None]
        for values in (gain, rest)
    )  # (1 or OC, IC / groups)
    weight = node.weight * gains[:, :, None, None]
    if any(node.window.padding):
        return replace(node, weight=weight)
    bias = node.bias + (weight.sum(axis=(2, 3)) * rests).sum(axis=1)
    return replace(node, weight=weight, bias=bias)

"""Input normalization, (x - mean) / std, merged into the first layer, so that it reads raw pixels.

With x = p / 255 a normalized value is S * (p - 255 * mean), S = 1 / (255 * std). This is a grid,
except that a zero point must be an integer. The difference is constant over the map, so it is added
exactly to the bias of the first convolution. If that layer pads, its padding is the zero point
instead, and the difference, at most half a grey level, remains as a quantization error of the zero
point. Channels with different std get different weights. Channels with different means get
different additions to the bias; this is not possible together with padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ...builder import Grid
from ...layers import NetworkError
from . import graph as g
from .schemes import PIXELS

__all__ = ["normalized"]


def normalized(graph: g.Graph, mean: Sequence[float], std: Sequence[float]) -> tuple[g.Graph, Grid]:
    """Merge a normalization into a folded graph that takes normalized images.

    Parameters
    ----------
    mean, std : one number, or one per channel of the image; of pixels in 0..1

    Returns the graph for inputs (p - zero_point) * scale, and that grid of its image. Raises
    NetworkError for a std that is not positive, and if a node other than a convolution reads the
    image.
    """
    means, stds = (_per_channel(graph, what, v) for what, v in (("mean", mean), ("std", std)))
    if not (np.isfinite(means).all() and np.isfinite(stds).all() and (stds > 0).all()):
        raise NetworkError(f"mean and std must be finite and std positive, not {mean} and {std}")
    scale = 1 / (255 * stds.min())
    levels = 255 * means
    zero_point = min(max(round(float(levels.mean())), 0), 255)
    rest = zero_point - levels  # grey levels, (C,)
    nodes = [
        _absorbed(_absorbing(node, rest), stds.min() / stds, rest * scale)
        if g.IMAGE in node.inputs
        else node
        for node in graph.nodes
    ]
    return g.Graph(graph.name, graph.shape, tuple(nodes)), Grid(PIXELS.dtype, scale, zero_point)


def _per_channel(graph: g.Graph, what: str, values: Sequence[float]) -> npt.NDArray[np.float64]:
    if len(values) not in (1, graph.shape[0]):
        raise NetworkError(
            f"{what} must be one number or {graph.shape[0]}, one per channel, not {len(values)}"
        )
    return np.broadcast_to(np.array(values, dtype=np.float64), (graph.shape[0],))


def _absorbing(node: g.Node, rest: npt.NDArray[np.float64]) -> g.Conv:
    """The node, if a normalization can be merged into it. Raises NetworkError."""
    if not isinstance(node, g.Conv) or node.groups not in (1, len(rest)):
        raise NetworkError(
            f"Layer {node.name!r}: normalization needs a convolution that reads the image, of one "
            "group or depthwise; put one there, or normalize outside and leave mean and std out"
        )
    if any(node.window.padding) and np.abs(rest).max() > 1 / 2:
        raise NetworkError(
            f"Layer {node.name!r}: its padding needs channels of one mean, and theirs differ; "
            "train with one mean for all channels, or without padding in this layer"
        )
    return node


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

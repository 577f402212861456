"""Lowering: from a folded float graph, grids and integer weights to the integer network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ...builder import Grid, Output, Policy
from ...dtypes import Integers
from ...layers import in_layer
from ...layers.weights import Weights
from ...network import QNetwork
from ...ordered import Ordered, OrderedBuilder
from . import graph as g
from .functions import tabulate
from .graph import Graph, Node
from .weights import quantize_bias

__all__ = [
    "add_joined",
    "add_moved",
    "add_weighted",
    "clamp_of",
    "has_grid",
    "lower",
    "source_of",
]


def has_grid(node: Node) -> bool:
    """Whether a node's output has its own grid; other nodes keep their input's grid."""
    return isinstance(node, g.Weighted | g.Joining | g.AvgPool | g.Pointwise)


def source_of(graph: Graph, tensor: str) -> str:
    """The tensor whose grid ``tensor`` has: itself, or the source of pools, clips and moves."""
    while tensor in graph.by_name and not has_grid(graph.by_name[tensor]):
        (tensor,) = graph.by_name[tensor].inputs
    return tensor


def clamp_of(clip: tuple[float, float], grid: Grid) -> tuple[int, int]:
    """The clamp in integers for a clip of real values; its ends are rounded to the nearest."""
    low, high = grid.dtype.qmin, grid.dtype.qmax
    if clip[0] > -math.inf:
        low = max(low, grid.zero_point + round(clip[0] / grid.scale))
    if clip[1] < math.inf:
        high = min(high, grid.zero_point + round(clip[1] / grid.scale))
    return low, high


def lower(
    graph: Graph, grids: Mapping[str, Grid], weights: Mapping[str, Weights], rescale: Policy
) -> QNetwork:
    """Make the integer network.

    Parameters
    ----------
    graph : folded
    grids : of the image and of each node that has one, see :func:`has_grid`
    weights : by node, (OC, KH, KW, IC / groups), or (OC, 1, 1, IC) in PyTorch's order
    rescale : chooses M, n and the rounding of each layer

    Raises NetworkError, which names the layer, if something does not fit.
    """
    builder = OrderedBuilder(graph.name)
    tensors = {g.IMAGE: builder.input(graph.shape, grids[g.IMAGE])}

    def added(node: Node, inputs: list[Ordered]) -> Ordered:
        x = inputs[0]
        if isinstance(node, g.Activation):
            return builder.relu(node.name, x, *clamp_of(node.clip, x.grid))
        if not has_grid(node):
            return add_moved(builder, node, x)
        grid = grids[node.name]
        if isinstance(node, g.Pointwise):
            values, alone = (
                tabulate(node.function, x.grid, grid),
                graph.readers[node.inputs[0]] == 1,
            )
            return builder.table(node.name, x, values, grid, alone=alone)
        clip = node.clip if isinstance(node, g.Clipped) else g.NO_CLIP
        output = Output(grid, rescale, clamp_of(clip, grid))
        if not isinstance(node, g.Weighted):
            return add_joined(builder, node, inputs, output)
        bias = quantize_bias(node.bias, x.grid, weights[node.name])
        return add_weighted(builder, node, x, weights[node.name], bias, output)

    for node in graph.nodes:
        with in_layer(node.name):
            tensors[node.name] = added(node, [tensors[name] for name in node.inputs])
    return builder.network(tensors[graph.output])


def add_weighted(
    builder: OrderedBuilder,
    node: g.Weighted,
    x: Ordered,
    weights: Weights,
    bias: Integers,
    output: Output,
) -> Ordered:
    """Add a convolution or linear layer."""
    name = node.name
    if isinstance(node, g.Conv):
        window, groups = node.window, node.groups
        return builder.conv2d(name, x, weights, bias, output, window=window, groups=groups)
    y = builder.linear(name, x.reshaped((-1,), x.flat), weights, bias, output)
    return y.reshaped((-1, 1, 1), name)


def add_joined(
    builder: OrderedBuilder, node: Node, inputs: Sequence[Ordered], output: Output
) -> Ordered:
    """Add a concatenation, an addition or an average pool."""
    if isinstance(node, g.Concat):
        return builder.concat(node.name, inputs, output)
    if isinstance(node, g.Add):
        return builder.add(node.name, inputs[0], inputs[1], output)
    assert isinstance(node, g.AvgPool)
    return builder.avg_pool2d(node.name, inputs[0], node.kernel, node.window, output)


def add_moved(builder: OrderedBuilder, node: Node, x: Ordered) -> Ordered:
    """Add a layer whose values are those of its input, or record a View."""
    if isinstance(node, g.MaxPool):
        return builder.max_pool2d(node.name, x, node.kernel, node.window)
    if isinstance(node, g.Upsample):
        return builder.upsample(node.name, x, node.factor)
    assert isinstance(node, g.View)
    return x.seen(x.places.ravel()[node.places], node.name)

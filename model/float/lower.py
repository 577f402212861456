"""From a folded float graph, grids and integer weights to the integer network."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ..builder import Builder, Grid, Rescale
from ..layers import NetworkError, Tensor, in_layer
from ..network import QNetwork
from ..weights import Weights
from . import graph as g
from .graph import Graph, Node
from .schemes import quantize_bias

__all__ = ["clamp_of", "has_grid", "lower"]


def has_grid(node: Node) -> bool:
    """Whether a node's output has a scale of its own; the others pass their input's on."""
    return isinstance(node, g.Weighted | g.Joining | g.AvgPool)


def clamp_of(clip: tuple[float, float], grid: Grid) -> tuple[int, int]:
    """The integers that a clip of real values leaves, its ends rounded to the nearest."""
    low, high = grid.dtype.qmin, grid.dtype.qmax
    if clip[0] > -math.inf:
        low = max(low, grid.zero_point + round(clip[0] / grid.scale))
    if clip[1] < math.inf:
        high = min(high, grid.zero_point + round(clip[1] / grid.scale))
    return low, high


def lower(
    graph: Graph, grids: Mapping[str, Grid], weights: Mapping[str, Weights], rescale: Rescale
) -> QNetwork:
    """Make the integer network.

    Parameters
    ----------
    graph : folded
    grids : of the image and of each node that has one, see :func:`has_grid`
    weights : by node, (OC, KH, KW, IC / groups), or (OC, 1, 1, IC) in PyTorch's order
    rescale : finds M, n and the rounding of each layer

    Raises NetworkError that names the layer where something does not fit.
    """
    return _Lowering(graph, grids, weights, rescale).network()


class _Lowering:
    def __init__(
        self,
        graph: Graph,
        grids: Mapping[str, Grid],
        weights: Mapping[str, Weights],
        rescale: Rescale,
    ) -> None:
        self.graph, self.grids, self.weights, self.rescale = graph, grids, weights, rescale
        self.builder = Builder(graph.name)
        channels, height, width = graph.shape
        self.tensors = {g.IMAGE: self.builder.input((height, width, channels), grids[g.IMAGE])}
        # by flat tensor, where PyTorch has each of its values
        self.order: dict[str, npt.NDArray[np.int64]] = {}

    def network(self) -> QNetwork:
        for node in self.graph.nodes:
            inputs = [self.tensors[name] for name in node.inputs]
            with in_layer(node.name):
                self.tensors[node.name] = self._add(node, inputs)
            if any(name in self.order for name in node.inputs) and not isinstance(node, g.Weighted):
                self.order[node.name] = self._order_after(node, inputs)
        return self.builder.network()

    def _order_after(self, node: Node, inputs: list[Tensor]) -> npt.NDArray[np.int64]:
        """Where PyTorch has the values of a node that keeps them as they are, or joins them."""
        orders = [
            self.order.get(name, np.arange(x.shape[2]))
            for name, x in zip(node.inputs, inputs, strict=True)
        ]
        if not isinstance(node, g.Concat):
            if any(not np.array_equal(order, orders[0]) for order in orders[1:]):
                raise NetworkError(
                    f"Layer {node.name!r}: its inputs were flattened from different shapes; add "
                    "them before they are flattened"
                )
            return orders[0]
        starts = np.cumsum([0, *map(len, orders)])
        return np.concatenate([order + at for order, at in zip(orders, starts, strict=False)])

    def _add(self, node: Node, inputs: list[Tensor]) -> Tensor:
        x = inputs[0]
        if isinstance(node, g.Weighted):
            return self._weighted(node, x)
        if isinstance(node, g.Joining):
            grid = self.grids[node.name]
            clamp = clamp_of(node.clip, grid)
            if isinstance(node, g.Concat):
                return self.builder.concat(node.name, inputs, grid, self.rescale, clamp=clamp)
            return self.builder.add(node.name, x, inputs[1], grid, self.rescale, clamp=clamp)
        if isinstance(node, g.AvgPool):
            grid = self.grids[node.name]
            return self.builder.avg_pool2d(
                node.name, x, node.kernel, node.window, grid, self.rescale
            )
        if isinstance(node, g.MaxPool):
            return self.builder.max_pool2d(node.name, x, node.kernel, node.window)
        if isinstance(node, g.Activation):
            clamp = clamp_of(node.clip, Grid(x.dtype, x.scale, x.zero_point))
            return self.builder.relu(node.name, x, *clamp)
        assert isinstance(node, g.Flatten)
        height, width, channels = x.shape
        places = np.arange(math.prod(x.shape)).reshape(channels, height, width)
        self.order[node.name] = places.transpose(1, 2, 0).ravel()
        return self.builder.flatten(node.name, x)

    def _weighted(self, node: g.Weighted, x: Tensor) -> Tensor:
        grid, weights = self.grids[node.name], self.weights[node.name]
        bias = quantize_bias(node.bias, Grid(x.dtype, x.scale, x.zero_point), weights)
        clamp = clamp_of(node.clip, grid)
        if isinstance(node, g.Conv):
            return self.builder.conv2d(
                node.name,
                x,
                weights,
                bias,
                grid,
                self.rescale,
                window=node.window,
                groups=node.groups,
                clamp=clamp,
            )
        if node.inputs[0] in self.order:
            values = weights.values[..., self.order[node.inputs[0]]]
            weights = Weights(values, weights.dtype, weights.scales, weights.zero_points)
        return self.builder.linear(node.name, x, weights, bias, grid, self.rescale, clamp=clamp)

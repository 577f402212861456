"""What quantization did to each layer: ranges, scales, multipliers, and how much signal is left."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.table import Table

from ...builder import Grid
from ...layers import Requantizing
from ...layers.conv import Conv2d
from ...network import QNetwork
from . import graph as g
from .execute import batches
from .graph import Graph

__all__ = ["layer_facts", "layer_table"]


def _decibels(signal: float, noise: float) -> float | None:
    """Signal to quantization noise, dB; None where nothing is lost."""
    return float(10 * np.log10(signal / noise)) if signal and noise else None


class _Seen:
    """What one layer's float output was, and what its integers make of it."""

    def __init__(self) -> None:
        self.signal = self.noise = 0.0

    def update(self, exact: npt.NDArray[np.float64], values: npt.NDArray[np.float64]) -> None:
        self.signal += float((exact**2).sum())
        self.noise += float(((exact - values) ** 2).sum())


def layer_facts(
    network: QNetwork, graph: Graph, images: npt.NDArray[np.uint8]
) -> list[dict[str, Any]]:
    """Each requantizing layer's numbers, from running images (N, H, W, C) both ways.

    ``range`` is what the output's integers can stand for.

    graph : the folded graph that the network was made from; its tensors have the same names but
        for the last one's
    """
    seen: dict[str, _Seen] = defaultdict(_Seen)
    image = network.tensors[network.input]
    outputs = {layer.output: layer.name for layer in network.layers}
    grid = Grid(image.dtype, image.scale, image.zero_point)
    for part, floats in batches(graph, images, grid):
        for name, integers in network.trace(part).items():
            if outputs.get(name) in floats:
                tensor = network.tensors[name]
                real = (integers.astype(np.float64) - tensor.zero_point) * tensor.scale
                seen[name].update(floats[outputs[name]], real)
    nodes = {node.name: node for node in graph.nodes}
    return [
        _facts(network, layer, nodes[layer.name], seen[layer.output])
        for layer in network.layers
        if isinstance(layer, Requantizing)
    ]


def _facts(network: QNetwork, layer: Requantizing, node: g.Node, seen: _Seen) -> dict[str, Any]:
    tensor = network.tensors[layer.output]
    scale, zero_point = tensor.scale, tensor.zero_point
    facts: dict[str, Any] = {
        "layer": layer.name,
        "range": [scale * (end - zero_point) for end in (tensor.dtype.qmin, tensor.dtype.qmax)],
        "type": str(tensor.dtype),
        "scale": scale,
        "zero_point": zero_point,
        "weight_type": None,
        "weight_scales": [],
        "multipliers": list(layer.requant.multipliers),
        "shift": layer.requant.shift,
        "weight_sqnr_db": None,
        "activation_sqnr_db": _decibels(seen.signal, seen.noise),
    }
    if isinstance(layer, Conv2d) and isinstance(node, g.Weighted):
        facts["weight_type"] = str(layer.weights.dtype)
        facts["weight_scales"] = list(layer.weights.scales)
        facts["weight_sqnr_db"] = _weight_sqnr_db(layer, node)
    return facts


def _weight_sqnr_db(layer: Conv2d, node: g.Weighted) -> float | None:
    """Of a layer's weights; sorted, since a linear layer's stand in another order."""
    scales = np.array(layer.weights.scales).reshape(-1, 1, 1, 1)
    real = np.sort((layer.weights.centered * scales).reshape(len(scales), -1))
    exact = np.sort(node.weight.reshape(len(scales), -1))
    return _decibels(float((exact**2).sum()), float(((exact - real) ** 2).sum()))


def layer_table(layers: list[dict[str, Any]]) -> Table:
    """The facts of :func:`layer_facts` as a table."""
    table = Table()
    for title in ("layer", "range", "type", "scale", "zero point", "weights", "weight scale"):
        table.add_column(title, justify="left" if title in ("layer", "type") else "right")
    for title in ("M", "n", "weight SQNR, dB", "activation SQNR, dB"):
        table.add_column(title, justify="right")
    for facts in layers:
        low, high = facts["range"]
        table.add_row(
            facts["layer"],
            f"{low:.4g} .. {high:.4g}",
            facts["type"],
            f"{facts['scale']:.6g}",
            str(facts["zero_point"]),
            facts["weight_type"] or "",
            _span(facts["weight_scales"]),
            _span(facts["multipliers"]),
            str(facts["shift"]),
            _shown(facts["weight_sqnr_db"]) if facts["weight_type"] else "",
            _shown(facts["activation_sqnr_db"]),
        )
    return table


def _span(values: list[Any]) -> str:
    """Nothing, one value, or from the least to the greatest."""
    ends = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in sorted(values)]
    return " .. ".join(ends[:1] if len(ends) < 2 else [ends[0], ends[-1]])


def _shown(value: float | None) -> str:
    return "exact" if value is None else f"{value:.1f}"

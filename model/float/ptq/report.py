"""The report of a quantization by layer: ranges, scales, multipliers, signal-to-noise ratios."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import numpy.typing as npt

from ...builder import Grid
from ...layers import Requantizing
from ...layers.conv import Conv2d
from ...layers.table import Table as Lookup
from ...network import QNetwork
from . import graph as g
from .execute import batches
from .graph import Graph

__all__ = ["COLUMNS", "layer_facts", "layer_row"]


def _decibels(signal: float, noise: float) -> float | None:
    """The signal-to-quantization-noise ratio in dB; None if there is no noise."""
    return float(10 * np.log10(signal / noise)) if signal and noise else None


class _Seen:
    """The sums of squares of one layer's float output and of its quantization error."""

    def __init__(self) -> None:
        self.signal = self.noise = 0.0

    def update(self, exact: npt.NDArray[np.float64], values: npt.NDArray[np.float64]) -> None:
        self.signal += float((exact**2).sum())
        self.noise += float(((exact - values) ** 2).sum())


def layer_facts(
    network: QNetwork, graph: Graph, images: npt.NDArray[np.uint8]
) -> list[dict[str, Any]]:
    """The numbers of each layer that rounds, measured on images (N, H, W, C) in both networks.

    ``range`` is the range of real values that the output's integers can represent.

    graph : the folded graph from which the network was made; its tensors have the same names,
        except the last one
    """
    seen: dict[str, _Seen] = defaultdict(_Seen)
    image = network.tensors[network.input]
    outputs = {layer.output: layer.name for layer in network.layers}
    grid = Grid.of(image)
    for part, floats in batches(graph, images, grid):
        for name, integers in network.trace(part).items():
            if outputs.get(name) in floats:
                tensor = network.tensors[name]
                real = (integers.astype(np.float64) - tensor.zero_point) * tensor.scale
                seen[name].update(floats[outputs[name]], real)
    return [
        _facts(network, layer, graph.by_name[layer.name], seen[layer.output])
        for layer in network.layers
        if isinstance(layer, Requantizing | Lookup)
    ]


def _facts(
    network: QNetwork, layer: Requantizing | Lookup, node: g.Node, seen: _Seen
) -> dict[str, Any]:
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
        "multipliers": [],
        "shift": None,
        "weight_sqnr_db": None,
        "activation_sqnr_db": _decibels(seen.signal, seen.noise),
    }
    if isinstance(layer, Requantizing):
        facts["multipliers"] = list(layer.requant.multipliers)
        facts["shift"] = layer.requant.shift
    if isinstance(layer, Conv2d) and isinstance(node, g.Weighted):
        facts["weight_type"] = str(layer.weights.dtype)
        facts["weight_scales"] = list(layer.weights.scales)
        facts["weight_sqnr_db"] = _weight_sqnr_db(layer, node)
    return facts


def _weight_sqnr_db(layer: Conv2d, node: g.Weighted) -> float | None:
    """The SQNR of a layer's weights; sorted, since a linear layer's are in another order."""
    scales = np.array(layer.weights.scales).reshape(-1, 1, 1, 1)
    real = np.sort((layer.weights.centered * scales).reshape(len(scales), -1))
    exact = np.sort(node.weight.reshape(len(scales), -1))
    return _decibels(float((exact**2).sum()), float(((exact - real) ** 2).sum()))


COLUMNS = (
    *("layer", "range>", "type", "scale>", "zero point>", "weights>", "weight scale>", "M>", "n>"),
    *("SQNR, dB: weights>", "output>"),
)


def layer_row(facts: dict[str, Any]) -> list[str]:
    """The cells below COLUMNS for a layer of :func:`layer_facts`."""
    low, high = facts["range"]
    return [
        facts["layer"],
        f"{low:.4g} .. {high:.4g}",
        facts["type"],
        f"{facts['scale']:.6g}",
        str(facts["zero_point"]),
        facts["weight_type"] or "",
        _span(facts["weight_scales"]),
        _span(facts["multipliers"]),
        "" if facts["shift"] is None else str(facts["shift"]),
        _shown(facts["weight_sqnr_db"]) if facts["weight_type"] else "",
        _shown(facts["activation_sqnr_db"]),
    ]


def _span(values: list[Any]) -> str:
    """Empty, one value, or the least and the greatest."""
    ends = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in sorted(values)]
    return " .. ".join(ends[:1] if len(ends) < 2 else [ends[0], ends[-1]])


def _shown(value: float | None) -> str:
    return "exact" if value is None else f"{value:.1f}"

"""Modules with hand-placed fake quantization, read as a ``QatNet``.

Such a module has ``QatConv2d`` and ``QatLinear`` layers, and a ``FakeQuantize`` after every
operation with its own grid (convolution, linear layer, addition, average pool; after the ReLU if
one follows). It is trained like any module. ``qat_net_of`` traces it, finds its layers again and
shares their parameters and ranges. The result evaluates the module on integers and gives its
integer network.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from ...builder import Grid
from ...layers import NetworkError, Shape
from ...names import identifier
from ..ptq import graph as g
from ..ptq.lower import has_grid
from ..ptq.schemes import PIXELS
from ..torch_export.arguments import Operator
from ..torch_export.module import graph_of
from ..torch_export.operators import OPERATORS
from ..torch_export.program import Reader
from .fake_quant import FakeQuantize
from .layers import FoldedLayer
from .network import QatNet

__all__ = ["qat_net_of"]


@dataclass(frozen=True, eq=False, kw_only=True)
class _Placed(g.Node):
    """A ``FakeQuantize``, with its path in the module."""

    path: str


def _placed(reader: Reader, node: torch.fx.Node, x: Any) -> None:
    path = list(node.meta["nn_module_stack"].values())[-1][0]
    reader.put_pointwise(node, x, lambda name, inputs: _Placed(name, inputs, path=path))


def qat_net_of(
    module: nn.Module, shape: Shape, name: str, image: Grid = PIXELS, freeze: int | None = None
) -> QatNet:
    """Read a module with fake quantization.

    Parameters
    ----------
    module : float (N, C, H, W), pixels / 255 -> (N, classes); it is put into evaluation mode
    shape : (C, H, W) of one image
    name : the network's
    image, freeze : as in ``QatNet``

    Returns a network that shares the module's layers. Raises NetworkError, which names the layer,
    for everything that ``graph_of`` refuses, and if fake quantization is missing or misplaced.
    """
    operators = {**OPERATORS, "tercet.fake_quantize.default": Operator(_placed)}
    fused = g.fuse(graph_of(module, shape, name, operators))
    graph, paths = _without_placed(fused)
    by_name = {identifier(path): part for path, part in module.named_modules()}
    layers, quantizers = {}, {}
    for node in graph.nodes:
        part = by_name.get(node.name)
        if isinstance(node, g.Weighted):
            if not isinstance(part, FoldedLayer):
                raise NetworkError(
                    f"Layer {node.name!r}: its weights are not fake-quantized; make it a QatConv2d "
                    "or QatLinear of its own, used once"
                )
            layers[node.name] = part
        if has_grid(node):
            if node.name not in paths:
                raise NetworkError(
                    f"Layer {node.name!r}: its output has no grid; place a FakeQuantize after it, "
                    "or after its ReLU"
                )
            quantizer = module.get_submodule(paths[node.name])
            assert isinstance(quantizer, FakeQuantize)
            quantizers[node.name] = quantizer
    return QatNet(graph, layers, quantizers, image, freeze)


def _without_placed(graph: g.Graph) -> tuple[g.Graph, dict[str, str]]:
    """The graph without ``_Placed`` nodes, and their paths by the node that they quantize."""
    kept: dict[str, g.Node] = {}
    paths: dict[str, str] = {}
    now: dict[str, str] = {}  # from a tensor's old name to its new one
    for node in graph.nodes:
        node = replace(node, inputs=tuple(now.get(name, name) for name in node.inputs))
        if not isinstance(node, _Placed):
            kept[node.name] = node
            continue
        (before,) = node.inputs
        if before not in kept or not has_grid(kept[before]) or before in paths:
            raise NetworkError(
                f"Layer {node.name!r}: what {before!r} gives is on a grid already; remove this "
                "FakeQuantize"
            )
        if graph.readers[before] > 1:
            raise NetworkError(
                f"Layer {node.name!r}: something else reads {before!r} without it; let all of them "
                "read its output"
            )
        paths[before] = node.path
        now[node.name] = before
    return g.Graph(graph.name, graph.shape, tuple(kept.values())), paths

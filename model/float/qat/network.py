"""Quantization-aware training of a whole network.

``QatNet`` is a module. In training mode it computes a float network with fake quantization. In
evaluation mode it computes the same as the integer network, on integers stored as floats:

    acc = sum (qx - Zx) * (qw - Zw) + b,  b = round(bias / (Sx * Sw))
    y   = clamp(round(acc * (Sx * Sw / Sy)) + Zy),  ties to even

In float64 the sums are exact and the factor is the nearest float64. The multipliers of
:meth:`QatNet.lower` equal the exact rational. A value can therefore differ from the golden model's
only if it is within 2**-50 of a tie without being one; in float32, only within about 2**-22 of a
tie.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ...builder import Grid
from ...dtypes import Integers
from ...layers import NetworkError, in_layer
from ...network import QNetwork
from ...search.narrowest import narrowing
from ..ptq import graph as g
from ..ptq.execute import clip, joined, unweighted, weighted
from ..ptq.functions import tabulate
from ..ptq.graph import Graph, Node
from ..ptq.lower import clamp_of, has_grid, lower, source_of
from ..ptq.quantize import Options, entered, observed
from ..ptq.schemes import PIXELS
from ..ptq.weights import quantize_bias
from ..training.recipe import Training
from .fake_quant import FakeQuantize
from .layers import FoldedLayer, GraphLayer
from .rescale import half_even

__all__ = ["QatNet"]

Tensors = dict[str, torch.Tensor]
TOLERANCE = 1e-3  # of an image's ends, for the rounding of augmentations


class QatNet(nn.Module):
    """A float graph with fake quantization: float (N, C, H, W), pixels / 255 -> (N, classes).

    Parameters
    ----------
    graph : fused, of pixels or of the grid ``image``
    layers : by node, of each convolution and linear layer
    quantizers : by node, of each that has a grid, see ``lower.has_grid``
    image : the grid of the pixels
    freeze : see ``Training``
    """

    def __init__(
        self,
        graph: Graph,
        layers: Mapping[str, FoldedLayer],
        quantizers: Mapping[str, FakeQuantize],
        image: Grid = PIXELS,
        freeze: int | None = None,
    ) -> None:
        super().__init__()
        self.graph, self.image, self.freeze_at = graph, image, freeze
        # ModuleList, because a ModuleDict refuses names such as "keys"
        self._layers, self._quantizers = dict(layers), dict(quantizers)
        self.layers = nn.ModuleList(self._layers.values())
        self.quantizers = nn.ModuleList(self._quantizers.values())
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    @classmethod
    def of(
        cls,
        graph: Graph,
        images: npt.NDArray[np.uint8],
        options: Options | None = None,
        training: Training | None = None,
        report: Callable[[int], None] = lambda done: None,
    ) -> QatNet:
        """Make a float graph trainable; its ranges are those that ``quantize`` would observe.

        graph, images, options, report : as in ``quantize.quantize``; the options for multipliers
            and rounding are not used, see :meth:`lower`

        Raises NetworkError as ``quantize`` does.
        """
        options, training = options or Options(), training or Training()
        how: dict[str, Any] = {"delay": training.delay, "learned": training.learned}
        fused, image = entered(g.fuse(graph), options)
        ranges = observed(g.fold(fused), image, images, options, report)
        layers: dict[str, FoldedLayer] = {}
        quantizers = {}
        for node in fused.nodes:
            schemes = options.of(fused, node.name)
            with in_layer(node.name):
                if isinstance(node, g.Weighted):
                    layers[node.name] = GraphLayer(node, schemes.weights, **how)
                    layers[node.name].integers()  # observes the range of the untrained weights
                if node.name in ranges:
                    quantizers[node.name] = FakeQuantize(schemes.activations, **how)
                    quantizers[node.name].set_range(*ranges[node.name])
        return cls(fused, layers, quantizers, image, training.freeze)

    def freeze(self) -> None:
        """Keep statistics and observed ranges from now on."""
        for module in (*self.layers, *self.quantizers):
            module.freeze()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.trace(images)[self.graph.output].flatten(1)

    def trace(self, images: torch.Tensor) -> Tensors:
        """Every tensor by name, in real values (N, C, H, W)."""
        if not self.training:
            grids = self.grids()
            levels = self._integers(images, grids)
            return {name: q * self._grid_of(name, grids).scale for name, q in levels.items()}
        if self.steps == self.freeze_at:
            self.freeze()
        self.steps += 1
        values = {g.IMAGE: self._pixels(images) * self.image.scale}
        for node in self.graph.nodes:
            values[node.name] = self._trained(node, [values[name] for name in node.inputs])
        return values

    def integers(self, images: npt.NDArray[np.uint8]) -> dict[str, Integers]:
        """Every tensor as integers (N, H, W, C), zero points included, in evaluation mode.

        images : uint8 (N, H, W, C)

        Computed in the dtype of the module's parameters; a flattened tensor is in PyTorch's order.
        """
        dtype = self.layers[0].weight.dtype if len(self.layers) else torch.float32
        pixels = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).astype(np.float64) / 255
        grids = self.grids()
        with torch.no_grad():
            levels = self._integers(torch.from_numpy(pixels).to(dtype), grids)
        return {
            name: q.permute(0, 2, 3, 1).numpy().astype(np.int64)
            + self._grid_of(name, grids).zero_point
            for name, q in levels.items()
        }

    def grids(self) -> dict[str, Grid]:
        """The grids of the image and of each node that has one. Raises NetworkError."""
        grids = {g.IMAGE: self.image}
        for name, quantizer in self._quantizers.items():
            with in_layer(name):
                grids[name] = quantizer.grid()
        return grids

    def folded(self) -> Graph:
        """The trained float network: real weights, with batch norm folded in."""
        return g.fold(self.graph, lambda node: self._layers[node.name].numbers())

    def lower(self) -> QNetwork:
        """The integer network, with the multipliers of ``rescale.py`` made the narrowest.

        Raises NetworkError, which names the layer, if a range is empty, a bias does not fit, or the
        network has no integer form.
        """
        weights = {}
        for name, layer in self._layers.items():
            with in_layer(name):
                weights[name] = layer.integers()
        return lower(self.folded(), self.grids(), weights, narrowing(half_even()))

    def _grid_of(self, tensor: str, grids: Mapping[str, Grid]) -> Grid:
        return grids[source_of(self.graph, tensor)]

    def _pixels(self, images: torch.Tensor) -> torch.Tensor:
        """Pixels / 255 as integers, with the zero point subtracted. Raises NetworkError."""
        least, greatest = (float(end) for end in images.aminmax())
        if not (least >= -TOLERANCE and greatest <= 1 + TOLERANCE):  # NaN is refused too
            raise NetworkError(
                f"Network {self.graph.name!r} takes pixels / 255, 0 to 1, not {least:.4g} to "
                f"{greatest:.4g}; give images / 255, and a normalization by mean and std of the "
                "options"
            )
        dtype = self.image.dtype
        levels = torch.round(images * 255).clamp(dtype.qmin, dtype.qmax)
        return levels - self.image.zero_point

    def _trained(self, node: Node, inputs: list[torch.Tensor]) -> torch.Tensor:
        """A node's output in training mode, in real values."""
        x = inputs[0]
        if isinstance(node, g.Weighted):
            x = clip(self._layers[node.name].through(partial(weighted, node), x), node.clip)
        elif isinstance(node, g.Joining):
            x = clip(joined(node, inputs), node.clip)
        else:
            x = unweighted(node, x)
        if has_grid(node):
            y: torch.Tensor = self._quantizers[node.name](x)
            return y
        before = self._quantizers.get(source_of(self.graph, node.name))
        if isinstance(node, g.Activation) and before is not None and not before.passes:
            return before.quantized(x)  # rounds the clip's ends to the grid
        return x

    def _integers(self, images: torch.Tensor, grids: Mapping[str, Grid]) -> Tensors:
        """Every tensor minus its zero point, integers stored as floats (N, C, H, W)."""
        levels = {g.IMAGE: self._pixels(images)}
        for node in self.graph.nodes:
            sources = [self._grid_of(name, grids) for name in node.inputs]
            with in_layer(node.name):
                levels[node.name] = self._rounded(
                    node, [levels[name] for name in node.inputs], sources, grids
                )
        return levels

    def _rounded(
        self,
        node: Node,
        inputs: list[torch.Tensor],
        sources: list[Grid],
        grids: Mapping[str, Grid],
    ) -> torch.Tensor:
        """A node's output in evaluation mode; see the module docstring."""
        x = inputs[0]
        if isinstance(node, g.Activation):
            return _clamped(x, node.clip, sources[0])
        if not has_grid(node):
            return unweighted(node, x)
        y = grids[node.name]
        if isinstance(node, g.Pointwise):
            table = torch.from_numpy(tabulate(node.function, sources[0], y)).to(x.dtype)
            index = x.to(torch.int64) + (sources[0].zero_point - sources[0].dtype.qmin)
            return table[index] - y.zero_point
        ratios = [float(Fraction(source.scale) / Fraction(y.scale)) for source in sources]
        if isinstance(node, g.Weighted):
            quotient = self._product(node, x, sources[0], y)
        elif isinstance(node, g.AvgPool):
            positions = node.kernel[0] * node.kernel[1]
            total = torch.round(unweighted(node, x) * positions)
            quotient = total * ratios[0] / positions
        else:
            assert isinstance(node, g.Joining)
            quotient = joined(node, [q * ratio for q, ratio in zip(inputs, ratios, strict=True)])
        return _clamped(torch.round(quotient), getattr(node, "clip", g.NO_CLIP), y)

    def _product(self, node: g.Weighted, x: torch.Tensor, source: Grid, y: Grid) -> torch.Tensor:
        """A weighted node's sums in output steps, not yet rounded."""
        layer = self._layers[node.name]
        weights = layer.integers()
        _, bias = layer.numbers()
        # (OC, KH, KW, IC / groups) back to PyTorch's order
        values = torch.from_numpy(weights.centered).permute(0, 3, 1, 2).reshape(layer.weight.shape)
        offsets = torch.from_numpy(quantize_bias(bias, source, weights))
        acc = weighted(node, x, values.to(x.dtype), offsets.to(x.dtype))
        ratio = Fraction(source.scale) / Fraction(y.scale)
        scales = torch.tensor([float(Fraction(s) * ratio) for s in weights.scales], dtype=x.dtype)
        return acc * scales.reshape(1, -1, 1, 1)


def _clamped(levels: torch.Tensor, ends: tuple[float, float], grid: Grid) -> torch.Tensor:
    low, high = clamp_of(ends, grid)
    return levels.clamp(low - grid.zero_point, high - grid.zero_point)

"""Integer layers from a float graph with quantize nodes.

A sum (convolution, linear layer, average pool, addition) becomes a layer when its quantize node is
reached. ReLUs, maximum pools and flattenings between the two keep the order of values, so they
commute with rounding: round(relu(x)) is a clamp of round(x), and the greatest of several rounded
values is the rounded greatest value. A ReLU directly after a sum becomes its clamp.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ...builder import Grid, Output
from ...dtypes import INT32, Integers
from ...float.ptq import graph as g
from ...float.ptq.functions import tabulate
from ...float.ptq.lower import add_joined, add_moved, add_weighted
from ...layers import NetworkError
from ...names import free_name
from ...ordered import Ordered, OrderedBuilder
from .program import Parameters, Quantize
from .rescale import exactly

__all__ = ["Pt2eLayers"]


@dataclass(frozen=True)
class _Real:
    """A tensor that is not quantized yet.

    source : the node that computes it, the quantized tensor that it equals, or None for the image
    steps : the operations after that, all of which keep the order of values
    """

    source: g.Node | Ordered | None
    steps: tuple[g.Node, ...] = ()


class Pt2eLayers:
    """The integer layers of a graph, made node by node.

    Parameters
    ----------
    parameters : by layer, the weights as integers
    output : the grid of the scores if the program leaves them in floats
    """

    def __init__(
        self, graph: g.Graph, parameters: dict[str, Parameters], output: Grid | None
    ) -> None:
        self.graph, self.parameters = graph, parameters
        self.builder = OrderedBuilder(graph.name)
        self.values: dict[str, Ordered | _Real] = {g.IMAGE: _Real(None)}
        self.made: dict[str, tuple[Quantize, Ordered]] = {}  # by quantized tensor and by its source
        for node in graph.nodes:
            self.values[node.name] = self._value(node)
        last = self.values[graph.output]
        if isinstance(last, _Real):
            self._close(last, output)

    @property
    def scores(self) -> Ordered:
        """The network's output."""
        scores = self.values[self.graph.output]
        assert isinstance(scores, Ordered)
        return scores

    def _close(self, last: _Real, output: Grid | None) -> None:
        """Quantize the scores of a program that leaves them in floats."""
        name = self.graph.output
        if output is None:
            raise NetworkError(
                f"Layer {name!r}: its output, the network's, is not quantized; annotate it in the "
                "quantizer, or say where scores lie by output=Grid(dtype, scale, zero_point)"
            )
        ends = output.dtype.qmin, output.dtype.qmax
        node = Quantize(f"{name}_quantized", (name,), grid=output, clamp=ends)
        self.values[name] = self._quantized(node, last)

    def _value(self, node: g.Node) -> Ordered | _Real:
        x = self.values[node.inputs[0]]
        if isinstance(node, Quantize):
            return self._quantized(node, x)
        if isinstance(node, g.Norm):
            raise NetworkError(
                f"Layer {node.name!r}: batch_norm is not folded into a convolution; put it right "
                "behind one, and quantize by prepare_pt2e in evaluation mode or prepare_qat_pt2e"
            )
        if isinstance(node, g.Activation):
            return _Real(x.source, (*x.steps, node)) if isinstance(x, _Real) else _Real(x, (node,))
        if isinstance(node, g.MaxPool | g.Upsample | g.View):
            if isinstance(x, Ordered):
                return add_moved(self.builder, node, x)
            return _Real(x.source, (*x.steps, node))
        for name in node.inputs:
            self._require_integers(node, name)
        return _Real(node)

    def _require_integers(self, node: g.Node, name: str) -> None:
        """Check that a sum reads integers; a ReLU of integers counts, even if unquantized."""
        x = self.values[name]
        if isinstance(x, _Real) and isinstance(x.source, Ordered):
            clips = {end for step in x.steps if isinstance(step, g.Activation) for end in step.clip}
            if clips <= {0.0, math.inf, -math.inf}:
                kept = x.source.grid
                ends = kept.dtype.qmin, kept.dtype.qmax
                x = self._quantized(Quantize(name, (name,), grid=kept, clamp=ends), x)
                self.values[name] = x
        if not isinstance(x, Ordered):
            raise NetworkError(
                f"Layer {node.name!r}: its input {name!r} is not quantized; annotate it in the "
                "quantizer, both inputs where there are two"
            )

    def _quantized(self, node: Quantize, x: Ordered | _Real) -> Ordered:
        """The integers of a quantize node; adds the layers that compute them."""
        if isinstance(x, Ordered):
            return self._requantized(node, x, ())
        source = x.source
        read = node.inputs[0]
        keys = {read, g.IMAGE if source is None else getattr(source, "name", read)}
        if isinstance(source, Ordered):
            keys = {read}  # other readers of integers have no influence
        for key in sorted(keys & self.made.keys()):
            before, tensor = self.made[key]
            if (before.inputs, before.grid, before.clamp) == (node.inputs, node.grid, node.clamp):
                return tensor
            raise NetworkError(
                f"Layer {key!r}: {before.name!r} and {node.name!r} quantize its output in two "
                "ways; use one quantization for all its readers"
            )
        if isinstance(source, Ordered):
            tensor = self._requantized(node, source, x.steps)
        else:
            low, high, steps = _clamped(node, x.steps)
            tensor = self._first(node, source, (low, high))
            tensor = self._steps(node, tensor, steps)
        self.made |= dict.fromkeys(keys, (node, tensor))
        return tensor

    def _first(self, node: Quantize, source: g.Node | None, clamp: tuple[int, int]) -> Ordered:
        """The image, or a layer that rounds a sum."""
        if source is not None:
            return self._sum(source, node.grid, clamp)
        image = self.builder.input(self.graph.shape, node.grid)
        if clamp == (node.grid.dtype.qmin, node.grid.dtype.qmax):
            return image
        return self.builder.relu(node.name, image, *clamp)

    def _requantized(self, node: Quantize, x: Ordered, steps: tuple[g.Node, ...]) -> Ordered:
        """A quantized tensor, converted to another grid or clamped."""
        low, high, rest = _clamped(node, steps)
        if node.grid == x.grid:
            reached = self.builder.builder.value_range(x.tensor.name)
            if low > reached[0] or high < reached[1]:
                x = self.builder.relu(steps[0].name if steps else node.name, x, low, high)
        else:
            name = free_name(f"{x.tensor.name}_rescaled", self.builder.builder.tensors)
            x = self.builder.requantize(name, x, Output(node.grid, exactly(), (low, high)))
        return self._steps(node, x, rest)

    def _steps(self, quantize: Quantize, x: Ordered, steps: tuple[g.Node, ...]) -> Ordered:
        for step in steps:
            if isinstance(step, g.Activation):
                ends = (quantize.rounded(step.clip[0]), quantize.rounded(step.clip[1]))
                x = self.builder.relu(step.name, x, *ends)
            else:
                x = add_moved(self.builder, step, x)
        return x

    def _sum(self, node: g.Node, grid: Grid, clamp: tuple[int, int]) -> Ordered:
        """The layer of a node whose inputs are integers."""
        inputs = [x for name in node.inputs if isinstance(x := self.values[name], Ordered)]
        if isinstance(node, g.Pointwise):
            values = tabulate(node.function, inputs[0].grid, grid).clip(*clamp)
            return self.builder.table(node.name, inputs[0], values, grid)
        if not isinstance(node, g.Weighted):
            return add_joined(self.builder, node, inputs, Output(grid, exactly(), clamp))
        parameters = self.parameters[node.name]
        bias, rests = _split_bias(node, parameters, inputs[0].grid)
        output = Output(grid, exactly(rests), clamp)
        return add_weighted(self.builder, node, inputs[0], parameters.laid_out(), bias, output)


def _clamped(quantize: Quantize, steps: tuple[g.Node, ...]) -> tuple[int, int, tuple[g.Node, ...]]:
    """The clamp of a sum with the ReLUs directly after it, and the remaining steps."""
    low, high = quantize.clamp
    for index, step in enumerate(steps):
        if not isinstance(step, g.Activation):
            return low, high, steps[index:]
        ends = quantize.rounded(step.clip[0]), quantize.rounded(step.clip[1])
        low, high = min(max(low, ends[0]), ends[1]), max(min(high, ends[1]), ends[0])
    return low, high, ()


def _split_bias(node: g.Node, parameters: Parameters, x: Grid) -> tuple[Integers, list[Fraction]]:
    """The bias as integers at Sx * Sw, and the remainder in the same steps."""
    scales = parameters.weights.scales
    units = [Fraction(x.scale) * Fraction(scale) for scale in scales]
    units *= len(parameters.bias) if len(units) == 1 else 1
    whole = [round(bias / unit) for bias, unit in zip(parameters.bias, units, strict=True)]
    for value in whole:
        if not INT32.qmin <= value <= INT32.qmax:
            raise NetworkError(
                f"Layer {node.name!r}: its bias is {value} at the scale of its sums, beyond int32; "
                "its weights are too small for it"
            )
    rests = [
        bias / unit - value for bias, value, unit in zip(parameters.bias, whole, units, strict=True)
    ]
    return np.array(whole, dtype=np.int64), rests

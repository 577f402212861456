"""Reader of PT2E programs: a float graph with quantize nodes, and its parameters as integers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ...builder import Grid
from ...dtypes import Integers, IntType
from ...float.ptq import graph as g
from ...float.torch_export.arguments import Operator, arguments
from ...float.torch_export.program import Reader, ends
from ...layers import NetworkError
from ...layers.weights import Weights, channels_last

__all__ = ["Parameters", "ProgramReader", "Quantize", "QuantizedArray"]

WEIGHTED = ("conv2d.default", "conv2d.padding", "linear.default")


@dataclass(frozen=True, eq=False, kw_only=True)
class Quantize(g.Node):
    """A quantize node: clamp(round_half_even(x / scale) + zero_point, *clamp)."""

    grid: Grid
    clamp: tuple[int, int]

    def rounded(self, value: float) -> int:
        """The integer of one real value, exactly; infinities become the ends of the clamp."""
        if math.isinf(value):
            return self.clamp[0] if value < 0 else self.clamp[1]
        steps = round(Fraction(value) / Fraction(self.grid.scale))  # ties to even
        return min(max(steps + self.grid.zero_point, self.clamp[0]), self.clamp[1])


@dataclass(frozen=True, eq=False)
class QuantizedArray:
    """A parameter with a dequantize node: (values - zero_points) * scales along axis 0.

    values : int64, any shape
    scales, zero_points : one, or one per index of axis 0
    """

    values: Integers
    dtype: IntType
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]

    def fractions(self) -> list[Fraction]:
        """The exact real values of a vector."""
        count = len(self.values)
        scales = self.scales * (count if len(self.scales) == 1 else 1)
        zero_points = self.zero_points * (count if len(self.zero_points) == 1 else 1)
        return [
            (value - zero_point) * Fraction(scale)
            for value, scale, zero_point in zip(
                self.values.tolist(), scales, zero_points, strict=True
            )
        ]


@dataclass(frozen=True, eq=False)
class Parameters:
    """The weights and bias of a convolution or linear layer, with PyTorch's axes.

    weights : (OC, IC / groups, KH, KW) or (OC, IC)
    bias : (OC,), in real values
    """

    weights: QuantizedArray
    bias: list[Fraction]

    def laid_out(self) -> Weights:
        """The weights of a layer."""
        w = self.weights
        return Weights(channels_last(w.values), w.dtype, w.scales, w.zero_points)


class ProgramReader(Reader):
    """A reader that keeps quantize nodes, and the integers of dequantized parameters."""

    def __init__(
        self, program: torch.export.ExportedProgram, name: str, operators: Mapping[str, Operator]
    ) -> None:
        super().__init__(program, _image_dims(program, name), name, operators)
        self.quantized: dict[str, QuantizedArray] = {}  # by the name of the dequantize node
        self.parameters: dict[str, Parameters] = {}  # by layer
        self.sources: dict[str, str] = {}  # by the name of a quantize node, the graph's node

    def _read(self, node: torch.fx.Node) -> None:
        kind = str(node.target)
        if "fake_quant" in kind:
            raise self.network_error(
                f"its node {node.name!r} still quantizes in floats, as in training",
                "convert it with torchao's convert_pt2e",
            )
        if "choose_qparams" in kind:
            raise self.network_error(
                f"its node {node.name!r} chooses a scale for every batch (dynamic quantization), "
                "where an integer network has constants",
                "choose a static configuration in the quantizer, is_dynamic=False",
            )
        if kind.startswith("torchao."):
            raise self.network_error(
                f"its node {node.name!r} quantizes by {kind}, in groups or blocks",
                "use a quantizer with per_tensor or per_channel schemes",
            )
        if "." not in kind:
            raise self.network_error(
                f"its node {node.name!r} calls {kind}",
                "write the module's forward with PyTorch's layers alone",
            )
        super()._read(node)

    def network_error(self, reason: str, way_out: str) -> NetworkError:
        """The error for a program that this reader does not support."""
        return NetworkError(f"Network {self.name!r}: {reason}; {way_out}")

    def constant(self, value: Any, node: torch.fx.Node) -> npt.NDArray[np.float64]:
        found = self.quantized.get(getattr(value, "name", ""))
        if found is not None:
            return found.values.astype(np.float64)  # only for its shape; put() uses the integers
        weighted = str(node.target).removeprefix("aten.") in WEIGHTED
        if weighted and value is arguments(node)["weight"]:
            raise self.refuse(
                node,
                "its weights are not quantized",
                "annotate them in the quantizer, and convert with fold_quantize=True",
            )
        return super().constant(value, node)

    def put(self, node: torch.fx.Node, made: g.Node) -> None:
        if isinstance(made, g.Weighted):
            given = arguments(node)
            weight, found = given["weight"], self.quantized.get(getattr(given["bias"], "name", ""))
            exact = [Fraction(value) for value in made.bias.tolist()]
            self.parameters[made.name] = Parameters(
                self.quantized[weight.name], exact if found is None else found.fractions()
            )
        super().put(node, made)

    def refuse_at(self, node: torch.fx.Node, reason: str, way_out: str) -> NetworkError:
        """The error for a quantize or dequantize node."""
        return NetworkError(f"Node {node.name!r}: {reason}; {way_out}")


def _image_dims(program: torch.export.ExportedProgram, name: str) -> tuple[int, ...]:
    """(C, H, W) or (K,) of the program's only input. Raises NetworkError if it is neither."""
    image, _ = ends(program, name, "program")
    nodes = {node.name: node for node in program.graph.nodes}
    shape = list(nodes[image].meta["val"].shape) if image in nodes else []
    if len(shape) not in (2, 4):
        raise NetworkError(
            f"Network {name!r}: the program must take images (N, C, H, W) or vectors (N, K), not "
            f"{shape}; export it with such an example"
        )
    return tuple(int(extent) for extent in shape[1:])

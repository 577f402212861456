"""The state of reading an ONNX graph: the value of each name so far."""

from __future__ import annotations

from collections.abc import Callable

from ...builder import Grid
from ...dtypes import Integers
from ...names import free_name, identifier
from ...ordered import Ordered, OrderedBuilder
from .graph import Graph, Node
from .layers import OnnxLayers
from .values import Constant, Emit, Pending, Result, grid_of

__all__ = ["Reader"]

CONSTANT = (
    "fuse it with its neighbour (onnxruntime.quantization.preprocess makes a Gemm of a MatMul)"
)
RESERVED = {"image", "logits", "class", "argmax"}  # names that the builder uses itself

Moved = tuple[Node, Callable[["Reader", Node, Ordered], Ordered]]  # a node and its function


class Reader:
    """The state of reading one graph: the value of each name so far."""

    def __init__(self, graph: Graph, name: str, inexact: bool) -> None:
        self.graph = graph
        self.builder = OrderedBuilder(name)
        self.layers = OnnxLayers(self.builder, inexact)
        self.image: Ordered | None = None  # the network's input, when it is known
        self.integers: dict[str, Ordered] = {}
        self.reals: dict[str, Ordered | Constant | Pending] = {}
        self.raw: dict[str, tuple[Moved, ...]] = {
            graph.input: ()
        }  # the input, and the nodes that moved it
        self.extents: dict[str, list[int]] = {}  # see shapes.py
        self.names: dict[str, tuple[str, Ordered]] = {}  # in the model, see network.py
        # by tensor, the tensor of which it is a table, and the table
        self.tables: dict[str, tuple[Ordered, Integers]] = {}
        self.taken = set(RESERVED)

    def fresh(self, node: Node) -> str:
        """A name for the layer of a node."""
        name = free_name(identifier(node.name), self.taken)
        self.taken.add(name)
        return name

    def dims_of(self, name: str) -> tuple[int, ...] | None:
        """The extents of an activation without the batch; None if it is not known."""
        if name == self.graph.input:  # not yet moved
            return self.graph.shape
        value = self.integers.get(name) or self.reals.get(name)
        return value.dims if isinstance(value, Ordered) else None

    def moved(self, node: Node) -> str:
        """A name for the Flatten that a moved tensor may need."""
        return self.fresh(node)

    def quantized(self, node: Node, name: str) -> Ordered:
        """The integer tensor of an input name."""
        if name in self.graph.tensors:
            raise node.refuse(f"input {name!r} is constant", CONSTANT)
        if name not in self.integers:
            raise node.refuse(f"input {name!r} is no quantized tensor", "quantize it before")
        return self.integers[name]

    def dequantized(self, node: Node, index: int) -> Ordered:
        """The tensor of a real input that comes directly from a DequantizeLinear."""
        value = self.reals.get(node.input(index))
        if isinstance(value, Ordered):
            return value
        if isinstance(value, Pending):
            reason = f"it takes floats from {value.node}"
            way_out = "put a QuantizeLinear and a DequantizeLinear between the two"
            raise node.refuse(reason, way_out)
        name = node.input(index)
        if isinstance(value, Constant) or name in self.graph.tensors:
            raise node.refuse(f"input {name!r} is constant", CONSTANT)
        reason = f"input {name!r} is no activation that is quantized"
        raise node.refuse(reason, "quantize it, then dequantize it")

    def constant(self, node: Node, index: int) -> Constant:
        """The quantized constant of a real input."""
        value = self.reals.get(node.input(index))
        if not isinstance(value, Constant):
            reason = f"input {node.input(index)!r} is no quantized constant"
            raise node.refuse(reason, "quantize weights as int8 or uint8, a bias as int32")
        return value

    def define(self, node: Node, value: Ordered) -> None:
        """Record the network's tensor of an integer output."""
        self.integers[node.outputs[0]] = value
        self.names.setdefault(value.tensor.name, (node.outputs[0], value))

    def pend(self, node: Node, emit: Emit) -> None:
        """Record a real output whose layer is added with the QuantizeLinear after it."""
        self.reals[node.outputs[0]] = Pending(node, emit)

    def emit(self, node: Node, emit: Emit, grid: Grid) -> None:
        """Add the layer of an integer output."""
        self.define(node, emit(Result(self.fresh(node), grid)))

    def grid(self, node: Node, index: int) -> Grid:
        """The grid that two consecutive inputs give: scale and zero point."""
        return grid_of(self.graph, node, node.input(index), node.input(index + 1))

    def operand(self, node: Node, index: int) -> Ordered:
        """An activation given by three consecutive inputs: integers, scale and zero point."""
        x = self.quantized(node, node.input(index))
        if self.grid(node, index + 1) != x.grid:
            reason = f"scale, zero point or type of {node.input(index)!r} differ from its own"
            raise node.refuse(reason, "give both the same")
        return x

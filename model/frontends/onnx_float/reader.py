"""The state of reading a float ONNX model: activations, constants and extents by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ...dtypes import Array
from ...float.ptq import graph as g
from ...float.ptq.seen import GraphReader, Seen
from ...layers import NetworkError
from ...names import identifier
from ..onnx.graph import Graph, Node

__all__ = ["FloatReader", "Pads"]

Pads = tuple[int, int, int, int]  # top, left, bottom, right

MAX_FOLDED = 1 << 26  # values of a constant that is computed


class FloatReader(GraphReader):
    """Reads one model, node by node."""

    source: ClassVar[str] = "model"

    def __init__(self, graph: Graph, name: str) -> None:
        super().__init__(name, graph.shape)
        self.graph = graph
        self.tensors[graph.input] = self.image
        self.extents: dict[str, list[int]] = {}  # see onnx/shapes.py
        self.pads: dict[str, Pads] = {}  # of tensors that a Pad made larger by zeros
        self._constants: dict[str, Array] = {}  # that were computed

    def wanted_name(self, node: Node) -> str:
        return identifier(node.name)

    def written(self, node: Node) -> str:
        return node.outputs[0]

    def dims_after(self, node: Node, made: g.Node) -> tuple[int, ...]:
        shape = g.shape_after(made, [self.shapes[name] for name in made.inputs])
        flat = isinstance(made, g.Linear) or len(self.tensors[node.input(0)].dims) == 1
        return shape[:1] if flat else shape

    def refuse(self, node: Node, reason: str, way_out: str) -> NetworkError:
        return node.refuse(reason, way_out)

    def seen(self, value: str, node: Node) -> Seen:
        if value in self.pads:
            reason = f"it reads {value!r}, which a Pad made larger"
            raise node.refuse(reason, "pad in front of a convolution or an average pool alone")
        if value not in self.tensors:
            raise node.refuse(f"its input {value!r} is no activation", "export the model again")
        return self.tensors[value]

    def padded(self, value: str, node: Node) -> tuple[Seen, Pads]:
        """An activation and the zeros around it, for operators that pad by zeros themselves."""
        if value in self.pads:
            return self.tensors[value], self.pads[value]
        return self.seen(value, node), (0, 0, 0, 0)

    def dims_of(self, name: str) -> tuple[int, ...] | None:
        """The extents of an activation without the batch; None if it is not known."""
        return self.tensors[name].dims if name in self.tensors else None

    def moved(self, node: Node) -> Node:
        """The node that changes the order of a tensor."""
        return node

    def alone(self, name: str) -> bool:
        """Whether a single node reads a tensor, which is not the model's output."""
        return len(self.graph.readers.get(name, ())) == 1 and name != self.graph.output

    def is_constant(self, name: str) -> bool:
        """Whether a name has a value that does not depend on the image."""
        return name in self._constants or name in self.graph.tensors

    def constant(self, node: Node, index: int) -> npt.NDArray[np.float64]:
        """A constant input as float64. Raises NetworkError for any other input."""
        values = self._constant(node, node.input(index)).astype(np.float64)
        if not np.isfinite(values).all():
            reason = f"the values of {node.input(index)!r} are not all finite"
            raise node.refuse(reason, "train it again")
        return values

    def _constant(self, node: Node, name: str) -> Array:
        if name in self._constants:
            return self._constants[name]
        return self.graph.constant(node, name)

    def folds(self, node: Node) -> bool:
        """Compute a node whose inputs are all constants; whether it is one."""
        names = [name for name in node.inputs if name]
        if node.op not in FOLDED or not names or not all(map(self.is_constant, names)):
            return False
        inputs = [self._constant(node, name) for name in names]
        try:
            if math.prod(np.broadcast_shapes(*(x.shape for x in inputs))) > MAX_FOLDED:
                raise node.refuse("its constant result is too large", "export the model again")
        except ValueError:
            pass  # shapes that only an operator without broadcasting takes
        try:
            with np.errstate(all="ignore"):
                self._constants[node.outputs[0]] = FOLDED[node.op](node, *inputs)
        except (ValueError, TypeError, IndexError) as error:
            raise node.refuse(f"its constants do not fit ({error})", "export it again") from None
        return True


def _reshape(node: Node, x: Array, shape: Array) -> Array:
    wanted = [x.shape[at] if n == 0 else n for at, n in enumerate(shape.tolist())]
    return x.reshape(wanted)


def _transpose(node: Node, x: Array) -> Array:
    return x.transpose(node.attributes.get("perm"))


def _squeeze(node: Node, x: Array, axes: Array | None = None) -> Array:
    found = node.attributes.get("axes", None if axes is None else axes.tolist())
    return x.squeeze(None if found is None else tuple(found))


def _unsqueeze(node: Node, x: Array, axes: Array | None = None) -> Array:
    return np.expand_dims(x, tuple(node.attributes.get("axes") or np.asarray(axes).tolist()))


def _cast(node: Node, x: Array) -> Array:
    types = {1: np.float32, 6: np.int32, 7: np.int64, 11: np.float64}
    if node.attributes.get("to") not in types:
        raise TypeError("the type to cast to is neither float nor integer")
    return x.astype(types[node.attributes["to"]])


# By operator: (node, *inputs) -> its constant output.
FOLDED: dict[str, Callable[..., Array]] = {
    "Identity": lambda node, x: x,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Cast": _cast,
    "Concat": lambda node, *parts: np.concatenate(parts, axis=node.integer("axis", 0)),
    "Add": lambda node, a, b: a + b,
    "Sub": lambda node, a, b: a - b,
    "Mul": lambda node, a, b: a * b,
    "Div": lambda node, a, b: a / b if a.dtype.kind == "f" else a // b,
    "Sqrt": lambda node, x: np.sqrt(x),
}

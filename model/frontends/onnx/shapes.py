"""Extents that are computed in the graph, as in an exported ``x.view(x.size(0), -1)``.

They are lists of integers with 0 for the batch, which a Reshape copies from its input. Source: ONNX
Shape-15, Gather-13, Unsqueeze-13, Concat-13, Reshape-14.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from .graph import Graph, Node

__all__ = ["SHAPES", "Shaped", "extents", "extents_of"]

MAX_AXES = 8  # of a tensor


class Shaped(Protocol):
    """A reader that knows the extents of tensors."""

    @property
    def graph(self) -> Graph:
        """The graph that is read."""

    @property
    def extents(self) -> dict[str, list[int]]:
        """The lists of extents by name."""

    def dims_of(self, name: str) -> tuple[int, ...] | None:
        """The extents of an activation without the batch; None if it is not known."""

    def moved(self, node: Node) -> Any:
        """The second argument of a tensor's ``reshaped`` and ``permuted``."""


def extents_of(reader: Shaped, node: Node, name: str) -> list[int]:
    """The list of integers that ``node`` reads. Raises NetworkError if it is not known."""
    if name in reader.extents:
        return reader.extents[name]
    values = reader.graph.constant(node, name)
    if values.dtype.kind not in "iu" or values.size > MAX_AXES:
        raise node.refuse(f"input {name!r} holds no extents", "export it with a fixed shape")
    return [int(value) for value in values.reshape(-1)]


def _shape(reader: Shaped, node: Node) -> list[int]:
    dims = reader.dims_of(node.input(0))
    if dims is None:
        reason = "the shape is that of no activation"
        raise node.refuse(reason, "export the model with a fixed shape")
    return [0, *dims]


def _gather(reader: Shaped, node: Node) -> list[int]:
    extents = extents_of(reader, node, node.input(0))
    indices = extents_of(reader, node, node.input(1))
    if not all(-len(extents) <= index < len(extents) for index in indices):
        raise node.refuse(f"indices {indices} of {len(extents)} extents", "export the model again")
    return [extents[index] for index in indices]


def _same(reader: Shaped, node: Node) -> list[int]:
    return extents_of(reader, node, node.input(0))


def _concat(reader: Shaped, node: Node) -> list[int]:
    return [extent for name in node.inputs for extent in extents_of(reader, node, name)]


SHAPES: dict[str, Callable[[Shaped, Node], list[int]]] = {
    "Shape": _shape,
    "Gather": _gather,
    "Unsqueeze": _same,
    "Squeeze": _same,
    "Cast": _same,
    "Concat": _concat,
}


def extents(reader: Shaped, node: Node) -> None:
    """Read one of these operators. Raises NetworkError."""
    found = SHAPES[node.op](reader, node)
    if len(found) > MAX_AXES:  # a chain of Concat nodes could double them again and again
        raise node.refuse(f"it gives {len(found)} extents", "export it with a fixed shape")
    reader.extents[node.outputs[0]] = found

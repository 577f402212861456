"""ONNX operators that only move values: they change the order that is recorded with the tensor.

Sources: ONNX Flatten-13, Reshape-14, Transpose-13, Squeeze-13, Unsqueeze-13.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

from ...float.ptq.seen import Seen
from ...ordered import Ordered
from .graph import Node
from .shapes import Shaped, extents_of

__all__ = ["MOVES"]


X = TypeVar("X", Ordered, Seen)  # a tensor with an order: of integers, or of a float graph


def _flatten(reader: Shaped, node: Node, x: X) -> X:
    axis = node.integer("axis", 1)
    if axis not in (1, -len(x.dims)):
        raise node.refuse(f"axis is {axis}", "flatten from axis 1")
    return x.reshaped((-1,), reader.moved(node))


def _reshape(reader: Shaped, node: Node, x: X) -> X:
    shape, before = extents_of(reader, node, node.input(1)), [0, *x.dims]
    if node.integer("allowzero", 0) and 0 in shape:  # an extent of 0, which no tensor here has
        raise node.refuse(f"allowzero is 1 and the shape {shape}", "leave allowzero out")
    copied = [before[at] if n == 0 and at < len(before) else n for at, n in enumerate(shape)]
    count, rest = x.places.size, math.prod(n for n in copied[1:] if n != -1)
    missing = copied[1:].count(-1)
    if (
        copied[:1] not in ([0], [-1], [1], [reader.graph.batch])
        or any(n < -1 for n in copied)
        or copied.count(-1) > 1
        or rest * (count // rest if missing and rest else 1) != count
    ):
        way_out = f"keep the batch and its {count} values, such as (N, {count})"
        raise node.refuse(f"the shape is {shape}", way_out)
    return x.reshaped(copied[1:], reader.moved(node))


def _transpose(reader: Shaped, node: Node, x: X) -> X:
    rank = len(x.dims) + 1
    axes = node.integers("perm", list(range(rank))[::-1])
    if sorted(axes) != list(range(rank)) or axes[0] != 0:
        raise node.refuse(f"perm is {list(axes)}", "keep the batch first")
    return x.permuted([axis - 1 for axis in axes[1:]], reader.moved(node))


def _axes(reader: Shaped, node: Node, rank: int) -> list[int] | None:
    """The axes of a Squeeze or Unsqueeze, where 0 is the batch; None if they are left out."""
    axes = node.attributes.get("axes")
    if axes is None and node.input(1):
        axes = extents_of(reader, node, node.input(1))
    if axes is None:
        return None
    found = [axis + rank if axis < 0 else axis for axis in axes]
    if len(set(found)) != len(found) or not all(1 <= axis < rank for axis in found):
        raise node.refuse(f"axes are {list(axes)}", "keep the batch, axis 0, as it is")
    return found


def _squeeze(reader: Shaped, node: Node, x: X) -> X:
    axes = _axes(reader, node, len(x.dims) + 1)
    gone = (
        [n == 1 for n in x.dims] if axes is None else [at + 1 in axes for at in range(len(x.dims))]
    )
    if any(out and n != 1 for out, n in zip(gone, x.dims, strict=True)):
        raise node.refuse(f"it squeezes axes {axes} of {list(x.dims)}", "squeeze axes of extent 1")
    kept = [n for out, n in zip(gone, x.dims, strict=True) if not out]
    return x.reshaped(kept, reader.moved(node))


def _unsqueeze(reader: Shaped, node: Node, x: X) -> X:
    dims = list(x.dims)
    given = node.attributes.get("axes") or extents_of(reader, node, node.input(1))
    axes = _axes(reader, node, len(dims) + 1 + len(given)) or []
    for axis in sorted(axes):
        dims.insert(axis - 1, 1)
    return x.reshaped(dims, reader.moved(node))


# By operator: (reader, node, tensor) -> the tensor in its new order, of the same kind.
MOVES: dict[str, Callable[[Any, Node, Any], Any]] = {
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
}

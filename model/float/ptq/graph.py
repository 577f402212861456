"""A float network as plain data: the output of front ends and the input of quantization.

Tensors are (C, H, W), as in PyTorch; vectors are (C, 1, 1). A node and its output have the same
name. ``model/frontends/torch_export.py`` makes a graph. ``fuse`` attaches batch normalizations and
ReLUs to the layer before them. ``fold`` then merges the normalizations into the weights.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ...builder import Window
from ...dtypes import Integers
from ...layers import NetworkError, Shape
from .functions import Function

__all__ = [
    "IMAGE",
    "NO_CLIP",
    "Activation",
    "Add",
    "AvgPool",
    "Concat",
    "Conv",
    "Graph",
    "Joining",
    "Linear",
    "MaxPool",
    "Node",
    "Norm",
    "Pointwise",
    "Upsample",
    "View",
    "fold",
    "fuse",
    "shape_after",
]

IMAGE = "image"  # the name of the input tensor
NO_CLIP = (-math.inf, math.inf)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Node:
    """One operation: its name, which is also its output's, and the names of its inputs."""

    name: str
    inputs: tuple[str, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Norm(Node):
    """Batch normalization, gamma * (x - mean) / sqrt(var + eps) + beta; float64 (C,) each.

    momentum : the weight of a new batch in the running statistics, as in torch.nn.BatchNorm2d
    """

    gamma: Floats
    beta: Floats
    mean: Floats
    var: Floats
    eps: float
    momentum: float = 0.1

    @property
    def gain(self) -> Floats:
        """The factor of x, (C,)."""
        return self.gamma / np.sqrt(self.var + self.eps)


@dataclass(frozen=True, eq=False, kw_only=True)
class Clipped(Node):
    """A node whose output may be clipped: (0, inf) is a ReLU, (0, 6) a ReLU6."""

    clip: tuple[float, float] = NO_CLIP


@dataclass(frozen=True, eq=False, kw_only=True)
class Weighted(Clipped):
    """A convolution or linear layer; weight (OC, ...), bias (OC,), float64.

    norm : the batch normalization directly after it, before the clip
    """

    weight: Floats
    bias: Floats
    norm: Norm | None = None

    def folded(self) -> tuple[Floats, Floats]:
        """Weight and bias with the normalization merged: w * gain, (b - mean) * gain + beta."""
        if self.norm is None:
            return self.weight, self.bias
        gain = self.norm.gain
        axes = (slice(None), *(np.newaxis,) * (self.weight.ndim - 1))
        return self.weight * gain[axes], (self.bias - self.norm.mean) * gain + self.norm.beta


@dataclass(frozen=True, eq=False, kw_only=True)
class Conv(Weighted):
    """A convolution; weight (OC, IC / groups, KH, KW)."""

    window: Window
    groups: int = 1


@dataclass(frozen=True, eq=False, kw_only=True)
class Linear(Weighted):
    """A fully connected layer; weight (OC, IC), IC in PyTorch's channels-first order."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Joining(Clipped):
    """A node with two or more inputs, each on its own grid."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Add(Joining):
    """The sum of two tensors of the same shape."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Concat(Joining):
    """The concatenated channels of tensors of the same height and width."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Pool(Node):
    """A value for each window of a channel."""

    kernel: tuple[int, int]
    window: Window


@dataclass(frozen=True, eq=False, kw_only=True)
class MaxPool(Pool):
    """The greatest value of each window."""


@dataclass(frozen=True, eq=False, kw_only=True)
class AvgPool(Pool):
    """The mean of each window; positions outside the map count as 0."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Activation(Node):
    """A clip as a node of its own."""

    clip: tuple[float, float]


@dataclass(frozen=True, eq=False, kw_only=True)
class Pointwise(Node):
    """A function of each value that no clip expresses; it becomes a table."""

    function: Function


@dataclass(frozen=True, eq=False, kw_only=True)
class Upsample(Node):
    """Nearest-neighbour upsampling by (y, x)."""

    factor: tuple[int, int]


@dataclass(frozen=True, eq=False, kw_only=True)
class View(Node):
    """A reshape, a flattening or a permutation: the input's values in another order and shape.

    places : int64 (C, H, W), as the output: the index of each element in the raveled input (C, H,
        W)
    """

    places: Integers


@dataclass(frozen=True, eq=False)
class Graph:
    """A float network: nodes in execution order; the last one writes the output.

    Parameters
    ----------
    name : the network's
    shape : (C, H, W) of the tensor ``image``

    Raises NetworkError if a node reads a tensor that is not written yet, or does not fit its input.
    """

    name: str
    shape: Shape
    nodes: tuple[Node, ...]
    shapes: dict[str, Shape] = field(init=False, repr=False)  # by tensor

    def __post_init__(self) -> None:
        if not self.nodes:
            raise NetworkError(f"Network {self.name!r}: there must be a layer")
        object.__setattr__(self, "shapes", dict(self._shapes()))

    @property
    def output(self) -> str:
        """The tensor of class scores."""
        return self.nodes[-1].name

    @property
    def classes(self) -> int:
        """The number of class scores."""
        return math.prod(self.shapes[self.output])

    @cached_property
    def by_name(self) -> dict[str, Node]:
        """The nodes by name."""
        return {node.name: node for node in self.nodes}

    @cached_property
    def readers(self) -> Counter[str]:
        """How many inputs of nodes each tensor is."""
        return Counter(name for node in self.nodes for name in node.inputs)

    def _shapes(self) -> Iterator[tuple[str, Shape]]:
        known = {IMAGE: self.shape}
        yield IMAGE, self.shape
        for node in self.nodes:
            if node.name in known:
                raise NetworkError(f"Layer {node.name!r}: the name is used twice; rename one")
            for name in node.inputs:
                if name not in known:
                    raise NetworkError(f"Layer {node.name!r}: its input {name!r} is not there yet")
            known[node.name] = shape_after(node, [known[name] for name in node.inputs])
            yield node.name, known[node.name]


def shape_after(node: Node, inputs: list[Shape]) -> Shape:
    """The shape of a node's output. Raises NetworkError if its input does not fit."""
    x = inputs[0]
    channels = x[0]

    def need(holds: bool, rule: str) -> None:
        if not holds:
            raise NetworkError(f"Layer {node.name!r}: {rule}, not {list(x)}")

    if isinstance(node, Conv):
        out, per_group, *kernel = node.weight.shape
        wanted = per_group * node.groups
        need(channels == wanted, f"input must have {wanted} channels")
        return _slide(node, out, x, (kernel[0], kernel[1]), node.window)
    if isinstance(node, Pool):
        return _slide(node, channels, x, node.kernel, node.window)
    if isinstance(node, Linear):
        wanted = node.weight.shape[1]
        need(x == (wanted, 1, 1), f"input must be {wanted} values, flattened")
        return len(node.weight), 1, 1
    if isinstance(node, Add):
        need(x == inputs[1], f"both inputs must have the shape {list(inputs[1])}")
    if isinstance(node, Concat):
        for other in inputs[1:]:
            need(x[1:] == other[1:], f"its inputs must have the height and width of {list(other)}")
        return sum(shape[0] for shape in inputs), x[1], x[2]
    if isinstance(node, Upsample):
        return channels, x[1] * node.factor[0], x[2] * node.factor[1]
    if isinstance(node, View):
        need(node.places.size == math.prod(x), f"it moves {node.places.size} values")
        channels, height, width = node.places.shape
        return channels, height, width
    return x


def _slide(node: Node, out: int, x: Shape, kernel: tuple[int, int], window: Window) -> Shape:
    rows, columns = window.extents((x[1], x[2], x[0]), kernel)
    if min(rows, columns) < 1:
        raise NetworkError(
            f"Layer {node.name!r}: the kernel {kernel[0]}x{kernel[1]} does not fit its input of "
            f"{x[1]}x{x[2]}; make the image larger or pad it"
        )
    return out, rows, columns


def fuse(graph: Graph) -> Graph:
    """Attach each batch normalization, then each ReLU, to the layer before it.

    Raises NetworkError for a normalization that does not follow a convolution or linear layer, or
    whose input has other readers.
    """
    nodes = _attached(graph)
    for node in nodes:
        if isinstance(node, Norm):
            raise NetworkError(
                f"Layer {node.name!r}: a batch normalization folds into the convolution or linear "
                f"layer right before it, and {node.inputs[0]!r} is none that nothing else reads; "
                "move it there"
            )
    return Graph(graph.name, graph.shape, tuple(nodes))


def _attached(graph: Graph) -> list[Node]:
    """The nodes, with normalizations and clips attached to the nodes that they follow."""
    kept: dict[str, Node] = {}
    now: dict[str, str] = {}  # from a tensor's old name to its new one
    for node in graph.nodes:
        alone = graph.readers[node.inputs[0]] == 1
        renamed = replace(node, inputs=tuple(now.get(name, name) for name in node.inputs))
        before = kept.get(renamed.inputs[0])
        merged = _merged(before, renamed) if before is not None and alone else None
        if before is None or merged is None:
            kept[node.name] = renamed
        else:
            kept[before.name] = merged
            now[node.name] = before.name
    return list(kept.values())


def _merged(before: Node, node: Node) -> Node | None:
    """Two nodes merged to one, or None."""
    if isinstance(node, Norm) and isinstance(before, Weighted):
        if before.norm is None and before.clip == NO_CLIP:
            return replace(before, norm=node)
    elif isinstance(node, Activation) and isinstance(before, Clipped):
        low, high = max(before.clip[0], node.clip[0]), min(before.clip[1], node.clip[1])
        return replace(before, clip=(low, high)) if low < high else None
    return None


def fold(
    graph: Graph, numbers: Callable[[Weighted], tuple[Floats, Floats]] = Weighted.folded
) -> Graph:
    """Merge the batch normalizations of a fused graph into the weights.

    numbers : gives the merged weight and bias of a layer
    """
    nodes = []
    for node in graph.nodes:
        if isinstance(node, Weighted):
            weight, bias = numbers(node)
            node = replace(node, weight=weight, bias=bias, norm=None)
        nodes.append(node)
    return Graph(graph.name, graph.shape, tuple(nodes))

"""Readers of float graphs: the order in which a source has its tensors.

Maps are (C, H, W) in the float graph. A source may reshape and permute them as it likes.
:class:`GraphReader` keeps these moves with the values, until an operator needs a map or a vector.
There is no other access to a tensor, so no operator can ignore its order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ...layers import NetworkError, Shape
from ...names import free_name
from ...ordered import Places
from . import graph as g
from .functions import Function

__all__ = ["GraphReader", "Seen"]


@dataclass(frozen=True, eq=False)
class Seen:
    """A tensor of the graph in the order of its source.

    Parameters
    ----------
    tensor : of the graph, (C, H, W)
    places : int64, with the source's axes without the batch: the index of each element in the
        graph's raveled tensor
    moved_by : the source's node that last changed the order
    """

    tensor: str
    places: Places
    moved_by: Any = None

    @property
    def dims(self) -> tuple[int, ...]:
        """The extents without the batch."""
        return self.places.shape

    def reshaped(self, dims: Sequence[int], moved_by: Any) -> Seen:
        """This tensor reshaped to the extents ``dims``; one of them may be -1."""
        return Seen(self.tensor, self.places.reshape(tuple(dims)), moved_by)

    def permuted(self, axes: Sequence[int], moved_by: Any) -> Seen:
        """This tensor with the axes of ``dims`` permuted."""
        return Seen(self.tensor, self.places.transpose(tuple(axes)), moved_by)


class GraphReader:
    """A float graph under construction; a subclass reads the nodes of its source.

    Parameters
    ----------
    name : the network's
    dims : (C, H, W) of one image, or (K,) of one vector

    ``node`` is always a node of the source, for names and messages.
    """

    source: ClassVar[str] = "module"  # as messages call it

    def __init__(self, name: str, dims: tuple[int, ...]) -> None:
        self.name, self.dims = name, dims
        self.nodes: list[g.Node] = []
        self.shapes: dict[str, Shape] = {g.IMAGE: _as_map(dims)}  # by the graph's tensor
        self.tensors: dict[str, Seen] = {}  # by the source's name
        self.names: set[str] = {g.IMAGE}
        self._views: dict[Seen, str] = {}  # the View that has the values in this order

    def wanted_name(self, node: Any) -> str:
        """The name that the layer of a node has in the source."""
        raise NotImplementedError

    def written(self, node: Any) -> str:
        """The source's name of the tensor that a node writes."""
        raise NotImplementedError

    def dims_after(self, node: Any, made: g.Node) -> tuple[int, ...]:
        """The extents of the output of ``node``, of which ``made`` is the graph's node."""
        raise NotImplementedError

    def refuse(self, node: Any, reason: str, way_out: str) -> NetworkError:
        """The error for a node that cannot be represented."""
        raise NotImplementedError

    def seen(self, value: Any, node: Any) -> Seen:
        """The activation of an argument. Raises NetworkError for a constant."""
        raise NotImplementedError

    def layer_name(self, node: Any) -> str:
        """A new name for the layer of a node."""
        return self.unique(self.wanted_name(node))

    def unique(self, base: str) -> str:
        """A name that no other node of the graph has."""
        name = free_name(base, self.names)
        self.names.add(name)
        return name

    @property
    def image(self) -> Seen:
        """The network's input."""
        return Seen(g.IMAGE, in_order(self.dims))

    def map(self, value: Any, node: Any) -> str:
        """The graph's tensor (C, H, W) with an argument's values in the order of ``node``."""
        return self.as_map(self.seen(value, node), node)

    def as_map(self, seen: Seen, node: Any) -> str:
        """The graph's tensor (C, H, W) with the values in the order of ``seen``."""
        if len(seen.dims) != 3:
            reason = f"it reads {list(seen.dims)}, and not a map (channels, rows, columns)"
            raise self.refuse(node, reason, "put it before the Flatten")
        return self.held(seen)

    def vector(self, value: Any, node: Any) -> str:
        """The graph's tensor (K, 1, 1) with an argument's values (K,) in the order of ``node``."""
        seen = self.seen(value, node)
        if len(seen.dims) != 1:
            reason = f"it reads {list(seen.dims)}, and not a vector"
            raise self.refuse(node, reason, "put a Flatten before it, or use a 1x1 convolution")
        return self.held(seen)

    def whole(self, value: Any, node: Any) -> str:
        """The graph's tensor of an argument, a map or a vector."""
        flat = len(self.seen(value, node).dims) == 1
        return self.vector(value, node) if flat else self.map(value, node)

    def held(self, seen: Seen) -> str:
        """The graph's tensor with the values in the order of ``seen``; a new View if needed."""
        shape = _as_map(seen.dims)
        in_place = np.array_equal(seen.places.ravel(), np.arange(seen.places.size))
        if self.shapes[seen.tensor] == shape and in_place:
            return seen.tensor
        if seen not in self._views:
            assert seen.moved_by is not None
            places = seen.places.reshape(shape)
            view = g.View(self.layer_name(seen.moved_by), (seen.tensor,), places=places)
            self.nodes.append(view)
            self.shapes[view.name], self._views[seen] = shape, view.name
        return self._views[seen]

    def put(self, node: Any, made: g.Node) -> None:
        """Add a node whose output is a map or a vector."""
        dims = self.dims_after(node, made)
        self.nodes.append(made)
        self.shapes[made.name] = _as_map(dims)
        self.tensors[self.written(node)] = Seen(made.name, in_order(dims))

    def put_like(self, node: Any, made: g.Node, seen: Seen) -> None:
        """Add a node whose output has the order of ``seen``, one of its inputs."""
        self.nodes.append(made)
        self.shapes[made.name] = self.shapes[seen.tensor]
        self.tensors[self.written(node)] = replace(seen, tensor=made.name)

    def put_pointwise(self, node: Any, x: Any, make: Callable[[str, tuple[str]], g.Node]) -> None:
        """Add an elementwise node, whose input may have any order."""
        seen = self.seen(x, node)
        self.put_like(node, make(self.layer_name(node), (seen.tensor,)), seen)

    def put_function(self, node: Any, x: Any, name: str, *parameters: float) -> None:
        """Add a function of each value, by its name in ``functions.py``."""
        function = Function(name, tuple(float(number) for number in parameters))
        self.put_pointwise(node, x, lambda *own: g.Pointwise(*own, function=function))

    def put_leaky(self, node: Any, x: Any, slope: float) -> None:
        """Add a leaky ReLU, in a simpler form if the slope is 0 or 1."""
        if slope == 0:
            self.put_clip(node, x, (0.0, math.inf), "")
        elif slope == 1:
            self.same(node, x)
        else:
            self.put_function(node, x, "leaky_relu", slope)

    def put_clip(self, node: Any, x: Any, clip: tuple[float, float], way_out: str) -> None:
        """Add a clip. Raises NetworkError unless 0 and other values pass it."""
        low, high = clip
        if not low <= 0 <= high or low == high:
            reason = f"it clips to [{low}, {high}], which does not contain 0 and other values"
            raise self.refuse(node, reason, way_out)
        self.put_pointwise(node, x, lambda *own: g.Activation(*own, clip=clip))

    def put_sum(self, node: Any, x: Any, other: Any) -> None:
        """Add the sum of two tensors of one shape."""
        a, b = self.seen(x, node), self.seen(other, node)
        if a.dims != b.dims:
            reason = f"it adds {list(a.dims)} and {list(b.dims)}"
            raise self.refuse(node, reason, "add tensors of one shape, without broadcasting")
        same_order = self.shapes[a.tensor] == self.shapes[b.tensor]
        if same_order and np.array_equal(a.places, b.places):
            self.put_like(node, g.Add(self.layer_name(node), (a.tensor, b.tensor)), a)
        else:
            inputs = (self.whole(x, node), self.whole(other, node))
            self.put(node, g.Add(self.layer_name(node), inputs))

    def same(self, node: Any, x: Any) -> None:
        """Record an operator that does nothing at inference."""
        self.tensors[self.written(node)] = self.seen(x, node)

    def finished(self, last: Seen) -> g.Graph:
        """The graph that ends with ``last``, without nodes that do not affect it.

        Raises NetworkError if ``last`` is neither a map nor a vector, or is the image.
        """
        if len(last.dims) not in (1, 3):
            raise NetworkError(
                f"Network {self.name!r}: the {self.source} must return a map (N, C, H, W) or "
                f"scores (N, classes), not ({', '.join(map(str, ('N', *last.dims)))}); "
                "reshape what it returns"
            )
        output = self.held(last)
        if output == g.IMAGE:
            raise NetworkError(
                f"Network {self.name!r}: the {self.source} returns its image; there must be a layer"
            )
        return g.Graph(self.name, self.shapes[g.IMAGE], _needed(self.nodes, output))


def in_order(dims: tuple[int, ...]) -> Places:
    """The places of a tensor in its own raster order."""
    return np.arange(math.prod(dims), dtype=np.int64).reshape(dims)


def _as_map(dims: tuple[int, ...]) -> Shape:
    """The graph's shape of a map (C, H, W) or of a vector (K,)."""
    channels, height, width = (*dims, 1, 1)[:3]
    return channels, height, width


def _needed(nodes: Iterable[g.Node], last: str) -> tuple[g.Node, ...]:
    """The nodes on which ``last`` depends, ending with it."""
    wanted, needed = {last}, []
    for node in reversed(list(nodes)):
        if node.name in wanted:
            wanted.update(node.inputs)
            needed.append(node)
    return tuple(reversed(needed))

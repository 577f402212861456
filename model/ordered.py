"""Tensors in their source's order: channels-first maps, through any reshape and permutation.

Maps are (H, W, C) in tercet and (C, H, W) in PyTorch and ONNX. :class:`Ordered` is a tensor of an
integer network together with the order that its source has for it. Reshapes and permutations change
only this order, not the values. :class:`OrderedBuilder` builds a network from such tensors. Each
layer asks for the order that it needs, and weights are permuted where possible. A front end works
on :class:`Ordered` values only, so no operator can ignore the order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .builder import Builder, Grid, Output, Window
from .dtypes import Array, Integers
from .layers import NetworkError, Shape, Tensor
from .layers.weights import Weights
from .names import free_name
from .network import QNetwork

__all__ = ["Ordered", "OrderedBuilder", "Places", "channels_first", "raster"]

Places = Integers


def channels_first(shape: Shape) -> Places:
    """The raster index in (H, W, C) of each element of a map (C, H, W); int64 (C, H, W)."""
    return np.arange(math.prod(shape), dtype=np.int64).reshape(shape).transpose(2, 0, 1)


@dataclass(frozen=True, eq=False)
class Ordered:
    """A tensor of an integer network in its source's order.

    Parameters
    ----------
    tensor : of the network, (H, W, C)
    moved : int64, with the source's axes without the batch: the index of each element in the
        tensor's raster order, channels last; None for a map (C, H, W) in its original order
    flat : the name of a Flatten layer, if a later layer needs one
    """

    tensor: Tensor
    moved: Places | None = None
    flat: str = ""

    @property
    def places(self) -> Places:
        """``moved``, or its equivalent for a map in its original order."""
        return channels_first(self.tensor.shape) if self.moved is None else self.moved

    @property
    def dims(self) -> tuple[int, ...]:
        """The source's extents without the batch."""
        if self.moved is None:
            height, width, channels = self.tensor.shape
            return channels, height, width
        return self.moved.shape

    @property
    def grid(self) -> Grid:
        """Type, scale and zero point."""
        return Grid.of(self.tensor)

    def seen(self, places: Places, flat: str) -> Ordered:
        """This tensor with its elements in the order ``places``; ``flat`` as in the class."""
        height, width, channels = self.tensor.shape
        as_made = places.shape == (channels, height, width) and np.array_equal(
            places, channels_first(self.tensor.shape)
        )
        return Ordered(self.tensor) if as_made else replace(self, moved=places, flat=flat)

    def reshaped(self, dims: Sequence[int], flat: str) -> Ordered:
        """This tensor reshaped to the extents ``dims``; one of them may be -1."""
        return self.seen(self.places.reshape(tuple(dims)), flat)

    def permuted(self, axes: Sequence[int], flat: str) -> Ordered:
        """This tensor with the axes of ``dims`` permuted."""
        return self.seen(self.places.transpose(tuple(axes)), flat)


def raster(values: Array, seen: Ordered) -> Array:
    """Convert a source's values of a tensor, (N, *dims), to the tensor's order, (N, H, W, C)."""
    count = len(values)
    if seen.moved is None:
        return np.ascontiguousarray(values.reshape(count, *seen.dims).transpose(0, 2, 3, 1))
    ordered = np.empty((count, seen.moved.size), dtype=values.dtype)
    ordered[:, seen.moved.ravel()] = values.reshape(count, -1)
    return ordered.reshape(count, *seen.tensor.shape)


class OrderedBuilder:
    """A network under construction from tensors in their source's order.

    The methods are those of :class:`Builder`, on :class:`Ordered` values. Weights are channels
    last, (OC, KH, KW, IC / groups), with input channels in the source's order. Raises NetworkError,
    which names the layer, if a layer cannot read its input in the source's order.
    """

    def __init__(self, name: str) -> None:
        self.builder = Builder(name)
        self._flat: dict[str, Tensor] = {}  # the flattened form of each tensor that has one

    def input(self, dims: Sequence[int], grid: Grid, name: str = "image") -> Ordered:
        """Declare the network's input tensor; ``dims`` are (C, H, W) or (K,)."""
        channels, height, width = (*dims, 1, 1)[:3]
        made = Ordered(self.builder.input((height, width, channels), grid, name))
        return made if len(dims) == 3 else made.reshaped(dims, name)

    def conv2d(
        self,
        name: str,
        x: Ordered,
        weights: Weights,
        bias: Integers,
        output: Output,
        *,
        window: Window | None = None,
        groups: int = 1,
    ) -> Ordered:
        """Add a convolution of a map."""
        tensor, channels = self._map(name, x)
        if channels is not None:
            if groups != 1:
                raise _out_of_order(name, x, "a convolution in groups")
            weights = _reordered(name, weights, channels)
        y = self.builder.conv2d(name, tensor, weights, bias, output, window=window, groups=groups)
        return Ordered(y)

    def linear(
        self, name: str, x: Ordered, weights: Weights, bias: Integers, output: Output
    ) -> Ordered:
        """Add a fully connected layer that reads a vector, with its elements in any order."""
        if len(x.dims) != 1:
            raise NetworkError(
                f"Layer {name!r}: a linear layer reads a vector, not {list(x.dims)}; put a Flatten "
                "before it, or use a 1x1 convolution"
            )
        tensor = self._flattened(x)
        if not np.array_equal(x.places, np.arange(x.places.size)):
            weights = _reordered(name, weights, x.places)
        y = self.builder.linear(name, tensor, weights, bias, output)
        return Ordered(y).reshaped((-1,), name)

    def max_pool2d(self, name: str, x: Ordered, kernel: tuple[int, int], window: Window) -> Ordered:
        """Add a maximum pool of a map."""
        tensor, channels = self._map(name, x)
        return _pooled(self.builder.max_pool2d(name, tensor, kernel, window), channels, name)

    def avg_pool2d(
        self, name: str, x: Ordered, kernel: tuple[int, int], window: Window, output: Output
    ) -> Ordered:
        """Add an average pool of a map."""
        tensor, channels = self._map(name, x)
        y = self.builder.avg_pool2d(name, tensor, kernel, window, output)
        return _pooled(y, channels, name)

    def requantize(self, name: str, x: Ordered, output: Output) -> Ordered:
        """Add a layer that converts each value to another grid, in any order."""
        y = self.builder.avg_pool2d(name, x.tensor, (1, 1), Window(), output)
        return replace(x, tensor=y)

    def relu(self, name: str, x: Ordered, low: int, high: int) -> Ordered:
        """Add a clamp, in any order."""
        return replace(x, tensor=self.builder.relu(name, x.tensor, low, high))

    def table(
        self, name: str, x: Ordered, values: Places, grid: Grid, *, alone: bool = False
    ) -> Ordered:
        """Add a function of one value, in any order."""
        return replace(x, tensor=self.builder.table(name, x.tensor, values, grid, alone=alone))

    def upsample(self, name: str, x: Ordered, factor: tuple[int, int]) -> Ordered:
        """Add a nearest-neighbour upsampling of a map by (y, x)."""
        tensor, channels = self._map(name, x)
        return _pooled(self.builder.upsample(name, tensor, factor), channels, name)

    def add(self, name: str, a: Ordered, b: Ordered, output: Output) -> Ordered:
        """Add the sum of two tensors of the same shape and the same order."""
        if a.dims != b.dims:
            raise NetworkError(
                f"Layer {name!r}: its inputs have the shapes {list(a.dims)} and {list(b.dims)}; "
                "add equal shapes, broadcast before the model is exported"
            )
        x, y = a.tensor, b.tensor
        if x.shape != y.shape:
            x, y = self._flattened(a), self._flattened(b)
        if not np.array_equal(a.places, b.places):
            raise NetworkError(
                f"Layer {name!r}: its inputs were flattened from different shapes, or permuted; "
                "add them before they are flattened"
            )
        made = self.builder.add(name, x, y, output)
        if made.shape == a.tensor.shape:
            return replace(a, tensor=made)
        return Ordered(made, a.places)

    def concat(self, name: str, inputs: Sequence[Ordered], output: Output) -> Ordered:
        """Add a concatenation: the channels of maps, or the elements of vectors."""
        if len({len(x.dims) for x in inputs}) > 1 or len(inputs[0].dims) not in (1, 3):
            shapes = " and ".join(str(list(x.dims)) for x in inputs)
            raise NetworkError(
                f"Layer {name!r}: it joins {shapes}; concatenate maps (C, H, W) or vectors (K,)"
            )
        tensors = [x.tensor for x in inputs]
        if len(inputs[0].dims) == 1 or len({tensor.shape[:2] for tensor in tensors}) > 1:
            tensors = [self._flattened(x) for x in inputs]
        y = self.builder.concat(name, tensors, output)
        if all(x.moved is None for x in inputs):
            return Ordered(y)
        total, start, places = y.shape[2], 0, []
        for x, tensor in zip(inputs, tensors, strict=True):
            position, channel = np.divmod(x.places, tensor.shape[2])
            places.append(position * total + channel + start)
            start += tensor.shape[2]
        return Ordered(y).seen(np.concatenate(places), name)

    def network(self, output: Ordered) -> QNetwork:
        """The network, with its scores in the source's order.

        Raises NetworkError if ``output`` is not the last layer's output, or is in another order.
        """
        tensor, where = output.tensor, f"Network {self.builder.name!r}"
        if output.moved is not None:
            is_map = len(output.dims) == 3 and min(output.dims[0], math.prod(output.dims[1:])) > 1
            in_order = np.array_equal(output.places.ravel(), np.arange(output.places.size))
            if is_map or not in_order:
                raise NetworkError(
                    f"{where}: its output {tensor.name!r} was flattened or permuted, and a core "
                    "would give the scores in another order, channels last; return the map as it "
                    "is, pool it to one position, or end with a linear layer"
                )
            tensor = self._flattened(output)
        if tensor.name != self.last:
            raise NetworkError(
                f"{where}: it must return what its last layer gives, not {tensor.name!r}; return "
                "that one's output alone"
            )
        return self.builder.network()

    @property
    def last(self) -> str:
        """The most recently written tensor; :meth:`network` calls it ``logits``."""
        return next(reversed(self.builder.tensors))

    def _flattened(self, x: Ordered) -> Tensor:
        """The tensor as (1, 1, K); ``places`` stays valid."""
        tensor = x.tensor
        if tensor.shape[:2] == (1, 1):
            return tensor
        if tensor.name not in self._flat:
            # the name is taken if a ReLU after the same view was flattened too
            name = free_name(x.flat or f"{tensor.name}_flat", self.builder.tensors)
            self._flat[tensor.name] = self.builder.flatten(name, tensor)
        return self._flat[tensor.name]

    def _map(self, name: str, x: Ordered) -> tuple[Tensor, Places | None]:
        """The tensor as a map (H, W, C), and the index of each of the source's channels in it,
        (C,); None if the order is the same. Raises NetworkError if the source's order is not that
        of a map.
        """
        if len(x.dims) != 3:
            raise NetworkError(
                f"Layer {name!r}: it reads a map (channels, rows, columns), and its input is flat "
                f"or has other axes, {list(x.dims)}; put it before the Flatten"
            )
        if x.moved is None:
            return x.tensor, None
        channels, height, width = x.dims
        one = height == width == 1
        tensor = self._flattened(x) if one else x.tensor
        order = x.places[:, 0, 0]
        if not one and (
            tensor.shape != (height, width, channels)
            or order.max() >= channels
            or not np.array_equal(x.places, channels_first(tensor.shape)[order])
        ):
            raise _out_of_order(name, x, "a convolution or pool")
        return tensor, None if np.array_equal(order, np.arange(channels)) else order


def _out_of_order(name: str, x: Ordered, reader: str) -> NetworkError:
    return NetworkError(
        f"Layer {name!r}: its input {x.tensor.name!r} was reshaped or permuted to {list(x.dims)}, "
        f"an order in which {reader} cannot read a stream of channels-last maps; let a linear "
        "layer read it, or leave the map as it is"
    )


def _pooled(y: Tensor, channels: Places | None, name: str) -> Ordered:
    """A pool's output, with its channels in the order of the pool's input."""
    return Ordered(y) if channels is None else Ordered(y, channels_first(y.shape)[channels], name)


def _reordered(name: str, weights: Weights, order: Places) -> Weights:
    """Weights for an input whose channel ``order[k]`` is the source's channel k."""
    if weights.values.shape[3] != order.size:
        raise NetworkError(
            f"Layer {name!r}: its weights take {weights.values.shape[3]} channels, but "
            f"{order.size} come in; export the model again"
        )
    return replace(weights, values=weights.values[..., np.argsort(order.ravel())])

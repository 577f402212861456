"""The builder of an integer network: every front end adds its layers one after another here.

The builder computes shapes, reachable values and accumulator bounds. It leaves one decision to its
user: the M, n and rounding rule for the real factor of a layer. A :data:`Policy` makes this
decision; ``search/policies.py`` has the usual ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .dtypes import Bounds, Integers, IntType
from .layers import (
    Argmax,
    Flatten,
    Layer,
    NetworkError,
    Relu,
    Requantizing,
    Shape,
    Tensor,
    in_layer,
)
from .layers.add import Add
from .layers.concat import Concat
from .layers.conv import Conv2d
from .layers.linear import Linear
from .layers.pool import AvgPool2d, MaxPool2d
from .layers.table import Table
from .layers.upsample import Upsample
from .layers.weights import Weights
from .layers.windows import output_extents
from .names import free_name
from .network import QNetwork
from .requant import Requant, Rounding

__all__ = ["Builder", "Grid", "Output", "Policy", "Window"]

# (the layer, whose requantization has a valid clamp and nothing else, the tensors that it reads,
# the tensor that it writes, the bounds of Requantizing.sum_bounds) -> the requantization
Policy = Callable[[Layer, tuple[Tensor, ...], Tensor, Bounds], Requant]


@dataclass(frozen=True)
class Grid:
    """A tensor's integer type, scale and zero point: real value = scale * (q - zero_point)."""

    dtype: IntType
    scale: float
    zero_point: int

    @classmethod
    def of(cls, tensor: Tensor) -> Grid:
        """The grid of a tensor."""
        return cls(tensor.dtype, tensor.scale, tensor.zero_point)


@dataclass(frozen=True)
class Window:
    """The geometry of a sliding kernel: (y, x) pairs, padding (top, left, bottom, right)."""

    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)

    def extents(self, shape: Shape, kernel: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of the output; below 1 if the kernel does not fit."""
        return output_extents(shape, kernel, self.stride, self.padding, self.dilation)


@dataclass(frozen=True)
class Output:
    """The output of a layer that requantizes.

    grid : its type, scale and zero point
    rescale : chooses the requantization
    clamp : the least and greatest output, if a fused ReLU narrows them
    """

    grid: Grid
    rescale: Policy
    clamp: tuple[int, int] | None = None


class Builder:
    """An integer network under construction; each method adds a layer and returns its output.

    A tensor has the name of the layer that writes it. The network's output is ``logits`` unless a
    layer has this name. Conflicting names get a number. Every method raises NetworkError, which
    names the layer, if the layer does not fit its inputs.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.tensors: dict[str, Tensor] = {}
        self._layers: list[Layer] = []
        self._producers: dict[str, Layer] = {}

    def value_range(self, tensor: str) -> tuple[int, int]:
        """The least and greatest value that ``tensor`` can have."""
        if tensor in self._producers:
            return self._producers[tensor].value_range(self)
        dtype = self.tensors[tensor].dtype
        return dtype.qmin, dtype.qmax

    def input(self, shape: Shape, grid: Grid, name: str = "image") -> Tensor:
        """Declare the network's input tensor (H, W, C)."""
        self.tensors[name] = Tensor(name, shape, grid.dtype, grid.scale, grid.zero_point)
        return self.tensors[name]

    def conv2d(
        self,
        name: str,
        x: Tensor,
        weights: Weights,
        bias: Integers,
        output: Output,
        *,
        window: Window | None = None,
        groups: int = 1,
    ) -> Tensor:
        """Add a convolution; weights (OC, KH, KW, IC / groups), bias int32 (OC,)."""
        window = window or Window()
        layer = Conv2d(
            name=name,
            input=x.name,
            output=name,
            weights=weights,
            bias=bias,
            requant=_unknown(output),
            stride=window.stride,
            padding=window.padding,
            dilation=window.dilation,
            groups=groups,
        )
        extents = window.extents(x.shape, layer.kernel)
        return self._sum(layer, (x,), (*extents, layer.out_channels), output)

    def linear(
        self, name: str, x: Tensor, weights: Weights, bias: Integers, output: Output
    ) -> Tensor:
        """Add a fully connected layer; weights (OC, 1, 1, IC), IC in the order of ``Flatten``."""
        layer = Linear(name, x.name, name, weights, bias, requant=_unknown(output))
        return self._sum(layer, (x,), (1, 1, layer.out_channels), output)

    def max_pool2d(self, name: str, x: Tensor, kernel: tuple[int, int], window: Window) -> Tensor:
        """Add a maximum pool."""
        layer = MaxPool2d(
            name, x.name, name, kernel=kernel, stride=window.stride, padding=window.padding
        )
        y = replace(x, name=name, shape=_shape(name, window.extents(x.shape, kernel), x.shape[2]))
        return self._add(layer, y)

    def avg_pool2d(
        self, name: str, x: Tensor, kernel: tuple[int, int], window: Window, output: Output
    ) -> Tensor:
        """Add an average pool; padding counts. A 1x1 kernel only requantizes."""
        layer = AvgPool2d(
            name,
            x.name,
            name,
            kernel=kernel,
            stride=window.stride,
            padding=window.padding,
            requant=_unknown(output),
        )
        shape = (*window.extents(x.shape, kernel), x.shape[2])
        return self._sum(layer, (x,), shape, output)

    def add(self, name: str, a: Tensor, b: Tensor, output: Output) -> Tensor:
        """Add the sum of two tensors of one shape."""
        layer = Add(name, a.name, name, other=b.name, requant=_unknown(output))
        return self._sum(layer, (a, b), a.shape, output)

    def concat(self, name: str, inputs: Sequence[Tensor], output: Output) -> Tensor:
        """Add a concatenation of the channels of two or more tensors.

        If all tensors are on the output's grid, the values do not change and its policy is not
        called.
        """
        first, *others = inputs
        layer = Concat(
            name=name,
            input=first.name,
            output=name,
            others=tuple(x.name for x in others),
            requant=_unknown(output),
        )
        shape = (*first.shape[:2], sum(x.shape[2] for x in inputs))
        same = all(Grid.of(x) == output.grid for x in inputs)
        unchanged = replace(layer.requant, reference="half_even")  # 1 / 2**0: what any rule gives
        if same:
            output = replace(output, rescale=lambda *_: unchanged)
        return self._sum(layer, tuple(inputs), shape, output)

    def relu(self, name: str, x: Tensor, low: int, high: int) -> Tensor:
        """Add a clamp as a layer of its own."""
        return self._add(Relu(name, x.name, name, low=low, high=high), replace(x, name=name))

    def table(
        self, name: str, x: Tensor, values: Integers, grid: Grid, *, alone: bool = False
    ) -> Tensor:
        """Add a function of one value; if it is a clamp, as a clamp.

        Parameters
        ----------
        values : the output for each value of x's type, int64 (2**bits,), ascending
        grid : of the output
        alone : whether no other layer reads x; a clamp then goes into the layer that writes x, if
            that layer clamps, and the result is x
        """
        low, high = (end - x.dtype.qmin for end in self.value_range(x.name))
        reached = values[low : high + 1]
        first, ends = low + x.dtype.qmin, (int(reached.min()), int(reached.max()))
        passed = np.arange(first, first + len(reached)).clip(*ends)
        if grid == Grid.of(x) and np.array_equal(reached, passed):
            producer = self._producers.get(x.name)
            if not (alone and isinstance(producer, Requantizing)):
                return self.relu(name, x, *ends)
            clamped = replace(producer, requant=producer.requant.clamped(*ends))
            self._layers[self._layers.index(producer)] = self._producers[x.name] = clamped
            return x
        layer = Table(name, x.name, name, first=first, values=tuple(reached.tolist()))
        return self._add(layer, Tensor(name, x.shape, grid.dtype, grid.scale, grid.zero_point))

    def upsample(self, name: str, x: Tensor, factor: tuple[int, int]) -> Tensor:
        """Add a nearest-neighbour upsampling by (y, x)."""
        height, width, channels = x.shape
        shape = (height * factor[0], width * factor[1], channels)
        layer = Upsample(name, x.name, name, factor=factor)
        return self._add(layer, replace(x, name=name, shape=shape))

    def flatten(self, name: str, x: Tensor) -> Tensor:
        """Add a flattening in raster order, channels last; return a tensor that is already flat."""
        if x.shape[:2] == (1, 1):
            return x
        shape = (1, 1, math.prod(x.shape))
        return self._add(Flatten(name, x.name, name), replace(x, name=name, shape=shape))

    def drop_unread(self, names: Iterable[str], output: str) -> None:
        """Remove the tensors of ``names`` that no layer reads, and the layers that write them.

        names : in the order in which they were written
        output : a tensor that is kept
        """
        for name in reversed(list(names)):
            if name != output and not any(name in layer.reads for layer in self._layers):
                self._layers.remove(self._producers.pop(name))
                del self.tensors[name]

    def network(self) -> QNetwork:
        """The network. Scores at one position get a layer ``argmax``, which writes ``class``; both
        names get a number if they are taken.

        Raises NetworkError if there is no layer.
        """
        if not self._layers:
            raise NetworkError(f"Network {self.name!r}: there must be a layer")
        tensors, layers = dict(self.tensors), list(self._layers)
        last = layers[-1].output
        if "logits" not in tensors:
            layers[-1] = replace(layers[-1], output="logits")
            tensors = {
                "logits" if name == last else name: tensor for name, tensor in tensors.items()
            }
            tensors["logits"] = replace(tensors["logits"], name="logits")
        last = layers[-1].output
        if tensors[last].shape[:2] == (1, 1) and not isinstance(layers[-1], Argmax):
            bits = max((tensors[last].shape[2] - 1).bit_length(), 1)
            index, names = free_name("class", tensors), {layer.name for layer in layers}
            tensors[index] = Tensor(index, (1, 1, 1), IntType(bits, signed=False), 1.0, 0)
            layers.append(Argmax(free_name("argmax", names), last, index))
        return QNetwork(self.name, next(iter(tensors)), tensors, layers)

    def _sum(
        self, layer: Requantizing, inputs: tuple[Tensor, ...], shape: Shape, output: Output
    ) -> Tensor:
        """Add a layer that requantizes a sum."""
        grid = output.grid
        shape = _shape(layer.name, shape[:2], shape[2])
        y = Tensor(layer.output, shape, grid.dtype, grid.scale, grid.zero_point)
        try:
            requant = output.rescale(layer, inputs, y, layer.sum_bounds(self))
        except NetworkError:
            raise
        except ValueError as error:
            raise NetworkError(f"Layer {layer.name!r}: {error}") from None
        return self._add(replace(layer, requant=requant), y)

    def _add(self, layer: Layer, y: Tensor) -> Tensor:
        if layer.name in (other.name for other in self._layers):
            raise NetworkError(f"Layer {layer.name!r}: the name is used twice; rename one of them")
        output = free_name(layer.output, self.tensors)  # the input may have a layer's name
        layer, y = replace(layer, output=output), replace(y, name=output)
        self.tensors[layer.output] = y
        with in_layer(layer.name):
            layer.validate(self)
        self._layers.append(layer)
        self._producers[layer.output] = layer
        return y


def _unknown(output: Output) -> Requant:
    """A placeholder requantization; only its clamp is valid."""
    dtype = output.grid.dtype
    low, high = output.clamp or (dtype.qmin, dtype.qmax)
    return Requant((1,), 0, Rounding.HALF_UP, low, high)


def _shape(name: str, extents: tuple[int, int], channels: int) -> Shape:
    if min(extents) < 1:
        raise NetworkError(
            f"Layer {name!r}: the kernel does not fit its input; make the map larger or pad it"
        )
    return (*extents, channels)

"""The integer network: layers over named tensors, validated when built, independent of frameworks.

Tensors have the shape (H, W, C); a batch adds N in front. A layer names the tensors that it reads
and the one that it writes. Layers are in execution order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from . import golden, summary
from .dtypes import Array
from .layers import Argmax, Layer, NetworkError, Requantizing, Tensor, in_layer, require
from .requant import Requant

__all__ = ["QNetwork"]


@dataclass(frozen=True, eq=False)
class QNetwork:
    """An integer network: its tensors, and its layers in execution order.

    Parameters
    ----------
    name : a Verilog identifier; names the top module
    input : the tensor of the images
    tensors : every tensor by name
    layers : in execution order

    Raises NetworkError if a layer does not fit its tensors, or a sum could leave int32.
    """

    name: str
    input: str
    tensors: Mapping[str, Tensor]
    layers: Sequence[Layer]
    _producers: dict[str, Layer] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        require(
            self.name.isidentifier() and self.name.isascii(),
            f"Network name must be letters, digits and underscores, not {self.name!r}",
        )
        require(bool(self.layers), f"Network {self.name!r}: layers must not be empty")
        for name, tensor in self.tensors.items():
            require(tensor.name == name, f"Tensor {name!r} calls itself {tensor.name!r}")
        self._require_tensor("The network's input", self.input)
        names: set[str] = set()
        for layer in self.layers:
            with in_layer(layer.name):
                self._require_place(layer, names)
                layer.validate(self)
            names.add(layer.name)
            self._producers[layer.output] = layer
        unused = set(self.tensors) - set(self._producers) - {self.input}
        require(not unused, f"Tensor {min(unused, default='')!r} is written by no layer")

    def _require_place(self, layer: Layer, names: Container[str]) -> None:
        """Check a layer's name, and the names of the tensors that it reads and writes."""
        require(
            layer.name.isidentifier() and layer.name.isascii(),
            "a name must be letters, digits and underscores",
        )
        require(layer.name not in names, "the name is used twice")
        for name in layer.reads:
            self._require_tensor("input", name)
            require(
                name == self.input or name in self._producers,
                f"input {name!r} is written by no earlier layer",
            )
        self._require_tensor("output", layer.output)
        require(
            layer.output != self.input and layer.output not in self._producers,
            f"output {layer.output!r} is written already",
        )

    def _require_tensor(self, where: str, name: str) -> None:
        require(
            name in self.tensors,
            f"{where} {name!r} is no tensor; there are {', '.join(sorted(self.tensors))}",
        )

    def __repr__(self) -> str:
        return summary.short(self.name, self)

    def _repr_html_(self) -> str:
        """The layers as a table, for notebooks."""
        return summary.html_table(
            summary.short(self.name, self), summary.COLUMNS, summary.rows_of(self)
        )

    def summary(self) -> str:
        """The layers as a table: kind, output, type and number of weights."""
        return summary.text_table(
            summary.short(self.name, self), summary.COLUMNS, summary.rows_of(self)
        )

    def producer(self, tensor: str) -> Layer | None:
        """The layer that writes ``tensor``; None for the network's input."""
        return self._producers.get(tensor)

    def value_range(self, tensor: str) -> tuple[int, int]:
        """The least and greatest value that ``tensor`` can have, over all inputs."""
        producer = self.producer(tensor)
        if producer is not None:
            return producer.value_range(self)
        dtype = self.tensors[tensor].dtype
        return dtype.qmin, dtype.qmax

    @property
    def output(self) -> str:
        """The tensor of class scores: the last one, or the input of a final argmax."""
        last = self.layers[-1]
        return last.input if isinstance(last, Argmax) else last.output

    @property
    def classes(self) -> int:
        """The number of class scores."""
        return math.prod(self.tensors[self.output].shape)

    def requantized(self, choose: Callable[[Requantizing], Requant]) -> QNetwork:
        """A copy of the network with other requantizations."""
        layers = [
            replace(layer, requant=choose(layer)) if isinstance(layer, Requantizing) else layer
            for layer in self.layers
        ]
        return QNetwork(self.name, self.input, self.tensors, layers)

    def images(self, images: npt.ArrayLike) -> Array:
        """Check images and return them as (N, H, W, C) in the input's numpy dtype.

        Raises NetworkError if their shape, dtype or values do not match the input tensor.
        """
        tensor = self.tensors[self.input]
        wanted = f"Images must have the shape (N, {', '.join(map(str, tensor.shape))})"
        try:
            array = np.asarray(images)
        except ValueError:
            raise NetworkError(f"{wanted}, not lists of unequal length") from None
        require(
            np.issubdtype(array.dtype, np.integer),
            f"Images must be integers quantized as {tensor.dtype}, not {array.dtype}",
        )
        if array.ndim == 3 and tensor.shape[2] == 1:
            array = array[..., np.newaxis]
        elif array.ndim == 2 and tensor.shape[:2] == (1, 1):
            array = array[:, np.newaxis, np.newaxis]
        require(
            array.ndim == 4 and array.shape[1:] == tensor.shape,
            f"{wanted}, not {np.shape(images)}",
        )
        require(
            tensor.dtype.contains(array),
            f"Images must lie in [{tensor.dtype.qmin}, {tensor.dtype.qmax}] as {tensor.dtype} does",
        )
        return array.astype(tensor.dtype.numpy, copy=False)

    def __call__(self, images: npt.ArrayLike) -> Array:
        """Class scores of a batch.

        Parameters
        ----------
        images : integers in the input type's range: (N, H, W, C), or (N, H, W) if C is 1, or (N, C)
            if H and W are 1

        Returns integers (N, classes): the output tensor flattened, in its numpy dtype.
        """
        batch = self.images(images)
        classes = math.prod(self.tensors[self.output].shape)
        return golden.scores(self, batch).reshape(len(batch), classes)

    def trace(self, images: npt.ArrayLike) -> dict[str, Array]:
        """Every tensor of a batch by name, (N, H, W, C), in its numpy dtype; includes the input."""
        return golden.trace(self, self.images(images))

"""The base classes of all layers: names, value ranges, and checks against their tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Protocol

from ..dtypes import Array, Bounds
from ..requant import Requant
from .tensor import Shape, Tensor, Values, require

__all__ = [
    "Layer",
    "Requantizing",
    "Runnable",
    "SameValues",
    "require_requant",
    "require_shape",
    "require_windows",
    "zero_points_of",
]


def require_requant(requant: Requant, y: Tensor, counts: tuple[int, ...], of: str = "") -> None:
    """Check a layer's requantization: the number of multipliers, and the clamp against y's type.

    counts : allowed numbers of multipliers; offsets have the same if 1 is among them, else just 1
    of : the beginning of messages
    """
    if isinstance(requant.reference, Requant):
        require_requant(requant.reference, y, counts, "reference: ")
    for what, values, allowed in (
        ("multipliers", requant.multipliers, counts),
        ("offsets", requant.offsets, counts if 1 in counts else (1,)),
    ):
        require(
            len(values) in allowed,
            f"{of}{what} must number {' or '.join(map(str, allowed))}, not {len(values)}",
        )
    require(
        y.dtype.contains((requant.low, requant.high)),
        f"{of}the clamp [{requant.low}, {requant.high}] must lie in "
        f"[{y.dtype.qmin}, {y.dtype.qmax}] as {y.dtype} of {y.name!r} does",
    )


def require_shape(y: Tensor, expected: Shape) -> None:
    """Check the shape of a layer's output."""
    require(
        y.shape == expected,
        f"output {y.name!r} must have the shape {list(expected)}, not {list(y.shape)}",
    )


def require_windows(x: Tensor, y: Tensor, kernel: tuple[int, int], expected: Shape) -> None:
    """Check that a kernel fits its input, and the shape of the output."""
    require(
        min(expected) >= 1,
        f"the kernel {kernel[0]}x{kernel[1]} does not fit the {x.shape[0]}x{x.shape[1]} map of "
        f"{x.name!r}",
    )
    require_shape(y, expected)


@dataclass(frozen=True)
class Layer:
    """The base of all layers: a name, the tensors that it reads, the tensor that it writes."""

    kind: ClassVar[str]

    name: str
    input: str
    output: str

    @property
    def reads(self) -> tuple[str, ...]:
        """The names of the tensors read, in order."""
        return (self.input,)

    def value_range(self, network: Values) -> tuple[int, int]:
        """The least and greatest value that the output can have."""
        dtype = network.tensors[self.output].dtype
        return dtype.qmin, dtype.qmax

    def changes_nothing(self, network: Values) -> bool:
        """Whether the output's stream equals the input's for all inputs: no hardware is needed."""
        return False

    def compute(self, network: Values, *inputs: Array) -> Array:
        """The definition of the layer, by plain loops: the output (N, H, W, C) for integers (N, H,
        W, C) of each tensor read."""
        raise NotImplementedError

    def channel_bounds(self, inputs: Sequence[Bounds], zero_points: Sequence[int]) -> Bounds:
        """The least and greatest value of each channel that the layer writes.

        Parameters
        ----------
        inputs : (low, high) of each tensor read, int64 (C,) each
        zero_points : of the tensors read, then of the tensor written

        Returns (low, high), int64 (OC,) each; a Flatten gives those of its input once.
        """
        raise NotImplementedError

    def validate(self, network: Values) -> None:
        """Check this layer against its tensors. Raises NetworkError, without the layer's name."""
        raise NotImplementedError


def zero_points_of(network: Values, layer: Layer) -> tuple[int, ...]:
    """The zero points of the tensors that a layer reads, and of the tensor that it writes."""
    return tuple(network.tensors[name].zero_point for name in (*layer.reads, layer.output))


class Runnable(Values, Protocol):
    """The parts of a network that the golden model needs: its layers in execution order."""

    @property
    def input(self) -> str:
        """The tensor of the images."""

    @property
    def output(self) -> str:
        """The tensor of class scores."""

    @property
    def layers(self) -> Sequence[Layer]:
        """The layers, each after the layers whose outputs it reads."""


@dataclass(frozen=True, kw_only=True)
class Requantizing(Layer):
    """A layer that ends in a requantization.

    requant : from sums to outputs; each layer class defines what its multipliers apply to
    """

    requant: Requant

    def value_range(self, network: Values) -> tuple[int, int]:
        return self.requant.low, self.requant.high

    def factors(self, ratios: list[Fraction]) -> list[Fraction]:
        """The real factors of the multipliers; ``ratios`` are Sx / Sy of each tensor read."""
        return ratios

    def sum_bounds(self, network: Values) -> Bounds:
        """The least and the greatest sum that each multiplier is applied to, int64 (K,) each: per
        output channel, per tensor read, or one for all. Empty if a sum has several multipliers."""
        raise NotImplementedError


@dataclass(frozen=True)
class SameValues(Layer):
    """A layer whose output has values of its input: same type, scale and zero point."""

    def value_range(self, network: Values) -> tuple[int, int]:
        return network.value_range(self.input)

    def channel_bounds(self, inputs: Sequence[Bounds], zero_points: Sequence[int]) -> Bounds:
        return inputs[0]  # a maximum or a flattening: values of the same channel

    def validate(self, network: Values) -> None:
        x, y = network.tensors[self.input], network.tensors[self.output]
        require(
            (x.dtype, x.scale, x.zero_point) == (y.dtype, y.scale, y.zero_point),
            f"{y.name!r} must have the type, scale and zero point of {x.name!r}, since its values "
            "are the same",
        )

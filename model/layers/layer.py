"""What all layers have: names, ranges, and whether they fit their tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Protocol

from ..dtypes import Bounds
from ..requant import Requant
from .tensor import Tensor, Values, require

__all__ = ["Layer", "Requantizing", "Runnable", "SameValues", "require_requant"]


def require_requant(where: str, requant: Requant, y: Tensor, counts: tuple[int, ...]) -> None:
    """Check a layer's requantization: how many multipliers, and the clamp within y's type.

    counts : how many multipliers there may be; where 1 is among them, as many offsets, else just 1
    """
    if isinstance(requant.reference, Requant):
        require_requant(f"{where}: reference", requant.reference, y, counts)
    for what, values, allowed in (
        ("multipliers", requant.multipliers, counts),
        ("offsets", requant.offsets, counts if 1 in counts else (1,)),
    ):
        require(
            len(values) in allowed,
            f"{where}: {what} must number {' or '.join(map(str, allowed))}, not {len(values)}",
        )
    require(
        y.dtype.contains((requant.low, requant.high)),
        f"{where}: the clamp [{requant.low}, {requant.high}] must lie in "
        f"[{y.dtype.qmin}, {y.dtype.qmax}] as {y.dtype} of {y.name!r} does",
    )


@dataclass(frozen=True)
class Layer:
    """What all layers have: a name, the tensors read, the tensor written."""

    kind: ClassVar[str]

    name: str
    input: str
    output: str

    @property
    def reads(self) -> tuple[str, ...]:
        """The tensors read, in order."""
        return (self.input,)

    def value_range(self, network: Values) -> tuple[int, int]:
        """The least and greatest value that the output can hold."""
        dtype = network.tensors[self.output].dtype
        return dtype.qmin, dtype.qmax

    def changes_nothing(self, network: Values) -> bool:
        """Whether the output's stream is the input's, whatever comes in: no hardware is needed."""
        return False

    def validate(self, network: Values) -> None:
        """Check this layer against its tensors. Raises NetworkError."""
        raise NotImplementedError


class Runnable(Values, Protocol):
    """What the golden model asks of a network: its layers, in the order in which they run."""

    @property
    def input(self) -> str:
        """The tensor that images enter by."""

    @property
    def output(self) -> str:
        """The tensor of class scores."""

    @property
    def layers(self) -> Sequence[Layer]:
        """The layers, each after those that it reads."""


@dataclass(frozen=True, kw_only=True)
class Requantizing(Layer):
    """A layer that ends in a requantization.

    requant : from sums to output; which of its multipliers meets what is the layer's to say
    """

    requant: Requant

    def value_range(self, network: Values) -> tuple[int, int]:
        return self.requant.low, self.requant.high

    def factors(self, ratios: list[Fraction]) -> list[Fraction]:
        """The real factors that the multipliers stand for; ``ratios`` are Sx / Sy of each tensor
        read."""
        return ratios

    def sum_bounds(self, network: Values) -> Bounds:
        """The least and the greatest sum that each multiplier meets, int64 (K,) each: per output
        channel, per tensor read, or one for all. Empty where a sum has several multipliers."""
        raise NotImplementedError


@dataclass(frozen=True)
class SameValues(Layer):
    """A layer whose output holds values of its input: same type, scale and zero point."""

    def value_range(self, network: Values) -> tuple[int, int]:
        return network.value_range(self.input)

    def validate(self, network: Values) -> None:
        x, y = network.tensors[self.input], network.tensors[self.output]
        require(
            (x.dtype, x.scale, x.zero_point) == (y.dtype, y.scale, y.zero_point),
            f"Layer {self.name!r}: {y.name!r} must have the type, scale and zero point of "
            f"{x.name!r}, since its values are the same",
        )

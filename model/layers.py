"""Tensors and layers: frozen, and each able to say whether it fits its neighbours."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Protocol

from .dtypes import Bounds, IntType
from .errors import UserError
from .requant import Requant

__all__ = [
    "Argmax",
    "Flatten",
    "Layer",
    "NetworkError",
    "Relu",
    "Requantizing",
    "Runnable",
    "SameValues",
    "Shape",
    "Tensor",
    "Values",
    "in_layer",
    "require",
    "require_requant",
]

Shape = tuple[int, int, int]


class NetworkError(UserError, ValueError):
    """A network, its file or its input breaks a rule; the message is one sentence for the user."""


def require(condition: bool, message: str) -> None:
    """Raise NetworkError with ``message`` unless ``condition`` holds."""
    if not condition:
        raise NetworkError(message)


@contextmanager
def in_layer(name: str) -> Iterator[None]:
    """Put the layer's name before the sentence of a NetworkError that does not have it yet."""
    try:
        yield
    except NetworkError as error:
        if str(error).startswith("Layer "):
            raise
        raise NetworkError(f"Layer {name!r}: {error}") from None


@dataclass(frozen=True)
class Tensor:
    """A named tensor: real value = scale * (q - zero_point).

    Parameters
    ----------
    shape : (H, W, C), each at least 1
    dtype : the integer type of q
    scale : positive and finite
    zero_point : within the type's range
    """

    name: str
    shape: Shape
    dtype: IntType
    scale: float
    zero_point: int

    def __post_init__(self) -> None:
        where = f"Tensor {self.name!r}"
        require(
            len(self.shape) == 3 and all(extent >= 1 for extent in self.shape),
            f"{where}: shape must be three positive extents (H, W, C), not {list(self.shape)}",
        )
        require(
            math.isfinite(self.scale) and self.scale > 0,
            f"{where}: scale must be positive and finite, not {self.scale}",
        )
        require(
            self.dtype.contains(self.zero_point),
            f"{where}: zero_point must lie in [{self.dtype.qmin}, {self.dtype.qmax}] "
            f"as {self.dtype} does, not {self.zero_point}",
        )


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


class Values(Protocol):
    """What a layer asks of the network it stands in; one that is still being built will do."""

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """Every tensor by name."""

    def value_range(self, tensor: str) -> tuple[int, int]:
        """The least and greatest value that ``tensor`` can hold."""


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


@dataclass(frozen=True)
class Flatten(SameValues):
    """(H, W, C) becomes (1, 1, H * W * C), in raster order, channels last."""

    kind: ClassVar[str] = "flatten"

    def changes_nothing(self, network: Values) -> bool:
        return True

    def validate(self, network: Values) -> None:
        super().validate(network)
        x, y = network.tensors[self.input], network.tensors[self.output]
        expected = (1, 1, x.shape[0] * x.shape[1] * x.shape[2])
        require(
            y.shape == expected,
            f"Layer {self.name!r}: output {y.name!r} must have the shape {list(expected)}, "
            f"not {list(y.shape)}",
        )


@dataclass(frozen=True, kw_only=True)
class Relu(SameValues):
    """clamp(x, low, high): a ReLU that is fused into no layer; low is the zero point, high is the
    type's greatest value, or 6 / scale above the zero point in a ReLU6."""

    kind: ClassVar[str] = "relu"

    low: int
    high: int

    def value_range(self, network: Values) -> tuple[int, int]:
        low, high = network.value_range(self.input)
        return min(max(low, self.low), self.high), min(max(high, self.low), self.high)

    def changes_nothing(self, network: Values) -> bool:
        low, high = network.value_range(self.input)
        return self.low <= low and high <= self.high

    def validate(self, network: Values) -> None:
        super().validate(network)
        x, y = network.tensors[self.input], network.tensors[self.output]
        where = f"Layer {self.name!r}"
        require(
            x.shape == y.shape,
            f"{where}: output {y.name!r} must have the shape {list(x.shape)}, not {list(y.shape)}",
        )
        require(
            self.low <= self.high and y.dtype.contains((self.low, self.high)),
            f"{where}: the clamp [{self.low}, {self.high}] must rise and lie in "
            f"[{y.dtype.qmin}, {y.dtype.qmax}] as {y.dtype} of {y.name!r} does",
        )


@dataclass(frozen=True)
class Argmax(Layer):
    """The index of the greatest channel; of equal ones the first, as in numpy and PyTorch."""

    kind: ClassVar[str] = "argmax"

    def value_range(self, network: Values) -> tuple[int, int]:
        return 0, network.tensors[self.input].shape[2] - 1

    def validate(self, network: Values) -> None:
        x, y = network.tensors[self.input], network.tensors[self.output]
        where = f"Layer {self.name!r}"
        require(
            x.shape[:2] == (1, 1),
            f"{where}: input {x.name!r} must be one position (1, 1, C), not {list(x.shape)}",
        )
        require(
            y.shape == (1, 1, 1) and y.dtype.qmin <= 0 and y.dtype.qmax >= x.shape[2] - 1,
            f"{where}: output {y.name!r} must be one integer that holds 0 to {x.shape[2] - 1}",
        )

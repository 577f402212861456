"""Layers without constants: flatten, ReLU, argmax."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..dtypes import Array, Bounds
from ..requant.rounding import clamp
from .layer import Layer, SameValues, require_shape
from .tensor import Values, require

__all__ = ["Argmax", "Flatten", "Relu"]


@dataclass(frozen=True)
class Flatten(SameValues):
    """Reshape (H, W, C) to (1, 1, H * W * C), in raster order, channels last."""

    kind: ClassVar[str] = "flatten"

    def changes_nothing(self, network: Values) -> bool:
        return True

    def compute(self, network: Values, *inputs: Array) -> Array:
        (x,) = inputs
        return x.reshape(len(x), 1, 1, math.prod(x.shape[1:]))

    def validate(self, network: Values) -> None:
        super().validate(network)
        x, y = network.tensors[self.input], network.tensors[self.output]
        expected = (1, 1, x.shape[0] * x.shape[1] * x.shape[2])
        require_shape(y, expected)


@dataclass(frozen=True, kw_only=True)
class Relu(SameValues):
    """clamp(x, low, high): a ReLU that is fused into no layer. ``low`` is the zero point; ``high``
    is the type's greatest value, or for a ReLU6 the zero point plus 6 / scale."""

    kind: ClassVar[str] = "relu"

    low: int
    high: int

    def value_range(self, network: Values) -> tuple[int, int]:
        low, high = network.value_range(self.input)
        return min(max(low, self.low), self.high), min(max(high, self.low), self.high)

    def changes_nothing(self, network: Values) -> bool:
        low, high = network.value_range(self.input)
        return self.low <= low and high <= self.high

    def compute(self, network: Values, *inputs: Array) -> Array:
        return clamp(inputs[0], self.low, self.high)

    def channel_bounds(self, inputs: Sequence[Bounds], zero_points: Sequence[int]) -> Bounds:
        low, high = (clamp(end, self.low, self.high) for end in inputs[0])
        return low, high

    def validate(self, network: Values) -> None:
        super().validate(network)
        x, y = network.tensors[self.input], network.tensors[self.output]
        require_shape(y, x.shape)
        require(
            self.low <= self.high and y.dtype.contains((self.low, self.high)),
            f"the clamp [{self.low}, {self.high}] must rise and lie in "
            f"[{y.dtype.qmin}, {y.dtype.qmax}] as {y.dtype} of {y.name!r} does",
        )


@dataclass(frozen=True)
class Argmax(Layer):
    """The index of the greatest channel; ties go to the lower index, as in numpy and PyTorch."""

    kind: ClassVar[str] = "argmax"

    def value_range(self, network: Values) -> tuple[int, int]:
        return 0, network.tensors[self.input].shape[2] - 1

    def compute(self, network: Values, *inputs: Array) -> Array:
        index: Array = inputs[0].argmax(axis=3, keepdims=True)
        return index

    def channel_bounds(self, inputs: Sequence[Bounds], zero_points: Sequence[int]) -> Bounds:
        return np.array([0]), np.array([len(inputs[0][0]) - 1])

    def validate(self, network: Values) -> None:
        x, y = network.tensors[self.input], network.tensors[self.output]
        require(
            x.shape[:2] == (1, 1),
            f"input {x.name!r} must be one position (1, 1, C), not {list(x.shape)}",
        )
        require(
            y.shape == (1, 1, 1) and y.dtype.qmin <= 0 and y.dtype.qmax >= x.shape[2] - 1,
            f"output {y.name!r} must be one integer that holds 0 to {x.shape[2] - 1}",
        )

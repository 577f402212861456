"""The quantized addition of two tensors of equal shape, for residual blocks.

    y = clamp(round(((a - Za) * Ma + (b - Zb) * Mb + B) / 2**n) + Zy, low, high)

Ma / 2**n approximates Sa / Sy, and Mb / 2**n approximates Sb / Sy. There is one sum and one
rounding. PyTorch's and ONNX Runtime's engines use the same scheme in float (``qadd``, QLinearAdd).
TFLite rounds each side before the sum, which is a different rule and not supported here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..dtypes import Array, Bounds, Integers
from ..requant import rescale
from .layer import Requantizing, require_requant, zero_points_of
from .tensor import Values, require

__all__ = ["Add", "add"]


@dataclass(frozen=True, kw_only=True)
class Add(Requantizing):
    """The sum of ``input`` and ``other``; ``requant`` has two multipliers, in this order."""

    kind: ClassVar[str] = "add"

    other: str

    @property
    def reads(self) -> tuple[str, ...]:
        return self.input, self.other

    def sum_bounds(self, network: Values) -> Bounds:
        """Empty: one sum has two multipliers."""
        return np.zeros(0, np.int64), np.zeros(0, np.int64)

    def compute(self, network: Values, *inputs: Array) -> Array:
        a, b = inputs
        return add(a, b, self, zero_points_of(network, self))

    def channel_bounds(self, inputs: Sequence[Bounds], zero_points: Sequence[int]) -> Bounds:
        low, high = (add(a, b, self, zero_points) for a, b in zip(*inputs, strict=True))
        return low, high

    def validate(self, network: Values) -> None:
        a, b, y = (network.tensors[name] for name in (self.input, self.other, self.output))
        require(
            a.shape == b.shape == y.shape,
            f"{a.name!r}, {b.name!r} and {y.name!r} must have one shape, "
            f"not {list(a.shape)}, {list(b.shape)} and {list(y.shape)}",
        )
        require_requant(self.requant, y, counts=(2,))


def add(a: Array, b: Array, layer: Add, zero_points: Sequence[int]) -> Integers:
    """Add two tensors of the same shape; ``zero_points`` are Za, Zb and Zy. Returns int64."""
    za, zb, zy = zero_points
    (offset,) = layer.requant.offsets
    ma, mb = layer.requant.multipliers
    total = (a.astype(np.int64) - za) * ma + (b.astype(np.int64) - zb) * mb + offset
    return rescale(total, layer.requant, zy)

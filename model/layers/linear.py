"""A fully connected layer: a 1x1 convolution on a flattened tensor with one position.

    acc[o] = bias[o] + sum (x[i] - Zx) * (w[o, i] - Zw[o])

Inputs are in raster order, channels last, as ``Flatten`` leaves them. PyTorch and ONNX flatten
channels first, so front ends permute their weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .conv import Conv2d
from .tensor import Values, require

__all__ = ["Linear"]


@dataclass(frozen=True, eq=False)
class Linear(Conv2d):
    """A fully connected layer with fused requantization; weights (OC, 1, 1, IC)."""

    kind: ClassVar[str] = "linear"

    def validate(self, network: Values) -> None:
        x = network.tensors[self.input]
        require(
            x.shape[:2] == (1, 1),
            f"input {x.name!r} must be one position (1, 1, C), not {list(x.shape)}; "
            "put a flatten before it",
        )
        require(
            self.kernel == (1, 1) and self.groups == 1,
            f"weights must have the shape (OC, 1, 1, IC), not {list(self.weights.values.shape)}",
        )
        super().validate(network)

"""Nearest-neighbour upsampling by an integer factor, for feature pyramids, decoders and U-Nets.

    y[oy, ox, c] = x[oy // factor_y, ox // factor_x, c]

Input and output share scale and zero point, so nothing is rounded. Sources: ONNX Resize-19 with
``mode=nearest`` (``asymmetric`` coordinates with ``floor``, or ``half_pixel`` with
``round_prefer_floor``: both are this formula if the factor is an integer), PyTorch's
``upsample_nearest2d``, TFLite's RESIZE_NEAREST_NEIGHBOR.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ..dtypes import Array
from .layer import SameValues, require_shape
from .tensor import Values, require

__all__ = ["Upsample"]


@dataclass(frozen=True, kw_only=True)
class Upsample(SameValues):
    """Each position ``factor`` times: (y, x), each at least 1."""

    kind: ClassVar[str] = "upsample"

    factor: tuple[int, int]

    def changes_nothing(self, network: Values) -> bool:
        return self.factor == (1, 1)

    def compute(self, network: Values, *inputs: Array) -> Array:
        (x,) = inputs
        (fy, fx), (height, width, channels) = self.factor, network.tensors[self.output].shape
        out = np.empty((len(x), height, width, channels), x.dtype)
        for oy, ox in np.ndindex(height, width):
            out[:, oy, ox] = x[:, oy // fy, ox // fx]
        return out

    def validate(self, network: Values) -> None:
        super().validate(network)
        x, y = network.tensors[self.input], network.tensors[self.output]
        require(min(self.factor) >= 1, f"the factor must be at least 1, not {list(self.factor)}")
        height, width, channels = x.shape
        expected = (height * self.factor[0], width * self.factor[1], channels)
        require_shape(y, expected)

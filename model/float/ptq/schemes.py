"""Quantization schemes: the scale and zero point of a range.

    symmetric  signed, zero point 0: scale = max(-lo, hi) / qmax, values in [-qmax, qmax]
    affine     unsigned with a zero point: scale = (hi - lo) / (qmax - qmin), zero included in the
               range, zero_point = round(qmin - lo / scale)

Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", CVPR 2018, 2.1 and 3; gemmlowp ``doc/quantization.md``. Rounding
is to the nearest, ties to even; all in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...builder import Grid
from ...dtypes import Integers, IntType
from ...layers import NetworkError

__all__ = ["OBSERVERS", "PIXELS", "Scheme"]

OBSERVERS = ("minmax", "moving", "percentile", "mse")  # see observers.py
PIXELS = Grid(IntType(8, signed=False), 1 / 255, 0)  # raw pixels: p represents p / 255

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Scheme:
    """The quantization of a tensor.

    Parameters
    ----------
    bits : 2 to 16 for activations, 2 to 8 for weights
    symmetric : signed with zero point 0, else unsigned with a zero point
    per_channel : one scale for each output channel; for weights only
    observer : one of ``OBSERVERS``, which finds the range
    reduced : use the scale of one bit less, while the type keeps all its bits, so that values
        outside the range do not saturate at once (PyTorch's reduce_range)
    percentile : of the observer ``percentile``, 50 to 100
    """

    bits: int = 8
    symmetric: bool = False
    per_channel: bool = False
    observer: str = "minmax"
    reduced: bool = False
    percentile: float = 99.99

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 16:
            raise NetworkError(f"bits must be 2 to 16, not {self.bits}")
        if self.reduced and self.bits < 3:
            raise NetworkError(f"a reduced range needs 3 bits at least, not {self.bits}")
        if self.observer not in OBSERVERS:
            names = ", ".join(OBSERVERS)
            raise NetworkError(f"observer must be one of {names}, not {self.observer!r}")
        if not 50 < self.percentile <= 100:
            raise NetworkError(f"percentile must lie above 50 and up to 100, not {self.percentile}")

    @property
    def dtype(self) -> IntType:
        """The type of the integers."""
        return IntType(self.bits, signed=self.symmetric)

    @property
    def ends(self) -> tuple[int, int]:
        """The least and greatest integer that the range is mapped to."""
        bits = self.bits - self.reduced
        if self.symmetric:
            return 1 - (1 << (bits - 1)), (1 << (bits - 1)) - 1
        return 0, (1 << bits) - 1

    def grid(self, lo: float, hi: float) -> Grid:
        """The grid of a range. Raises NetworkError if the range is empty or not finite."""
        if not np.isfinite([lo, hi]).all():
            raise NetworkError(f"its range [{lo}, {hi}] is not finite; train the network again")
        if lo >= 0 and hi <= 0:
            raise NetworkError("all its calibration values are 0; train the network again")
        scales, zero_points = self.grids(np.array([lo]), np.array([hi]))
        return Grid(self.dtype, float(scales[0]), int(zero_points[0]))

    def grids(self, lo: Floats, hi: Floats) -> tuple[Floats, Integers]:
        """The scales and zero points of ranges (C,), none of them empty."""
        lo, hi = np.minimum(lo, 0.0), np.maximum(hi, 0.0)
        qmin, qmax = self.ends
        if self.symmetric:
            return np.maximum(-lo, hi) / qmax, np.zeros(len(lo), dtype=np.int64)
        scales = (hi - lo) / (qmax - qmin)
        return scales, np.clip(np.rint(qmin - lo / scales), qmin, qmax).astype(np.int64)

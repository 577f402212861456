"""Reusable memory between batches: fresh pages cost more time than the arithmetic on them."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ..dtypes import Array

__all__ = ["Scratch"]


class Scratch:
    """A buffer that grows to the largest array requested; each call returns the same memory."""

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._buffer: Array = np.empty(0, dtype)

    def array(self, *shape: int) -> Array:
        """An array of this shape; its values are undefined."""
        size = math.prod(shape)
        if self._buffer.size < size:
            self._buffer = np.empty(size, self._buffer.dtype)
        return self._buffer[:size].reshape(shape)

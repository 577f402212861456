"""Tensors, and the error for a network that breaks a rule."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..dtypes import Integers, IntType
from ..errors import UserError

__all__ = ["NetworkError", "Shape", "Tensor", "Values", "in_layer", "require"]

Shape = tuple[int, int, int]


class NetworkError(UserError, ValueError):
    """A network, its file or its input breaks a rule; the message is one sentence for the user."""


def require(condition: bool, message: str) -> None:
    """Raise NetworkError with ``message`` unless ``condition`` is true."""
    if not condition:
        raise NetworkError(message)


@contextmanager
def in_layer(name: str) -> Iterator[None]:
    """Prefix a NetworkError with the layer's name unless it begins with one."""
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

    @property
    def centered(self) -> Integers:
        """Every integer of the type, without the zero point."""
        return np.arange(self.dtype.qmin, self.dtype.qmax + 1, dtype=np.int64) - self.zero_point


class Values(Protocol):
    """The parts of a network that a layer needs; a network under construction has them too."""

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """Every tensor by name."""

    def value_range(self, tensor: str) -> tuple[int, int]:
        """The least and greatest value that ``tensor`` can have."""

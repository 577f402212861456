"""Quantized weights and read-only integer arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..dtypes import Array, Integers, IntType

__all__ = ["Weights", "channels_last", "frozen_integers", "with_axes"]


def frozen_integers(what: str, values: Integers) -> Integers:
    """A read-only copy as int64. Raises TypeError if the values are not integers."""
    if not np.issubdtype(np.asarray(values).dtype, np.integer):
        raise TypeError(f"{what} must be integers, not {np.asarray(values).dtype}")
    frozen = np.array(values, dtype=np.int64)
    frozen.setflags(write=False)
    return frozen


def with_axes(values: Array) -> Array:
    """Weights of a fully connected layer, (OC, IC), as those of a 1x1 convolution; others
    unchanged."""
    return values[:, np.newaxis, np.newaxis] if values.ndim == 2 else values


def channels_last(values: Array) -> Array:
    """Weights (OC, IC, KH, KW) or (OC, IC) as (OC, KH, KW, IC)."""
    return with_axes(values) if values.ndim == 2 else values.transpose(0, 2, 3, 1)


@dataclass(frozen=True, eq=False)
class Weights:
    """Quantized weights: real value = scale * (q - zero_point), per tensor or per output channel.

    Parameters
    ----------
    values : integers (OC, KH, KW, IC / groups), stored as int64 and read-only
    dtype : the integer type of the values, 2 to 8 bits
    scales : one, or OC of them; positive and finite
    zero_points : one, or OC of them; 0 if symmetric

    Raises TypeError if the values are not integers.
    """

    values: Integers
    dtype: IntType
    scales: tuple[float, ...]
    zero_points: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", frozen_integers("Weights", self.values))

    @cached_property
    def zero_points_per_channel(self) -> tuple[int, ...]:
        """The zero points, repeated to one for each output channel."""
        channels = len(self.values)
        return self.zero_points if len(self.zero_points) > 1 else self.zero_points * channels

    @cached_property
    def centered(self) -> Integers:
        """Values minus zero points, int64 (OC, KH, KW, IC / groups): the products' factors."""
        zero_points = np.array(self.zero_points_per_channel, dtype=np.int64)
        centered: Integers = self.values - zero_points[:, None, None, None]
        return centered

"""The concatenation of channels, for inception, dense and U-Net blocks.

    y = clamp(round(((x_k - Zk) * M_k + B_k) / 2**n) + Zy, low, high)

Each pixel has all channels of the first tensor, then all of the second, and so on. M_k / 2**n
approximates Sk / Sy. Each tensor may have its own type, scale and zero point, and is rounded once.
Engines do the same in float (torch.ao's ``quantized::cat``, ONNX Runtime's QLinearConcat). If all
tensors have the output's type, scale and zero point, the M_k are 2**n and only the order changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from ..dtypes import Array, Bounds, Integers
from ..requant import MAX_MULTIPLIER, Requant, requantize
from .layer import Requantizing, require_requant, require_shape, zero_points_of
from .tensor import Values, require

__all__ = ["Concat", "concat", "joined"]


@dataclass(frozen=True, kw_only=True)
class Concat(Requantizing):
    """The channels of ``input``, then those of ``others``; ``requant`` has a multiplier and an
    offset for each of these tensors, in this order, or one for all."""

    kind: ClassVar[str] = "concat"

    others: tuple[str, ...]

    @property
    def reads(self) -> tuple[str, ...]:
        return self.input, *self.others

    def requant_of(self, index: int) -> Requant:
        """The requantization of the input with this index."""
        multiplier = self.requant.per_channel(len(self.reads))[index]
        offset = self.requant.offsets[index % len(self.requant.offsets)]
        return replace(self.requant, multipliers=(multiplier,), offsets=(offset,))

    def copies(self, network: Values) -> bool:
        """Whether the values of every input pass unchanged, over all possible values."""
        y = network.tensors[self.output]
        for index, name in enumerate(self.reads):
            x, requant = network.tensors[name], self.requant_of(index)
            one = requant.multipliers == (1 << requant.shift,) and requant.offsets == (0,)
            low, high = network.value_range(name)
            inside = requant.low <= low and high <= requant.high
            if not (one and inside and x.zero_point == y.zero_point):
                return False
        return True

    def sum_bounds(self, network: Values) -> Bounds:
        """The least and greatest x_k - Zk of each input."""
        tensors = [network.tensors[name] for name in self.reads]
        ranges = [network.value_range(name) for name in self.reads]
        ends = np.array(ranges) - [[x.zero_point] for x in tensors]
        return ends[:, 0], ends[:, 1]

    def compute(self, network: Values, *inputs: Array) -> Array:
        return concat(inputs, self, zero_points_of(network, self))

    def channel_bounds(self, inputs: Sequence[Bounds], zero_points: Sequence[int]) -> Bounds:
        low, high = (concat(ends, self, zero_points) for ends in zip(*inputs, strict=True))
        return low, high

    def validate(self, network: Values) -> None:
        tensors, y = [network.tensors[name] for name in self.reads], network.tensors[self.output]
        require(len(tensors) > 1, "it must concatenate two tensors or more, not 1")
        first = tensors[0]
        for x in tensors[1:]:
            require(
                x.shape[:2] == first.shape[:2],
                f"{first.name!r} and {x.name!r} must have the same height and width, "
                f"not {list(first.shape)} and {list(x.shape)}",
            )
        expected = (*first.shape[:2], sum(x.shape[2] for x in tensors))
        require_shape(y, expected)
        require_requant(self.requant, y, counts=(1, len(tensors)))


def concat(inputs: Sequence[Array], layer: Concat, zero_points: Sequence[int]) -> Integers:
    """Concatenate tensors along their last axis.

    Parameters
    ----------
    inputs : integers (..., C_k), with equal shapes except for C_k
    zero_points : of each input, then Zy

    Returns int64 (..., sum of the C_k).
    """
    *of_inputs, zy = zero_points
    parts = [
        requantize(x.astype(np.int64) - zx, layer.requant_of(index), zy)
        for index, (x, zx) in enumerate(zip(inputs, of_inputs, strict=True))
    ]
    return np.concatenate(parts, axis=-1)


def joined(requants: Sequence[Requant]) -> Requant:
    """Combine requantizations of single tensors into one for their concatenation, equal to each.

    requants : one multiplier, one offset, one rule and one clamp in each; any shifts

    The greatest shift applies to all, and the numerators are scaled to it. Raises ValueError if a
    multiplier then exceeds its range.
    """
    shift = max(requant.shift for requant in requants)
    grown = [1 << (shift - requant.shift) for requant in requants]
    if max(r.multipliers[0] * g for r, g in zip(requants, grown, strict=True)) > MAX_MULTIPLIER:
        raise ValueError(
            f"the scales of its inputs are too far apart for multipliers of at most "
            f"{MAX_MULTIPLIER} over one shift; requantize them to closer ones before"
        )
    return replace(
        requants[0],
        multipliers=tuple(r.multipliers[0] * g for r, g in zip(requants, grown, strict=True)),
        offsets=tuple(r.offsets[0] * g for r, g in zip(requants, grown, strict=True)),
        shift=shift,
    )

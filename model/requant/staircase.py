"""Requantizations as staircases: the thresholds of their outputs, and differences between two.

Every reference of ``references.py`` and every fixed-point form is monotone in the accumulator, so
its thresholds describe it completely: for each output k, the least accumulator with an output of at
least k. Bisection finds them, all thresholds of a channel at once. Two forms with the same
thresholds are equal on every accumulator between the ends of the range.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .references import REFERENCES, Acc, Bias, Scale
from .requant import Requant, requantize

__all__ = [
    "NoMultiplierError",
    "Target",
    "channel_of",
    "check",
    "differences",
    "reference_outputs",
    "reference_thresholds",
    "thresholds",
]


class NoMultiplierError(ValueError):
    """No fixed-point multiplier equals the reference on every reachable accumulator."""


@dataclass(frozen=True)
class Target:
    """The requantization to be equalled.

    Parameters
    ----------
    reference : a name of ``references.REFERENCES``, or a requantization
    scales : the real factor Sx * Sw / Sy per output channel, in the form that the reference uses
    lo, hi : the reachable accumulators per output channel, int64 (OC,)
    zero_point, low, high : of the output, as in ``requant.py``
    biases : per output channel, in the form that the reference uses; empty if all are 0
    """

    reference: str | Requant
    scales: Sequence[Scale]
    lo: Acc
    hi: Acc
    zero_point: int
    low: int
    high: int
    biases: Sequence[Bias] = ()

    @property
    def name(self) -> str:
        """The reference's name, for messages."""
        if isinstance(self.reference, str):
            return self.reference
        bits = max(self.reference.multipliers).bit_length()
        return f"M of {bits} bits over 2**{self.reference.shift}"

    def bias(self, channel: int) -> Bias:
        """The bias of a channel."""
        return self.biases[channel] if self.biases else 0.0

    def only(self, channel: int) -> Target:
        """The target restricted to one channel."""
        at = slice(channel, channel + 1)
        return replace(
            self,
            scales=self.scales[at],
            lo=self.lo[at],
            hi=self.hi[at],
            biases=self.biases[at],
        )


def reference_outputs(target: Target, channel: int, acc: Acc) -> Acc:
    """The reference's clamped outputs for accumulators of one channel; int64, shape of ``acc``."""
    if isinstance(target.reference, Requant):
        return requantize(acc, channel_of(target.reference, channel), target.zero_point)
    return REFERENCES[target.reference](
        acc,
        target.scales[channel],
        target.zero_point,
        target.low,
        target.high,
        target.bias(channel),
    )


def thresholds(function: Callable[[Acc], Acc], lo: int, hi: int, outputs: Acc) -> Acc:
    """For each output, the least accumulator in [lo, hi] at which ``function`` reaches it.

    The result is lo if all accumulators reach it, and hi + 1 if none does. int64, the shape of
    ``outputs``.
    """
    left = np.full(outputs.shape, lo, dtype=np.int64)
    right = np.full(outputs.shape, hi + 1, dtype=np.int64)
    while (left < right).any():
        middle = np.minimum((left + right) // 2, hi)
        reached = function(middle) >= outputs
        searching = left < right
        right = np.where(searching & reached, middle, right)
        left = np.where(searching & ~reached, middle + 1, left)
    return left


def reference_thresholds(target: Target, channel: int) -> Acc:
    """The reference's thresholds in a channel, one for each output in (low, high]."""
    lo, hi = int(target.lo[channel]), int(target.hi[channel])
    outputs = np.arange(target.low + 1, target.high + 1, dtype=np.int64)
    return thresholds(lambda acc: reference_outputs(target, channel, acc), lo, hi, outputs)


def channel_of(requant: Requant, channel: int) -> Requant:
    """The requantization of one channel."""
    return replace(
        requant,
        multipliers=requant.multipliers[channel : channel + 1] or requant.multipliers,
        offsets=requant.offsets[channel : channel + 1] or requant.offsets,
    )


def _pair(target: Target, requant: Requant, channel: int) -> tuple[Acc, Acc]:
    """The thresholds of the reference and of a requantization in one channel."""
    lo, hi = int(target.lo[channel]), int(target.hi[channel])
    outputs = np.arange(target.low + 1, target.high + 1, dtype=np.int64)
    single = channel_of(requant, channel)
    got = thresholds(lambda acc: requantize(acc, single, target.zero_point), lo, hi, outputs)
    return reference_thresholds(target, channel), got


def differences(target: Target, requant: Requant) -> tuple[int, int]:
    """Count the reachable accumulators, all channels, on which ``requant`` differs from ``target``.

    Returns (how many differ, how many there are).
    """
    different = 0
    for channel in range(len(target.scales)):
        expected, got = _pair(target, requant, channel)
        # The two differ between their thresholds of an output. Both ends rise, so of overlapping
        # intervals only the part after the previous end is counted.
        start, end = np.minimum(expected, got), np.maximum(expected, got)
        before = np.concatenate([start[:1], end[:-1]])
        different += int(np.maximum(end - np.maximum(start, before), 0).sum())
    return different, int((target.hi - target.lo + 1).sum())


def check(target: Target, requant: Requant) -> int:
    """Compare ``requant`` with the reference on every reachable accumulator of every channel.

    Returns the number of accumulators compared. Raises NoMultiplierError at the first difference.
    """
    for channel in range(len(target.scales)):
        expected, got = _pair(target, requant, channel)
        if not np.array_equal(expected, got):
            acc = np.minimum(expected, got)[expected != got].min(keepdims=True)
            ours = requantize(acc, channel_of(requant, channel), target.zero_point)[0]
            raise NoMultiplierError(
                f"channel {channel}: accumulator {acc[0]} gives {ours}, the reference "
                f"{target.name} {reference_outputs(target, channel, acc)[0]}"
            )
    return int((target.hi - target.lo + 1).sum())

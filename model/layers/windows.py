"""Windows that slide over a map: how many there are, and what one tap of all of them reads."""

from __future__ import annotations

__all__ = ["output_extent", "tap"]


def output_extent(size: int, kernel: int, stride: int, pads: tuple[int, int], dilation: int) -> int:
    """The windows along one axis of ``size`` positions; below 1 where the kernel does not fit."""
    return (size + sum(pads) - dilation * (kernel - 1) - 1) // stride + 1


def tap(first: int, count: int, stride: int) -> slice:
    """The positions of one tap in ``count`` windows, of which the first reads ``first``."""
    return slice(first, first + (count - 1) * stride + 1, stride)

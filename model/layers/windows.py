"""Sliding windows over a map: their number, and the positions that one tap of all windows reads."""

from __future__ import annotations

__all__ = ["output_extent", "tap"]


def output_extent(size: int, kernel: int, stride: int, pads: tuple[int, int], dilation: int) -> int:
    """The windows along one axis of ``size`` positions; below 1 if the kernel does not fit."""
    return (size + sum(pads) - dilation * (kernel - 1) - 1) // stride + 1


def tap(first: int, count: int, stride: int) -> slice:
    """The positions that one tap reads in ``count`` windows; the first window reads ``first``."""
    return slice(first, first + (count - 1) * stride + 1, stride)

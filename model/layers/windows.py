"""Sliding windows over a map: their number, and the positions that one tap of all windows reads."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["output_extents", "tap"]


def output_extents(
    size: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int] = (0, 0, 0, 0),
    dilation: Sequence[int] = (1, 1),
) -> tuple[int, int]:
    """The windows down and across a map; below 1 along an axis if the kernel does not fit.

    size : (H, W) or (H, W, C); padding (top, left, bottom, right), the others (y, x)
    """
    rows, columns = (
        (extent + before + after - dilated * (taps - 1) - 1) // step + 1
        for extent, before, after, dilated, taps, step in zip(
            size, padding[:2], padding[2:], dilation, kernel, stride, strict=False
        )
    )
    return rows, columns


def tap(first: int, count: int, stride: int) -> slice:
    """The positions that one tap reads in ``count`` windows; the first window reads ``first``."""
    return slice(first, first + (count - 1) * stride + 1, stride)

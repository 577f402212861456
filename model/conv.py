"""Convolution over integers: a plain loop to read, and a fast form that a test holds equal to it.

    acc[oy, ox, oc] = bias[oc] + sum (x[iy, ix, ic] - Zx) * (w[oc, ky, kx, ic] - Zw[oc])
    iy = oy * stride_y + ky * dilation_y - pad_top, ix likewise; outside the map x - Zx is 0

The output's extent follows ONNX Conv (operator set 11) with floor rounding: rows that the last
window does not reach are dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from .layers import Conv2d

__all__ = ["accumulate", "accumulate_loop", "output_extent"]

FLOAT32_EXACT = 1 << 24  # integers up to here, and so their sums, are exact in float32


def output_extent(size: int, kernel: int, stride: int, pads: tuple[int, int], dilation: int) -> int:
    """The windows along one axis of ``size`` positions; below 1 where the kernel does not fit."""
    return (size + sum(pads) - dilation * (kernel - 1) - 1) // stride + 1


def accumulate_loop(x: npt.NDArray[Any], conv: Conv2d, zero_point: int) -> npt.NDArray[np.int64]:
    """The definition, one multiply at a time, in Python's unbounded integers.

    Parameters
    ----------
    x : (H, W, IC) integers, one image
    zero_point : Zx

    Returns int64 (OH, OW, OC). Raises OverflowError where a sum leaves int32.
    """
    height, width, _ = x.shape
    oc_count, kh, kw, icg = conv.weights.values.shape
    top, left, bottom, right = conv.padding
    oh = output_extent(height, kh, conv.stride[0], (top, bottom), conv.dilation[0])
    ow = output_extent(width, kw, conv.stride[1], (left, right), conv.dilation[1])
    out = np.zeros((oh, ow, oc_count), dtype=np.int64)
    weight_zero_points = conv.weights.zero_points_per_channel
    for oy, ox, oc in np.ndindex(oh, ow, oc_count):
        first_ic = oc // (oc_count // conv.groups) * icg
        acc = int(conv.bias[oc])
        for ky, kx, ic in np.ndindex(kh, kw, icg):
            iy = oy * conv.stride[0] + ky * conv.dilation[0] - top
            ix = ox * conv.stride[1] + kx * conv.dilation[1] - left
            if 0 <= iy < height and 0 <= ix < width:
                activation = int(x[iy, ix, first_ic + ic]) - zero_point
                acc += activation * (
                    int(conv.weights.values[oc, ky, kx, ic]) - weight_zero_points[oc]
                )
        if not -(1 << 31) <= acc < 1 << 31:
            raise OverflowError(f"Layer {conv.name!r}: accumulator {acc} leaves int32")
        out[oy, ox, oc] = acc
    return out


def accumulate(x: npt.NDArray[Any], conv: Conv2d, zero_point: int) -> npt.NDArray[np.int64]:
    """The fast form: a matrix product per group on BLAS, exact because every partial sum is an
    integer that the float type holds.

    Parameters
    ----------
    x : (N, H, W, IC) integers
    zero_point : Zx

    Returns int64 (N, OH, OW, OC).
    """
    exact = _magnitude(x, conv, zero_point) < FLOAT32_EXACT
    dtype: type[np.floating[Any]] = np.float32 if exact else np.float64
    centered: npt.NDArray[Any] = x.astype(dtype)
    if zero_point:
        centered -= zero_point
    patches = _patches(centered, conv)
    weights = conv.weights.centered.astype(dtype)  # (OC, KH, KW, ICG)
    n, oh, ow, kh, kw, _ = patches.shape
    oc_count, *_, icg = weights.shape
    ocg = oc_count // conv.groups
    out = np.empty((n, oh, ow, oc_count), dtype=dtype)
    for group in range(conv.groups):
        columns = patches[..., group * icg : (group + 1) * icg].reshape(n * oh * ow, kh * kw * icg)
        kernel = weights[group * ocg : (group + 1) * ocg].reshape(ocg, kh * kw * icg)
        product = columns @ kernel.T
        out[..., group * ocg : (group + 1) * ocg] = product.reshape(n, oh, ow, ocg)
    acc: npt.NDArray[np.int64] = out.astype(np.int64) + conv.bias
    return acc


def _magnitude(x: npt.NDArray[Any], conv: Conv2d, zero_point: int) -> int:
    """A bound on every |partial sum| for any activation of x's dtype, bias left out."""
    limits = np.iinfo(x.dtype)
    activation = max(abs(limits.min - zero_point), abs(limits.max - zero_point))
    return int(np.abs(conv.weights.centered).sum(axis=(1, 2, 3)).max()) * activation


def _patches(centered: npt.NDArray[Any], conv: Conv2d) -> npt.NDArray[Any]:
    """Every window of a centered batch as a view, (N, OH, OW, KH, KW, IC)."""
    _, kh, kw, _ = conv.weights.values.shape
    top, left, bottom, right = conv.padding
    if any(conv.padding):
        centered = np.pad(centered, ((0, 0), (top, bottom), (left, right), (0, 0)))
    dy, dx = conv.dilation
    span = (dy * (kh - 1) + 1, dx * (kw - 1) + 1)
    windows = np.lib.stride_tricks.sliding_window_view(centered, span, axis=(1, 2))
    strided = windows[:, :: conv.stride[0], :: conv.stride[1], :, ::dy, ::dx]
    return strided.transpose(0, 1, 2, 4, 5, 3)

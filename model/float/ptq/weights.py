"""Weights and biases of a float layer as integers, rounded to the nearest, ties to even."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ...builder import Grid
from ...dtypes import Integers
from ...layers import NetworkError
from ...layers.weights import Weights, channels_last
from .observers import extremes_of
from .schemes import Scheme

__all__ = ["least_scales", "quantize_bias", "quantize_weights", "weights_on"]

Floats = npt.NDArray[np.float64]


def quantize_weights(
    values: npt.NDArray[np.floating], scheme: Scheme, least: Callable[[float], Floats] | None = None
) -> Weights:
    """Quantize weights (OC, IC / groups, KH, KW) or (OC, IC) to integers (OC, KH, KW, IC / groups).

    Parameters
    ----------
    least : a function of the widest scale that gives the least allowed scale of each channel,
        (OC,); used if each channel has its own scale; see :func:`least_scales`

    A channel of zeros takes the largest scale of the others. Raises NetworkError if all weights are
    0, or the scheme has more than 8 bits.
    """
    if scheme.bits > 8:
        raise NetworkError(f"weights must have 2 to 8 bits, not {scheme.bits}")
    exact = channels_last(values.astype(np.float64))
    if not exact.any():
        raise NetworkError("its weights are all 0; train the network again")
    channels = exact.reshape(len(exact) if scheme.per_channel else 1, -1)
    grids = [scheme.grid(*extremes_of(part, scheme)) if part.any() else None for part in channels]
    widest = max((grid for grid in grids if grid is not None), key=lambda grid: grid.scale)
    found = [replace(widest, zero_point=0) if grid is None else grid for grid in grids]
    scales, zero_points = (
        np.array([getattr(grid, name) for grid in found]) for name in ("scale", "zero_point")
    )
    if least is not None and scheme.per_channel:  # a larger scale still covers all weights
        scales = np.maximum(scales, least(widest.scale))
    return weights_on(values, scales, zero_points, scheme)


def least_scales(bias: Floats, x: Grid, y: Grid, bits: int) -> Callable[[float], Floats]:
    """The least weight scales for which a layer's biases fit, as a function of the widest scale.

    A channel of tiny weights would have a tiny scale. Its bias, in steps of Sx * Sw, would leave
    int32, and its multiplier, over the one shift of the layer, would have no bits left. M of
    ``bits`` bits is there at least 2**(bits - 1) * Sw / widest, and rounded by at most 1/2.
    Therefore

        |bias| <= 2**30 * Sx * Sw        and        |bias| / Sy / 2 <= 2**(bits - 2) * Sw / widest

    keep the bias in int32 and move the output by at most half a step. The weights lose less: at
    1/128 of the widest scale, a channel's weights contribute only about two steps of the output.

    Parameters
    ----------
    bias : real values, (OC,)
    x, y : the grids of the layer's input and output
    bits : of the greatest M
    """
    in_int32 = np.abs(bias) / (x.scale * (1 << 30))
    shares = np.minimum(np.abs(bias) / y.scale / 2.0 ** (bits - 1), 1.0)
    return lambda widest: np.maximum(in_int32, widest * shares)


def weights_on(
    values: npt.NDArray[np.floating], scales: Floats, zero_points: Integers, scheme: Scheme
) -> Weights:
    """Round weights, in the axes of :func:`quantize_weights`, to one grid or one per channel."""
    exact = channels_last(values.astype(np.float64))
    steps, offsets = (array.reshape(-1, 1, 1, 1) for array in (scales, zero_points))
    return Weights(
        values=np.clip(np.rint(exact / steps) + offsets, *scheme.ends).astype(np.int64),
        dtype=scheme.dtype,
        scales=tuple(scales.tolist()),
        zero_points=tuple(zero_points.tolist()),
    )


def quantize_bias(bias: Floats, x: Grid, weights: Weights) -> Integers:
    """A bias (OC,) as int32 at scale Sx * Sw. Raises NetworkError if it does not fit."""
    steps = np.rint(bias / (x.scale * np.array(weights.scales)))
    if np.abs(steps).max(initial=0) >= 1 << 31:
        way_out = "quantize its weights per tensor" if len(weights.scales) > 1 else "scale them up"
        raise NetworkError(
            f"its bias of {np.abs(bias).max():g} does not fit int32 at the scale of inputs times "
            f"weights; its weights are too small for it, {way_out}"
        )
    return steps.astype(np.int64)

"""The random elements of layers: tensors, images, weights, requantizations.

Each argument fixes one choice; None means that it is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..dtypes import INT8, UINT8, Array, Integers, IntType
from ..layers import Tensor
from ..layers.weights import Weights
from ..requant import Requant, Rounding, fixed_point

__all__ = [
    "FIXED_POINT",
    "INT8",
    "UINT8",
    "drawn",
    "random_images",
    "random_requant",
    "random_tensor",
    "random_weights",
]

FIXED_POINT = [rule for rule in Rounding if rule is not Rounding.FLOAT32]  # these round once
MOST_OFFSET = 1 << 60  # so that its sum with a product below 2**62 fits int64

Rng = np.random.Generator
Bounds = Integers


def drawn(rng: Rng, choice: bool | None) -> bool:
    """The given choice, or a random one if it is None."""
    return bool(rng.integers(2)) if choice is None else choice


def random_tensor(
    rng: Rng,
    name: str,
    shape: Sequence[int],
    dtype: IntType = UINT8,
    zero_point: int | None = None,
) -> Tensor:
    """A tensor (H, W, C) with a random scale, and a random zero point if none is given."""
    if zero_point is None:
        zero_point = int(rng.integers(dtype.qmin, dtype.qmax, endpoint=True))
    height, width, channels = (int(extent) for extent in shape)
    return Tensor(name, (height, width, channels), dtype, float(rng.uniform(0.001, 2)), zero_point)


def random_images(rng: Rng, tensor: Tensor, count: int) -> Array:
    """Images (N, H, W, C) in the dtype of ``tensor``: the first all minimum, the second all
    maximum, the others uniform noise."""
    low, high = tensor.dtype.qmin, tensor.dtype.qmax
    images = rng.integers(low, high, (count, *tensor.shape), endpoint=True)
    images[:1] = low
    images[1:2] = high
    return images.astype(tensor.dtype.numpy)


def random_weights(
    rng: Rng,
    shape: Sequence[int],
    dtype: IntType = INT8,
    symmetric: bool = True,
    per_channel: bool | None = None,
) -> Weights:
    """Weights (OC, KH, KW, IC / groups) over the whole range of their type."""
    count = shape[0] if drawn(rng, per_channel) else 1
    zero_points = rng.integers(dtype.qmin, dtype.qmax, count, endpoint=True)
    return Weights(
        values=rng.integers(dtype.qmin, dtype.qmax, tuple(shape), endpoint=True),
        dtype=dtype,
        scales=tuple(rng.uniform(0.001, 0.1, count).tolist()),
        zero_points=(0,) if symmetric else tuple(zero_points.tolist()),
    )


def random_requant(
    rng: Rng,
    lo: Bounds,
    hi: Bounds,
    y: Tensor,
    *,
    rounding: Rounding | None = None,
    per_channel: bool | None = None,
    relu: bool | None = None,
    offsets: int = 0,
) -> Requant:
    """A requantization that maps accumulators in [lo, hi] to y's range and somewhat beyond.

    ``offsets`` is the number of offsets, each within some output steps; none by default.
    """
    reach = np.maximum(np.maximum(np.abs(lo), np.abs(hi)), 1)
    if not drawn(rng, per_channel):
        reach = reach.max(keepdims=True)
    scales = (y.dtype.qmax - y.dtype.qmin) * rng.uniform(0.5, 5, reach.shape) / reach
    try:
        multipliers, shift = fixed_point(scales.tolist(), bits=int(rng.integers(8, 32)))
    except ValueError:  # the factors are too far apart for this number of bits
        multipliers, shift = fixed_point([float(scales.max())], bits=16)
    most = min(4 << shift, MOST_OFFSET)
    return Requant(
        multipliers=multipliers,
        shift=shift,
        rounding=rng.choice(np.array(FIXED_POINT)) if rounding is None else rounding,
        low=y.zero_point if drawn(rng, relu) else y.dtype.qmin,
        high=y.dtype.qmax,
        offsets=tuple(rng.integers(-most, most, offsets).tolist()) if offsets else (0,),
    )

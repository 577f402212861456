"""Resize by an integer factor with the nearest neighbour; others are refused.

Sources: ONNX Resize-19; ONNX Runtime ``core/providers/cpu/tensor/upsample.cc``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

from ...ordered import Ordered
from .graph import Node
from .reader import Reader
from .shapes import Shaped, extents_of

__all__ = ["factor_of", "resize"]

# By coordinate_transformation_mode: (place in the output, factor) -> place in the input.
COORDINATES: dict[bytes, Callable[[int, int], Fraction]] = {
    b"asymmetric": lambda place, factor: Fraction(place, factor),
    b"half_pixel": lambda place, factor: Fraction(2 * place + 1, 2 * factor) - Fraction(1, 2),
    b"pytorch_half_pixel": lambda place, factor: (
        Fraction(2 * place + 1, 2 * factor) - Fraction(1, 2)
    ),
    b"tf_half_pixel_for_nn": lambda place, factor: Fraction(2 * place + 1, 2 * factor),
}
ROUNDING: dict[bytes, Callable[[Fraction], int]] = {  # by nearest_mode
    b"floor": math.floor,
    b"ceil": math.ceil,
    b"round_prefer_floor": lambda place: math.ceil(place - Fraction(1, 2)),
    b"round_prefer_ceil": lambda place: math.floor(place + Fraction(1, 2)),
}


def resize(reader: Reader, node: Node, x: Ordered) -> Ordered:
    """A Resize of a map, as an upsampling."""
    return reader.builder.upsample(reader.fresh(node), x, factor_of(reader, node, x.dims))


def factor_of(reader: Shaped, node: Node, dims: tuple[int, ...]) -> tuple[int, int]:
    """The factors of rows and columns by which a Resize repeats the values of a map (C, H, W).

    Raises NetworkError if they are no integers, or if it does not repeat each value.
    """
    if len(dims) != 3:
        raise node.refuse("its input is flat", "put it before the Flatten")
    factor = _factor(reader, node, dims)
    coordinates = node.attributes.get("coordinate_transformation_mode", b"half_pixel")
    rounding = node.attributes.get("nearest_mode", b"round_prefer_floor")
    for what, mode, known in (
        ("coordinate_transformation_mode", coordinates, COORDINATES),
        ("nearest_mode", rounding, ROUNDING),
    ):
        if mode not in known:
            names = " or ".join(name.decode() for name in list(known)[:2])
            raise node.refuse(f"{what} is {mode.decode(errors='replace')!r}", f"use {names}")
    for size, times in zip(dims[1:], factor, strict=True):
        if coordinates == b"pytorch_half_pixel" and size * times == 1:
            continue  # one place, 0
        for place in range(size * times):
            at = COORDINATES[coordinates](place, times)
            if min(max(ROUNDING[rounding](at), 0), size - 1) != place // times:
                modes = f"{coordinates.decode()} with {rounding.decode()}"
                raise node.refuse(
                    f"{modes} does not repeat each value {times} times",
                    "use coordinate_transformation_mode asymmetric with nearest_mode floor",
                )
    return factor


def _factor(reader: Shaped, node: Node, dims: tuple[int, ...]) -> tuple[int, int]:
    """The factors of rows and columns. Raises NetworkError if they are no integers."""
    before = [1, *dims]
    axes = [axis % 4 for axis in node.attributes.get("axes", range(4))]
    if node.input(3):
        sizes = extents_of(reader, node, node.input(3))
        if 0 in axes[: len(sizes)] and sizes[axes.index(0)] not in (0, reader.graph.batch):
            reason = f"its sizes set the batch to {sizes[axes.index(0)]}"
            raise node.refuse(reason, "export the model with a fixed batch, or resize by scales")
        found = [
            Fraction(size, before[axis]) if axis else Fraction(1)
            for axis, size in zip(axes, sizes, strict=False)
        ]
    else:
        scales = reader.graph.constant(node, node.input(2))
        if scales.dtype.kind != "f" or scales.ndim != 1:
            raise node.refuse("its scales are no list of numbers", "export the model again")
        found = [Fraction(float(scale)) for scale in scales]
    if len(found) != len(axes):
        reason = f"it has {len(found)} factors for {len(axes)} axes"
        raise node.refuse(reason, "export the model again")
    factors = [Fraction(1)] * 4
    for axis, number in zip(axes, found, strict=True):
        factors[axis] = number
    if factors[:2] != [1, 1] or any(n.denominator != 1 or n < 1 for n in factors[2:]):
        shown = ", ".join(str(float(number)) for number in factors)
        reason = f"it resizes by ({shown})"
        raise node.refuse(reason, "enlarge rows and columns by integers")
    return int(factors[2]), int(factors[3])

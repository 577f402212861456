"""Random concatenations: of a draft's tensors, and of convolutions of one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..dtypes import IntType
from ..layers import Layer, Tensor
from ..layers.concat import Concat
from ..network import QNetwork
from ..requant import Requant, Rounding
from .convs import network_of, random_conv
from .draft import Draft
from .draws import INT8, UINT8, Rng, drawn, random_requant, random_tensor

__all__ = ["concat", "random_concat", "random_concat_requant"]

TYPES = (UINT8, INT8, IntType(4, signed=True), IntType(11, signed=False))


def concat(draft: Draft, inputs: Sequence[Tensor]) -> Tensor:
    """Concatenate the channels of tensors of one height and width; often on their common grid."""
    first, *others = inputs
    name = draft.name("concat")
    shape = (*first.shape[:2], sum(x.shape[2] for x in inputs))
    one_grid = len({(x.dtype, x.scale, x.zero_point) for x in inputs}) == 1
    y = (
        draft.like(first, name, shape)
        if one_grid and draft.chance(0.7)
        else draft.grid(name, shape)
    )
    requant = random_concat_requant(draft.rng, inputs, y, rounding=draft.rule())
    names = tuple(x.name for x in others)
    layer = Concat(name=name, input=first.name, output=y.name, others=names, requant=requant)
    return draft.append(layer, y)


def random_concat(
    rng: Rng,
    *,
    shape: Sequence[int] | None = None,
    rounding: Rounding | None = None,
    one_grid: bool | None = None,
) -> QNetwork:
    """Several convolutions of one image, 1x1 and 3x3, and a concatenation of their outputs. It may
    also read the image, or one output twice.

    one_grid : whether all tensors are on one grid, so that nothing is rounded
    """
    if shape is None:
        shape = (*(int(extent) for extent in rng.integers(1, 6, 2)), int(rng.integers(1, 4)))
    one_grid = drawn(rng, one_grid)
    x = random_tensor(rng, "image", shape)
    branches = [_branch(rng, x, index, one_grid) for index in range(int(rng.integers(1, 4)))]
    tensors = [y for _, y in branches]
    more = [*tensors, x][int(rng.integers(len(tensors) + 1))]
    read = [*tensors, more] if len(tensors) == 1 or rng.integers(2) else list(tensors)
    read = [read[index] for index in rng.permutation(len(read))]
    channels = sum(tensor.shape[2] for tensor in read)
    y = random_tensor(rng, "logits", (*shape[:2], channels), _type(rng, one_grid))
    y = _moved(y, x) if one_grid else y
    concat = Concat(
        name="concat",
        input=read[0].name,
        output=y.name,
        others=tuple(tensor.name for tensor in read[1:]),
        requant=random_concat_requant(rng, read, y, rounding=rounding),
    )
    return network_of(x, [*(conv for conv, _ in branches), concat], [*tensors, y])


def _branch(rng: Rng, x: Tensor, index: int, one_grid: bool) -> tuple[Layer, Tensor]:
    """A convolution that keeps height and width, and its output."""
    size = int(rng.choice([1, 3]))
    conv, y = random_conv(
        rng,
        x,
        name=f"conv{index}",
        kernel=(size, size),
        stride=(1, 1),
        padding=(size // 2,) * 4,
        output_type=_type(rng, one_grid),
        relu=False,
    )
    return conv, _moved(y, x) if one_grid else y


def _type(rng: Rng, one_grid: bool) -> IntType:
    return UINT8 if one_grid else TYPES[int(rng.integers(len(TYPES)))]


def _moved(y: Tensor, x: Tensor) -> Tensor:
    """``y`` on the grid of ``x``."""
    return replace(y, scale=x.scale, zero_point=x.zero_point)


def random_concat_requant(
    rng: Rng, read: Sequence[Tensor], y: Tensor, *, rounding: Rounding | None = None
) -> Requant:
    """A requantization that changes nothing if all tensors are on y's grid. Otherwise it maps each
    tensor's range to y's range and somewhat beyond, in some cases with offsets."""
    rounding = list(Rounding)[int(rng.integers(len(Rounding)))] if rounding is None else rounding
    if all((x.dtype, x.scale, x.zero_point) == (y.dtype, y.scale, y.zero_point) for x in read):
        shift = int(rng.integers(3))
        return Requant((1 << shift,), shift, rounding, y.dtype.qmin, y.dtype.qmax)
    lo = np.array([x.dtype.qmin - x.zero_point for x in read])
    hi = np.array([x.dtype.qmax - x.zero_point for x in read])
    offsets = len(read) if rng.integers(2) else 0
    return random_requant(rng, lo, hi, y, rounding=rounding, relu=False, offsets=offsets)

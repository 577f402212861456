"""Random concatenations of a draft's tensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..layers import Tensor
from ..layers.concat import Concat
from ..requant import Requant, Rounding
from .draft import Draft
from .draws import Rng, random_requant

__all__ = ["concat", "random_concat_requant"]


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

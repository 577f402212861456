"""Random networks of all operators: chains with forks that join again, from a seed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..layers import Tensor
from ..network import QNetwork
from . import operators as op
from .concats import concat
from .draft import Draft

__all__ = ["network_of_seed"]

Operator = Callable[[Draft, Tensor], Tensor]

LEAST_LAYERS, MOST_LAYERS = 2, 6  # before the scores and the argmax


def network_of_seed(seed: int) -> QNetwork:
    """The network of a seed: about two to six layers, then possibly scores and their argmax.

    Networks are small: maps up to 9x9 plus padding, up to 8 channels, so an image takes some
    thousands of cycles at most. The same seed gives the same network with the same numpy.
    """
    rng = np.random.default_rng(seed)
    draft = Draft.begin(rng)
    count = int(rng.integers(LEAST_LAYERS, MOST_LAYERS + 1))
    x = draft.image
    while len(draft.layers) < count:
        x = _one_of(draft, STEPS)(draft, x)
    if draft.chance(0.4):
        x = _one_of(draft, ENDS)(draft, x)
        if draft.chance(0.7):
            op.argmax(draft, x)
    return draft.network(f"fuzz_{seed}")


def _residual(draft: Draft, x: Tensor) -> Tensor:
    """A fork whose two branches keep the shape and join in an addition."""
    long = x
    for _ in range(int(draft.rng.integers(1, 3))):
        long = _one_of(draft, KEEPING)(draft, long)
    short = op.same_convolution(draft, x) if draft.chance(0.3) else x
    both = [long, short] if draft.chance(0.5) else [short, long]
    return op.add(draft, *both)


def _branches(draft: Draft, x: Tensor) -> Tensor:
    """A fork of two or three branches that keep the shape; they join in a concatenation."""
    count = int(draft.rng.integers(2, 4))
    if count * x.shape[2] > op.MOST_CHANNELS:
        return _residual(draft, x)
    ways = []
    for _ in range(count):
        y = x
        for _ in range(int(draft.rng.integers(0, 3))):
            y = _one_of(draft, KEEPING)(draft, y)
        ways.append(y)
    return concat(draft, ways)


def _one_of(draft: Draft, choices: dict[Operator, int]) -> Operator:
    """A random operator, chosen by weight."""
    weights = np.array(list(choices.values()))
    chosen: Operator = list(choices)[draft.rng.choice(len(weights), p=weights / weights.sum())]
    return chosen


STEPS: dict[Operator, int] = {
    op.convolution: 6,
    op.same_convolution: 2,
    op.max_pool: 3,
    op.average_pool: 3,
    op.relu: 1,
    op.table: 1,
    op.upsample: 1,
    op.requantize: 1,
    op.linear: 1,
    op.whole_map: 1,
    _residual: 3,
    _branches: 2,
}
KEEPING: dict[Operator, int] = {
    op.same_convolution: 4,
    op.same_pool: 1,
    op.relu: 1,
    op.table: 1,
    op.requantize: 1,
    _residual: 1,
}
ENDS: dict[Operator, int] = {op.linear: 1, op.whole_map: 1}

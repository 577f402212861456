"""The narrowest requantization that equals a given one: a smaller multiplier, no output changed.

What a network file defines, M of 16 bits say, is a staircase over the accumulators that the weights
let a layer reach, its ends held by the clamp. Other M, n and B make the same staircase; the search
of ``requant/multipliers.py`` finds those of the fewest bits and compares them at every threshold,
which for two staircases is every accumulator. An offset is sought too where all channels share it:
hardware adds it with the half of the rounding, in a sum that is there anyway. Of an addition, all
pairs of inputs are compared. A layer with too many steps to be searched loses the twos that its
numbers share.

What was found carries the definition as its ``reference``, so that the proof can be done again,
and so that a search never starts from what another one found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from functools import partial
from math import gcd

import numpy as np
import numpy.typing as npt

from ..builder import Rescale
from ..dtypes import Bounds
from ..layers import Layer, NetworkError, Requantizing, Tensor, in_layer
from ..network import QNetwork
from ..requant import Requant, Rounding, rescale
from ..requant.multipliers import NoMultiplierError, Target, check, narrow
from ..requant.offsets import narrow_with_offset
from .add import search_add

__all__ = ["narrowed", "narrowest", "narrowing", "proven", "target_of"]

PAIR_BITS = 8  # of an addition's inputs; beyond, all their pairs are too many
MAX_STEPS = 1 << 17  # outputs times channels that are searched; some ten seconds

Ints = npt.NDArray[np.int64]


def narrowed(network: QNetwork) -> QNetwork:
    """The same network, every layer with the narrowest multipliers that leave its outputs."""
    layers = [
        replace(layer, requant=narrowest(layer.requant, *_surroundings(network, layer)))
        if isinstance(layer, Requantizing)
        else layer
        for layer in network.layers
    ]
    return QNetwork(network.name, network.input, network.tensors, layers)


def narrowest(requant: Requant, inputs: Sequence[Tensor], y: Tensor, reach: Bounds) -> Requant:
    """The narrowest form of a layer's requantization, or of the definition that it carries.

    Parameters
    ----------
    inputs, y : the tensors read, and the one written
    reach : the least and greatest sums, see ``Requantizing.sum_bounds``

    Returns a Requant with fewer bits of M, or as many and a rule that takes less hardware, whose
    reference is that of ``requant`` or, where it has none, ``requant``; or else ``requant``.
    """
    definition = replace(requant.definition, reference=None)
    if len(reach[0]):
        found = _equal_staircases(target_of(definition, y.zero_point, reach), definition)
    else:
        found = _equal_sums(definition, inputs, y)
    best = min((_without_twos(definition), *found), key=_cost)
    if _cost(best) >= _cost(requant):
        return requant
    named = isinstance(requant.reference, str)
    return replace(best, reference=requant.reference if named else definition)


def narrowing(rescale: Rescale) -> Rescale:
    """The narrowest form of what ``rescale`` answers, which is taken for the definition."""

    def narrower(layer: Layer, inputs: tuple[Tensor, ...], y: Tensor, reach: Bounds) -> Requant:
        return narrowest(rescale(layer, inputs, y, reach), inputs, y, reach)

    return narrower


def proven(layer: Requantizing, network: QNetwork) -> int:
    """Prove once more that a layer's requantization equals the definition that it carries.

    Returns how many accumulators were compared, of an addition how many pairs; 0 where the layer
    carries no definition. Raises NetworkError, naming the layer, where the two differ, or where an
    addition has too many pairs to compare.
    """
    requant = layer.requant
    if not isinstance(requant.reference, Requant):
        return 0
    inputs, y, reach = _surroundings(network, layer)
    with in_layer(layer.name):
        if len(reach[0]):
            try:
                return check(target_of(requant.reference, y.zero_point, reach), requant)
            except NoMultiplierError as error:
                raise NetworkError(f"requant is not what it refers to: {error}") from None
        if max(x.dtype.bits for x in inputs) > PAIR_BITS:
            raise NetworkError(f"a reference of an addition above {PAIR_BITS} bits is not checked")
        table = _outputs_of_pairs(requant, inputs, y)
        different = int((table != _outputs_of_pairs(requant.reference, inputs, y)).sum())
        if different:
            raise NetworkError(f"requant is not what it refers to: {different} pairs differ")
        return table.size


def target_of(definition: Requant, zero_point: int, reach: Bounds) -> Target:
    """A definition as what is to be equalled: one channel where all share M and B, else each."""
    lo, hi = reach
    if max(len(definition.multipliers), len(definition.offsets)) == 1:
        lo, hi = lo.min(keepdims=True), hi.max(keepdims=True)
    multipliers = definition.per_channel(len(lo))
    offsets = definition.offsets if len(definition.offsets) > 1 else definition.offsets * len(lo)
    numbers = list(zip(multipliers, offsets, strict=True))
    return Target(
        reference=definition,
        scales=[Fraction(m, 1 << definition.shift) for m, _ in numbers],
        lo=lo,
        hi=hi,
        zero_point=zero_point,
        low=definition.low,
        high=definition.high,
        biases=[Fraction(b, m) for m, b in numbers] if definition.has_offsets else (),
    )


def _surroundings(network: QNetwork, layer: Requantizing) -> tuple[list[Tensor], Tensor, Bounds]:
    inputs = [network.tensors[name] for name in layer.reads]
    return inputs, network.tensors[layer.output], layer.sum_bounds(network)


def _cost(requant: Requant) -> tuple[int, int, bool]:
    """Bits of M; then what rounding adds to a shift: nothing, a constant, more; then offsets."""
    adds = {Rounding.FLOOR: 0, Rounding.HALF_UP: 1}.get(requant.rounding, 2)
    return max(requant.multipliers).bit_length(), adds, requant.has_offsets


def _without_twos(requant: Requant) -> Requant:
    """The same M / 2**n and B / 2**n without the factors of two that M, B and 2**n share."""
    numbers = gcd(1 << requant.shift, *requant.multipliers, *requant.offsets)
    return replace(
        requant,
        multipliers=tuple(m // numbers for m in requant.multipliers),
        offsets=tuple(b // numbers for b in requant.offsets),
        shift=requant.shift - (numbers.bit_length() - 1),
    )


def _equal_staircases(target: Target, definition: Requant) -> Iterator[Requant]:
    """What equals a definition: half-up, by its own rule, and with one offset for all channels."""
    if (target.high - target.low) * len(target.scales) > MAX_STEPS:
        return
    rules = dict.fromkeys([Rounding.HALF_UP, definition.rounding])
    searches = [partial(narrow, target, rule) for rule in rules]
    if len(target.scales) == 1:
        searches.append(partial(narrow_with_offset, target))
    for search in searches:
        with suppress(NoMultiplierError):
            yield search()


def _equal_sums(definition: Requant, inputs: Sequence[Tensor], y: Tensor) -> Iterator[Requant]:
    """What equals an addition on all pairs of its inputs."""
    if max(x.dtype.bits for x in inputs) <= PAIR_BITS:
        table = _outputs_of_pairs(definition, inputs, y)
        found, wrong = search_add(table, inputs[0], inputs[1], y, (definition.low, definition.high))
        if not wrong:
            yield found


def _outputs_of_pairs(requant: Requant, inputs: Sequence[Tensor], y: Tensor) -> Ints:
    """What an addition makes of every pair of values, int64 (A, B)."""
    first, second = (
        (np.arange(x.dtype.qmin, x.dtype.qmax + 1) - x.zero_point) * m
        for x, m in zip(inputs, requant.multipliers, strict=True)
    )
    sums = first[:, None] + second[None, :] + requant.offsets[0]
    return rescale(sums, requant, y.zero_point)

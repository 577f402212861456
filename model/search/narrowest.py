"""The narrowest requantization that equals a given one: a smaller multiplier, the same outputs.

A network file's definition, for example M of 16 bits, is a staircase over the accumulators that the
layer's weights allow; the clamp fixes its ends. Other M, n and B make the same staircase. The
search of ``requant/multipliers.py`` finds the ones with the fewest bits and compares them at every
threshold, which covers every accumulator. If all channels share one offset, an offset is searched
for too: hardware adds it together with the rounding constant, at no cost. For an addition, all
pairs of inputs are compared. If a layer has too many steps for the search, only the factors of two
that M, B and 2**n share are removed.

The result has the definition as its ``reference``. The proof can therefore be repeated, and a
search never starts from the result of another one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from functools import partial
from math import gcd

from ..builder import Policy
from ..dtypes import Bounds
from ..layers import Layer, NetworkError, Requantizing, Tensor, in_layer
from ..network import QNetwork
from ..requant import Requant, Rounding
from ..requant.multipliers import NoMultiplierError, Target, check, narrow
from ..requant.offsets import narrow_with_offset
from .add import outputs_of_pairs, search_add

__all__ = ["narrowed", "narrowest", "narrowing", "proven", "target_of"]

PAIR_BITS = 8  # of an addition's inputs; more bits have too many pairs
MAX_STEPS = 1 << 17  # the most outputs times channels for a search; about ten seconds


def narrowed(network: QNetwork) -> QNetwork:
    """The same network, each layer with the narrowest multipliers that keep its outputs."""
    return network.requantized(
        lambda layer: narrowest(layer.requant, *_surroundings(network, layer))
    )


def narrowest(requant: Requant, inputs: Sequence[Tensor], y: Tensor, reach: Bounds) -> Requant:
    """The narrowest form of a layer's requantization, or of the definition that it refers to.

    Parameters
    ----------
    inputs, y : the tensors read, and the tensor written
    reach : the least and greatest sums, see ``Requantizing.sum_bounds``

    Returns a Requant with fewer bits of M, or with equal bits and a cheaper rounding rule. Its
    reference is that of ``requant`` if it is a named rule, and otherwise the definition. Returns
    ``requant`` if there is nothing better.
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


def narrowing(rescale: Policy) -> Policy:
    """A Policy: the narrowest form of the result of ``rescale``, which is the definition."""

    def narrower(layer: Layer, inputs: tuple[Tensor, ...], y: Tensor, reach: Bounds) -> Requant:
        return narrowest(rescale(layer, inputs, y, reach), inputs, y, reach)

    return narrower


def proven(layer: Requantizing, network: QNetwork) -> int:
    """Prove again that a layer's requantization equals the definition that it refers to.

    Returns the number of accumulators compared, or of pairs for an addition; 0 if the layer refers
    to no definition. Raises NetworkError, which names the layer, if the two differ, or if an
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
                raise NetworkError(f"requant differs from its reference: {error}") from None
        if max(x.dtype.bits for x in inputs) > PAIR_BITS:
            raise NetworkError(f"a reference of an addition above {PAIR_BITS} bits is not checked")
        table = outputs_of_pairs(requant, inputs, y)
        different = int((table != outputs_of_pairs(requant.reference, inputs, y)).sum())
        if different:
            raise NetworkError(f"requant differs from its reference: {different} pairs differ")
        return table.size


def target_of(definition: Requant, zero_point: int, reach: Bounds) -> Target:
    """A definition as a search's target: one channel if all share M and B, else all channels."""
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
    """The order of preference: bits of M; cost of rounding (none, a constant, more); offsets."""
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
    """Requantizations equal to a definition: half-up, by its own rule, with a shared offset."""
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
    """Requantizations equal to an addition on all pairs of its inputs."""
    if max(x.dtype.bits for x in inputs) <= PAIR_BITS:
        table = outputs_of_pairs(definition, inputs, y)
        found, wrong = search_add(table, inputs[0], inputs[1], y, (definition.low, definition.high))
        if not wrong:
            yield found

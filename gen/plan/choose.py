"""Which forms of the layers a plan takes: pure functions over their costs and their cycles.

For any number of cycles there is a cheapest plan that takes no longer; everything else is a search
for the number of cycles.

How long a candidate takes may be slow to tell, how long at least is quick: ``least_cycles`` decides
wherever it can, and ``busy_cycles`` is asked of few.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

__all__ = [
    "FOREVER",
    "Candidate",
    "Options",
    "Plans",
    "front",
    "smallest",
    "within_cycles",
    "within_multipliers",
]

FOREVER = 1 << 48  # cycles; whatever can be built at all takes fewer


class Candidate(Protocol):
    """A form of a layer."""

    @property
    def price(self) -> tuple[int, ...]:
        """What is compared first."""

    @property
    def least_cycles(self) -> int:
        """No more than ``busy_cycles``, and quick to tell."""

    @property
    def busy_cycles(self) -> int:
        """Cycles of an image."""


class Plan(Protocol):
    """A candidate for each layer."""

    @property
    def multipliers(self) -> int:
        """Of all engines."""

    @property
    def cycles(self) -> int:
        """Of the slowest layer."""


C = TypeVar("C", bound=Candidate)
P = TypeVar("P", bound=Plan, covariant=True)


class Plans(Protocol[P]):
    """The plans that there are."""

    def cheapest(self, cycles: int) -> P | None:
        """The cheapest of at most so many cycles; None where a layer takes longer in any form."""

    def cycles_at_least(self, multipliers: int) -> int:
        """The cycles of which no plan of so many multipliers takes fewer; quick."""


class Options(Generic[C]):
    """A layer's candidates; of those alike in everything the first given counts."""

    def __init__(self, candidates: Sequence[C]) -> None:
        self._candidates = sorted(candidates, key=lambda each: (*each.price, each.least_cycles))

    def cheapest(self, cycles: int) -> C | None:
        """The cheapest that takes at most so many cycles, of equals the fastest; None without."""
        best: C | None = None
        for each in self._candidates:
            if best and (each.price > best.price or each.least_cycles >= best.busy_cycles):
                break
            if each.least_cycles <= cycles and each.busy_cycles <= cycles:
                best = each if best is None or each.busy_cycles < best.busy_cycles else best
        return best


def within_cycles(plans: Plans[P], cycles: int) -> P:
    """The cheapest plan of at most so many cycles; where there is none, of as few as there are."""
    found = plans.cheapest(cycles)
    if found is not None:
        return found
    return _at(plans, smallest(lambda number: plans.cheapest(number) is not None, cycles + 1))


def within_multipliers(plans: Plans[P], multipliers: int) -> P:
    """The fastest plan of at most so many multipliers, requantization left out, of those as fast
    the cheapest; where there is none, the fastest of those with the fewest multipliers."""
    budget = max(multipliers, _at(plans, FOREVER).multipliers)

    def fits(cycles: int) -> bool:
        found = plans.cheapest(cycles)
        return found is not None and found.multipliers <= budget

    return _at(plans, smallest(fits, max(plans.cycles_at_least(budget), 1)))


def front(plans: Plans[P], step: float = 1.0) -> Iterator[P]:
    """The plans of which none is both faster and cheaper than another, the smallest first.

    step : each takes less than this share of the cycles of the one before; 1 for all of them
    """
    chosen = within_multipliers(plans, 0)
    while True:
        cycles = chosen.cycles
        faster = within_cycles(plans, min(int(cycles * step), cycles - 1))
        best = faster.cycles >= cycles
        if best or faster.multipliers > chosen.multipliers:
            yield chosen
        if best:
            return
        chosen = faster


def _at(plans: Plans[P], cycles: int) -> P:
    found = plans.cheapest(cycles)
    assert found is not None
    return found


def smallest(fits: Callable[[int], bool], low: int) -> int:
    """The smallest number of at least ``low`` that fits, where all above one that fits do too."""
    high = low
    step = max(low // 64, 1)
    while not fits(high):
        low, high, step = high + 1, high + step, 2 * step
    while low < high:
        middle = (low + high) // 2
        if fits(middle):
            high = middle
        else:
            low = middle + 1
    return high

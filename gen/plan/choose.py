"""The choice of a form for each layer: pure functions of the forms' costs and cycles.

For each number of cycles there is a cheapest plan that takes no longer. Every other question is a
search for the number of cycles.

``cycles`` of a candidate may be slow to compute; its lower bound ``cycles_bound`` is fast. The
bound decides if it can, so ``cycles`` is computed for few candidates.
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

FOREVER = 1 << 48  # cycles; every plan that can be built takes fewer


class Candidate(Protocol):
    """A form of a layer."""

    @property
    def price(self) -> tuple[int, ...]:
        """The sort key, cheapest first."""

    @property
    def cycles_bound(self) -> int:
        """A lower bound on ``cycles`` that is cheap to compute."""

    @property
    def cycles(self) -> int:
        """Cycles of an image."""


class Combination(Protocol):
    """A candidate for each layer."""

    @property
    def multipliers(self) -> int:
        """Multipliers of all engines."""

    @property
    def cycles(self) -> int:
        """Cycles of the slowest layer."""


C = TypeVar("C", bound=Candidate)
P = TypeVar("P", bound=Combination, covariant=True)


class Plans(Protocol[P]):
    """All plans of a network."""

    def cheapest(self, cycles: int) -> P | None:
        """The cheapest plan within ``cycles``; None if a layer takes longer in every form."""

    def cycles_at_least(self, multipliers: int) -> int:
        """A cheap lower bound on the cycles of plans with ``multipliers`` multipliers."""


class Options(Generic[C]):
    """The candidates of a layer; among equal ones the first in ``candidates`` is used."""

    def __init__(self, candidates: Sequence[C]) -> None:
        self.candidates = sorted(candidates, key=lambda each: (*each.price, each.cycles_bound))

    def cheapest(self, cycles: int) -> C | None:
        """The cheapest candidate within ``cycles``; ties go to the fastest. None if none fits."""
        best: C | None = None
        for each in self.candidates:
            if best and (each.price > best.price or each.cycles_bound >= best.cycles):
                break
            if each.cycles_bound <= cycles and each.cycles <= cycles:
                best = each if best is None or each.cycles < best.cycles else best
        return best


def within_cycles(plans: Plans[P], cycles: int) -> P:
    """The cheapest plan within ``cycles``; if there is none, the cheapest of the fastest plans."""
    found = plans.cheapest(cycles)
    if found is not None:
        return found
    return _at(plans, smallest(lambda number: plans.cheapest(number) is not None, cycles + 1))


def within_multipliers(plans: Plans[P], multipliers: int) -> P:
    """The fastest plan within a multiplier budget (requantizers not counted).

    Ties go to the cheapest. If no plan is within the budget, the fastest plan with the fewest
    multipliers.
    """
    budget = max(multipliers, _at(plans, FOREVER).multipliers)

    def fits(cycles: int) -> bool:
        found = plans.cheapest(cycles)
        return found is not None and found.multipliers <= budget

    return _at(plans, smallest(fits, max(plans.cycles_at_least(budget), 1)))


def front(plans: Plans[P], step: float = 1.0) -> Iterator[P]:
    """The Pareto front of cycles and multipliers, the plan with the fewest multipliers first.

    step : greatest ratio of a plan's cycles to those of the plan before; 1 gives the whole front
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
    """The smallest number from ``low`` on that fits; every number above one that fits must fit."""
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

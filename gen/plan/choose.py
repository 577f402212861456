"""The choice of a form for each layer: pure functions of the costs and cycles of ``forms.py``.

For each number of cycles there is a cheapest plan that takes no longer. Every other question is a
search for the number of cycles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .forms import Choice, Forms

__all__ = ["FOREVER", "front", "smallest", "within_cycles", "within_multipliers"]

FOREVER = 1 << 48  # cycles; every plan that can be built takes fewer


def within_cycles(plans: Forms, cycles: int) -> Choice:
    """The cheapest plan within ``cycles``; if there is none, the cheapest of the fastest plans."""
    found = plans.cheapest(cycles)
    if found is not None:
        return found
    return _at(plans, smallest(lambda number: plans.cheapest(number) is not None, cycles + 1))


def within_multipliers(plans: Forms, multipliers: int) -> Choice:
    """The fastest plan within a multiplier budget (requantizers not counted).

    Ties go to the cheapest. If no plan is within the budget, the fastest plan with the fewest
    multipliers.
    """
    budget = max(multipliers, _at(plans, FOREVER).multipliers)

    def fits(cycles: int) -> bool:
        found = plans.cheapest(cycles)
        return found is not None and found.multipliers <= budget

    return _at(plans, smallest(fits, max(plans.cycles_at_least(budget), 1)))


def front(plans: Forms, step: float = 1.0) -> Iterator[Choice]:
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


def _at(plans: Forms, cycles: int) -> Choice:
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

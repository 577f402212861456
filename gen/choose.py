"""Which of a layer's forms a plan takes: pure functions over what each form costs and how long it
takes.

A plan is one candidate for each layer. The slowest sets the pace, so for any number of cycles the
cheapest plan is the cheapest candidate of each layer that is not slower: no layer's choice touches
another's. Everything else is a search for the number of cycles.

How long a candidate takes may be slow to tell, how long at least is quick: ``least_cycles`` decides
wherever it can, and ``busy_cycles`` is asked of few.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

__all__ = ["Candidate", "Options", "front", "smallest", "within_cycles", "within_multipliers"]


class Candidate(Protocol):
    """A form of a layer."""

    @property
    def multipliers(self) -> int:
        """Of the engine."""

    @property
    def requantizer_multipliers(self) -> int:
        """Those beside them."""

    @property
    def least_cycles(self) -> int:
        """No more than ``busy_cycles``, and quick to tell."""

    @property
    def busy_cycles(self) -> int:
        """Cycles of an image."""


C = TypeVar("C", bound=Candidate)


def price(candidate: Candidate) -> tuple[int, int]:
    """What is compared first: fewer multipliers are cheaper, then fewer that requantize."""
    return candidate.multipliers, candidate.requantizer_multipliers


class Options(Generic[C]):
    """A layer's candidates, at least one; of those alike in everything the first given counts."""

    def __init__(self, candidates: Sequence[C]) -> None:
        self._candidates = sorted(candidates, key=lambda each: (*price(each), each.least_cycles))

    @property
    def fewest_multipliers(self) -> int:
        """The multipliers of the smallest candidate."""
        return self._candidates[0].multipliers

    def cheapest(self, cycles: int) -> C | None:
        """The cheapest that takes at most so many cycles, of equals the fastest; None without."""
        best: C | None = None
        for each in self._candidates:
            if best and (price(each) > price(best) or each.least_cycles >= best.busy_cycles):
                break
            if each.least_cycles <= cycles and each.busy_cycles <= cycles:
                best = each if best is None or each.busy_cycles < best.busy_cycles else best
        return best

    def fastest(self) -> C:
        """The fastest, of equals the cheapest."""
        ordered = sorted(self._candidates, key=lambda each: each.least_cycles)
        best = ordered[0]
        for each in ordered[1:]:
            if each.least_cycles > best.busy_cycles:
                break
            if (each.busy_cycles, price(each)) < (best.busy_cycles, price(best)):
                best = each
        return best

    def multipliers_at_least(self, cycles: int) -> int | None:
        """No more multipliers than ``cheapest(cycles)`` has, and quick; None without any."""
        fitting = (each for each in self._candidates if each.least_cycles <= cycles)
        found = next(fitting, None)
        return None if found is None else found.multipliers


def within_cycles(layers: Sequence[Options[C]], cycles: int) -> list[C]:
    """The cheapest plan of at most so many cycles; where a layer cannot be as fast, the cheapest
    that is as fast as the slowest layer at its fastest."""
    chosen = [options.cheapest(cycles) for options in layers]
    missing = [options for options, each in zip(layers, chosen, strict=True) if each is None]
    if missing:
        cycles = max(options.fastest().busy_cycles for options in missing)
        chosen = [options.cheapest(cycles) for options in layers]
    return [each for each in chosen if each is not None]


def within_multipliers(layers: Sequence[Options[C]], multipliers: int) -> list[C]:
    """The fastest plan of at most so many multipliers, requantization left out, of those as fast
    the cheapest; where there is none, the fastest of those with the fewest multipliers."""
    budget = max(multipliers, sum(options.fewest_multipliers for options in layers))

    def may_fit(cycles: int) -> bool:
        return _sum(options.multipliers_at_least(cycles) for options in layers) <= budget

    def fits(cycles: int) -> bool:
        chosen = (options.cheapest(cycles) for options in layers)
        return _sum(None if each is None else each.multipliers for each in chosen) <= budget

    return within_cycles(layers, smallest(fits, smallest(may_fit, 1)))


def front(layers: Sequence[Options[C]], step: float = 1.0) -> Iterator[list[C]]:
    """The plans of which none is both faster and cheaper than another, the smallest first.

    step : each takes less than this share of the cycles of the one before; 1 for all of them
    """
    chosen = within_multipliers(layers, 0)
    while True:
        cycles = max(each.busy_cycles for each in chosen)
        faster = within_cycles(layers, min(int(cycles * step), cycles - 1))
        best = max(each.busy_cycles for each in faster) >= cycles
        if best or _multipliers(faster) > _multipliers(chosen):
            yield chosen
        if best:
            return
        chosen = faster


def _multipliers(plan: Sequence[C]) -> int:
    return sum(each.multipliers for each in plan)


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


def _sum(counts: Iterator[int | None]) -> float:
    """The sum; endless where one is missing."""
    total = 0.0
    for count in counts:
        if count is None:
            return float("inf")
        total += count
    return total

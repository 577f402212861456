"""Choosing against brute force over every plan of small random layers."""

from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest
from tercet.gen.plan.choose import front, smallest, within_cycles, within_multipliers
from tercet.gen.plan.forms import Options


@dataclass(frozen=True)
class Form:
    """A candidate; the cycles that were asked for are in ``asked``."""

    multipliers: int
    requantizer_multipliers: int
    cycles_bound: int
    stalls: int
    asked: list

    @property
    def price(self):
        return self.multipliers, self.requantizer_multipliers

    @property
    def cycles(self):
        self.asked.append(self)
        return self.cycles_bound + self.stalls


class Chosen(tuple):
    """A form of each layer."""

    @property
    def forms(self):
        return self

    @property
    def multipliers(self):
        return multipliers(self)

    @property
    def cycles(self):
        return cycles_of(self)


class Listed:
    """Plans of layers whose choices do not touch each other."""

    def __init__(self, layers):
        self.options = [Options(layer) for layer in layers]

    def cheapest(self, cycles):
        found = [options.cheapest(cycles) for options in self.options]
        return None if None in found else Chosen(found)

    def cycles_at_least(self, multipliers):
        return 0


def random_layers(rng, asked=None):
    """Up to three layers of up to six forms, often equal in something, rarely in order."""
    asked = [] if asked is None else asked
    return [
        [
            Form(
                *(int(rng.integers(0, 7)), int(rng.integers(0, 3))),
                *(int(rng.integers(1, 20)), int(rng.integers(0, 8)) * int(rng.integers(0, 2))),
                asked,
            )
            for _ in range(rng.integers(1, 7))
        ]
        for _ in range(rng.integers(1, 4))
    ]


def cycles_of(plan):
    return max(each.cycles for each in plan)


def multipliers(plan):
    return sum(each.multipliers for each in plan)


CASES = pytest.mark.parametrize("case", range(200))


@CASES
def test_the_cheapest_plan_of_a_number_of_cycles(case, seed):
    rng = np.random.default_rng([seed, case])
    layers = random_layers(rng)
    goal = int(rng.integers(1, 28))
    reachable = max(goal, min(map(cycles_of, product(*layers))))
    found = within_cycles(Listed(layers), goal)
    assert cycles_of(found) <= reachable
    for forms, each in zip(layers, found.forms, strict=True):
        fitting = [form for form in forms if form.cycles <= reachable]
        assert key(each) == min(map(key, fitting))
    assert multipliers(found) == min(
        multipliers(plan) for plan in product(*layers) if cycles_of(plan) <= reachable
    )


def key(form):
    return form.multipliers, form.requantizer_multipliers, form.cycles


@CASES
def test_the_fastest_plan_of_a_budget(case, seed):
    rng = np.random.default_rng([seed, case, 1])
    layers = random_layers(rng)
    budget = int(rng.integers(0, 20))
    plans = list(product(*layers))
    least = min(map(multipliers, plans))
    affordable = [plan for plan in plans if multipliers(plan) <= max(budget, least)]
    fastest = min(map(cycles_of, affordable))
    found = within_multipliers(Listed(layers), budget)
    assert cycles_of(found) == fastest
    assert multipliers(found) == min(
        multipliers(plan) for plan in plans if cycles_of(plan) <= fastest
    )


@CASES
def test_the_front_is_every_plan_that_none_beats(case, seed):
    layers = random_layers(np.random.default_rng([seed, case, 2]))
    points = {(multipliers(plan), cycles_of(plan)) for plan in product(*layers)}
    best = {
        (m, c)
        for m, c in points
        if not any((a <= m and b <= c) and (a, b) != (m, c) for a, b in points)
    }
    found = [(multipliers(plan), cycles_of(plan)) for plan in front(Listed(layers))]
    assert best == set(found)
    assert [c for _, c in found] == sorted({c for _, c in found}, reverse=True)
    thin = [cycles_of(plan) for plan in front(Listed(layers), 0.7)]
    assert set(thin) <= {c for _, c in found}
    assert thin[-1] == found[-1][1]


def test_few_forms_are_asked_how_long_they_take():
    asked = []
    layer = [Form(m, 1, 1000 // m, 0, asked) for m in range(1, 500)]
    assert Options(layer).cheapest(10).multipliers == 91
    assert len(set(map(id, asked))) == 1
    asked.clear()
    assert multipliers(within_multipliers(Listed([layer] * 3), 90)) == 90
    assert len(set(map(id, asked))) <= 20  # one for each step of the search


@pytest.mark.parametrize("low", [1, 5, 1000])
@pytest.mark.parametrize("answer", [1, 5, 6, 999, 1000, 1001, 123_456])
def test_the_smallest_number_is_found(low, answer):
    assert smallest(lambda number: number >= answer, low) == max(low, answer)

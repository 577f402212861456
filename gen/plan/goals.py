"""Goals of a plan: a number of cycles, of images per second, or of multipliers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from .choose import FOREVER, within_cycles, within_multipliers
from .forms import Choice, Forms
from .plan import Plan

__all__ = [
    "CycleGoal",
    "Goal",
    "InputGoal",
    "LatencyGoal",
    "MultiplierGoal",
    "RateGoal",
    "as_goal",
]


class Goal(ABC):
    """The goal of a plan; ``str`` gives it as the user stated it."""

    def impossible(self, forms: Forms) -> str:
        """Why no plan can meet the goal, told before any is made; empty if a plan may meet it."""
        return ""

    @abstractmethod
    def choose(self, forms: Forms) -> Choice:
        """A form for each layer: the cheapest plan that meets the goal, or else the nearest one."""

    @abstractmethod
    def limit(self, plan: Plan) -> str:
        """The reason why a plan misses the goal; empty if the plan meets it."""

    def tighter(self, plan: Plan) -> Goal | None:
        """A goal with room for costs that only a plan shows; None if this plan is final."""
        return None

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """The goal as a plain dict."""

    def shortfall(self, plan: Plan) -> str:
        """A sentence that says why a plan misses the goal; empty if the plan meets it."""
        limit = self.limit(plan)
        return limit and f"The goal of {self} is out of reach: {limit}; this is the nearest plan"


@dataclass(frozen=True)
class CycleGoal(Goal):
    """At most ``cycles`` clock cycles between images."""

    cycles: int

    def __str__(self) -> str:
        return f"{self.cycles} cycles between images"

    def choose(self, forms: Forms) -> Choice:
        return within_cycles(forms, self.cycles)

    def limit(self, plan: Plan) -> str:
        if plan.cycles_per_image <= self.cycles:
            return ""
        slowest = max(plan.layers, key=lambda layer: layer.cycles_alone)
        if slowest.cycles_alone <= self.cycles:
            return "every layer keeps it on its own, but together they wait for each other"
        values = math.prod(slowest.part.x.shape)
        beats = f", one for each of {values} values" if slowest.cycles_alone == values else ""
        return f"layer {slowest.name!r} takes {slowest.cycles_alone} cycles at its fastest{beats}"

    def facts(self) -> dict[str, Any]:
        return {"cycles": self.cycles}


@dataclass(frozen=True)
class InputGoal(CycleGoal):
    """The default goal: one input value per cycle, or the nearest rate that the layers reach."""

    def limit(self, plan: Plan) -> str:
        return ""


@dataclass(frozen=True)
class RateGoal(CycleGoal):
    """At least ``images_per_second`` at a clock of ``clock_mhz``.

    images_per_second, clock_mhz : exact fractions, above 0
    """

    images_per_second: Fraction
    clock_mhz: Fraction

    @classmethod
    def of(cls, images_per_second: Fraction, clock_mhz: Fraction) -> RateGoal:
        """The goal as cycles. A rate above the clock gives 0 cycles, which no plan meets."""
        cycles = math.floor(clock_mhz * 10**6 / images_per_second)
        return cls(cycles, images_per_second, clock_mhz)

    def __str__(self) -> str:
        rate, clock = float(self.images_per_second), float(self.clock_mhz)
        return f"{rate:.12g} images/s at {clock:.12g} MHz ({super().__str__()})"

    def facts(self) -> dict[str, Any]:
        rate, clock = float(self.images_per_second), float(self.clock_mhz)
        return {"images_per_second": rate, "clock_mhz": clock, "cycles": self.cycles}


@dataclass(frozen=True)
class LatencyGoal(Goal):
    """At most ``latency`` cycles from the first value in to the last result out, in an idle core.

    The latency of a plan is known only after planning, and falls with the cycles of its slowest
    layer. So plans are made for fewer and fewer cycles, and then for cycles between the last two,
    until these are within 2 %.

    cycles : of the plan to make next; 0 for a first guess
    met, missed : the most cycles known to meet the goal (0 if none), the fewest known to miss it
    """

    latency: int
    cycles: int = 0
    met: int = 0
    missed: int = FOREVER

    def __str__(self) -> str:
        return f"a latency of {self.latency} cycles"

    def choose(self, forms: Forms) -> Choice:
        return within_cycles(forms, self.cycles or self.latency)

    def tighter(self, plan: Plan) -> LatencyGoal | None:
        cycles = self.cycles or self.latency
        slowest = max(layer.cycles_alone for layer in plan.layers)
        if plan.latency_cycles <= self.latency:
            if self.met == cycles:
                return None  # made again, after others that missed
            met, missed = cycles, self.missed
        else:
            met, missed = self.met, min(cycles, slowest)
            if slowest > cycles:
                return None  # the fastest plan of all
        if missed - met <= max(met // 50, 1):
            return None if met == cycles else replace(self, cycles=max(met, 1), met=met)
        guess = cycles * self.latency // plan.latency_cycles
        between = guess if met == 0 and missed < FOREVER else (met + min(missed, 2 * met)) // 2
        cycles = min(max(between, met + 1), missed - 1)
        return replace(self, cycles=cycles, met=met, missed=missed)

    def limit(self, plan: Plan) -> str:
        if plan.latency_cycles <= self.latency:
            return ""
        return f"the fastest plan takes {plan.latency_cycles}"

    def facts(self) -> dict[str, Any]:
        return {"latency_cycles": self.latency}


@dataclass(frozen=True)
class MultiplierGoal(Goal):
    """At most ``multipliers`` multipliers in the engines; requantizers are not counted."""

    multipliers: int

    def __str__(self) -> str:
        return f"{self.multipliers} multipliers"

    def choose(self, forms: Forms) -> Choice:
        return within_multipliers(forms, self.multipliers)

    def limit(self, plan: Plan) -> str:
        if plan.multipliers <= self.multipliers:
            return ""
        multiplying = [layer for layer in plan.layers if layer.multipliers]
        most = max(multiplying, key=lambda layer: layer.multipliers)
        alone = f", layer {most.name!r} alone {most.multipliers}" if most.multipliers > 1 else ""
        return f"{len(multiplying)} layers multiply and take at least {plan.multipliers}{alone}"

    def facts(self) -> dict[str, Any]:
        return {"multipliers": self.multipliers}


def as_goal(goal: Goal | int | None, values: int) -> Goal:
    """Convert a number of cycles to a goal; None means one cycle for each of ``values``."""
    if isinstance(goal, Goal):
        return goal
    return InputGoal(values) if goal is None else CycleGoal(goal)

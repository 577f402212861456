"""A sweep of a network's plans, from the smallest to the fastest: multipliers against cycles."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ...model.network import QNetwork
from .choose import front
from .forms import Choice
from .planner import forms_of

__all__ = ["Point", "sweep"]

STEP = 0.85  # each plan takes at most this share of the cycles of the one before


@dataclass(frozen=True)
class Point:
    """A plan on the Pareto front: no other plan is both smaller and faster.

    cycles : of the slowest layer: the cycles per image unless layers wait for each other
    slowest : the name of this layer
    utilization : multiplications divided by multipliers times cycles
    """

    multipliers: int
    cycles: int
    utilization: float
    slowest: str

    @classmethod
    def of(cls, choice: Choice) -> Point:
        """The point of a plan."""
        slowest = max(choice.forms, key=lambda form: form.cycles)
        multiplies = sum(form.part.multiplies for form in choice.forms)
        share = multiplies / max(choice.multipliers * choice.cycles, 1)
        return cls(choice.multipliers, choice.cycles, round(share, 4), slowest.part.name)

    def facts(self) -> dict[str, Any]:
        """The point as a plain dict."""
        return asdict(self)


def sweep(network: QNetwork) -> list[Point]:
    """The Pareto front, thinned to steps of ``STEP`` in cycles, the smallest plan first."""
    return [Point.of(choice) for choice in front(forms_of(network), STEP)]

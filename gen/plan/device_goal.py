"""A device as the goal of a plan: the fewest cycles within its DSP blocks, block RAMs and LUTs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from ..cost.devices import Device
from ..cost.parts import Cost, cost_of_part
from .choose import FOREVER, smallest
from .cost import cost_of_core
from .forms import Choice, Forms
from .goals import Goal
from .plan import Plan

__all__ = ["NAMES", "DeviceGoal"]

NAMES = {"dsps": "DSP blocks", "block_rams": "block RAMs", "luts": "LUTs"}


@dataclass(frozen=True)
class DeviceGoal(Goal):
    """The fastest plan that fits a device, of those with the fewest multipliers for their cycles.

    The search assumes that each multiplier needs at least one DSP block.

    rest : cost of everything outside the layers; the queues are known only after planning
    other : another goal, which then chooses the plan; the plan must also fit the device
    """

    device: Device
    rest: Cost = field(default=Cost())
    other: Goal | None = None

    def __str__(self) -> str:
        return f"fitting {self.device.name}" + (f" and of {self.other}" if self.other else "")

    def impossible(self, forms: Forms) -> str:
        bits, device = forms.weight_bits, self.device
        if bits <= device.memory_bits:
            return ""
        return (
            f"the weights have {bits:,} bits, and {device.name} holds at most "
            f"{device.memory_bits:,}, in its {device.block_rams} block RAMs and all "
            f"{device.luts:,} LUTs; choose a larger device, or fewer bits for the weights"
        )

    def choose(self, forms: Forms) -> Choice:
        if self.other is not None:
            return self.other.choose(forms)
        family = self.device.family
        known: dict[int, Cost] = {}  # by id of the part; the forms keep the parts alive

        def fits(cycles: int) -> bool:
            found = forms.cheapest(cycles)
            if found is None:
                return False
            parts = [form.part for form in found.forms]
            for part in parts:
                if id(part) not in known:
                    known[id(part)] = cost_of_part(part, family)
            total = sum((known[id(part)] for part in parts), self.rest)
            return all(a <= b for a, b in zip(total, self.device.budget.values(), strict=True))

        fewest = forms.cycles_at_least(self.device.dsps)
        cycles = smallest(fits, max(fewest, 1)) if fits(FOREVER) else FOREVER
        chosen = forms.cheapest(cycles)
        assert chosen is not None
        return chosen

    def tighter(self, plan: Plan) -> DeviceGoal | None:
        """The goal with room for the queues of a plan that does not fit.

        None if the plan fits, or if this goal already left that much room.
        """
        if self.other is not None:
            other = self.other.tighter(plan)
            return None if other is None else replace(self, other=other)
        if not self._over(plan):
            return None
        layers = (cost_of_part(layer.part, self.device.family) for layer in plan.layers)
        whole, alone = cost_of_core(plan, self.device.family), sum(layers, Cost())
        rest = [total - of for total, of in zip(whole, alone, strict=True)]
        if all(of <= held for of, held in zip(rest, self.rest, strict=True)):
            return None
        return replace(self, rest=Cost(*map(max, zip(rest, self.rest, strict=True))))

    def used(self, plan: Plan) -> dict[str, tuple[int, int]]:
        """For each kind of resource: how many a plan takes, and how many the device has."""
        cost = cost_of_core(plan, self.device.family)
        budget = self.device.budget
        return {kind: (used, budget[kind]) for kind, used in zip(budget, cost, strict=True)}

    def _over(self, plan: Plan) -> list[str]:
        """The kinds of resources that a plan exceeds."""
        return [kind for kind, (used, there) in self.used(plan).items() if used > there]

    def limit(self, plan: Plan) -> str:
        over = " and ".join(self._excess(plan, kind) for kind in self._over(plan))
        missed = self.other.limit(plan) if self.other is not None else ""
        return "; ".join(filter(None, (over and f"it takes {over}", missed)))

    def _excess(self, plan: Plan, kind: str) -> str:
        """How much of a resource a plan takes, and its greatest user."""
        used, there = self.used(plan)[kind]
        costs = {
            layer.name: getattr(cost_of_part(layer.part, self.device.family), kind)
            for layer in plan.layers
        }
        most = max(costs, key=lambda name: costs[name])
        about = "about " if kind == "luts" else ""
        return f"{about}{used} {NAMES[kind]} of {there}, layer {most!r} alone {about}{costs[most]}"

    def facts(self) -> dict[str, Any]:
        return {"device": self.device.name, **(self.other.facts() if self.other else {})}

"""The planner: it chooses the form of each layer for a goal, and computes the exact cycles.

Each part has forms with more and with fewer multipliers; a goal (``goals.py``) chooses one for each
layer. Cycles, latency and buffer depths then come from the timing model (``timing/processes.py``).
Simulation measures the same numbers, cycle for cycle.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from ...model.layers import NetworkError
from ...model.network import QNetwork
from ..parts.kinds import part_of
from .covered import layers_to_build
from .forms import Forms
from .goals import Goal, InputGoal, as_goal
from .links import Links
from .plan import LayerPlan, Plan
from .schedule import schedule

__all__ = ["forms_of", "make_plan"]


def make_plan(
    network: QNetwork, goal: Goal | int | None = None, *, row_aligned: bool = False
) -> Plan:
    """Plan a network.

    Parameters
    ----------
    goal : a number means cycles per image; the default is one input value per cycle
    row_aligned : the core's input has the beats of the first layer, even if their lanes do not
        divide a row; each row then begins with a new beat. Otherwise images come without gaps

    Raises NetworkError if the hardware does not cover a layer, or no plan can meet the goal.
    """
    forms = forms_of(network)
    goal = as_goal(goal, forms.single_cycles)
    if reason := goal.impossible(forms):
        raise NetworkError(f"The goal of {goal} is out of reach: {reason}")
    plan = _planned(network, goal, forms, row_aligned)
    while (tighter := goal.tighter(plan)) is not None:
        goal = tighter
        plan = _planned(network, goal, forms, row_aligned)
    return replace(plan, shortfall=goal.shortfall(plan))


def _planned(network: QNetwork, goal: Goal, forms: Forms, row_aligned: bool) -> Plan:
    """The plan with the forms that a goal chooses."""
    chosen = goal.choose(forms)
    parts = [form.part for form in chosen.forms]
    argmax = layers_to_build(network)[1]
    links = forms.links
    row_lanes = chosen.input_lanes
    lanes = row_lanes if row_aligned else chosen.whole_lanes
    times = schedule(parts, links, argmax, row_lanes, taken=lanes)
    depths = Counter[str]()  # of all queues after a layer, beats
    for link, depth in times.fifo_depths.items():
        depths[link.source] += depth
    return Plan(
        network=network,
        goal=goal.facts(),
        shortfall="",
        by_default=isinstance(goal, InputGoal),
        input_lanes=lanes,
        row_lanes=row_lanes,
        row_aligned=row_aligned,
        layers=tuple(
            LayerPlan(
                form.part,
                form.cycles_alone,
                depths[form.part.name],
                times.spans[form.part.name],
            )
            for form in chosen.forms
        ),
        links=links,
        fifo_depths=times.fifo_depths,
        argmax=argmax,
        verdict_depth=times.verdict_depth,
        cycles_per_image=times.cycles_per_image,
        first_cycles=times.first_cycles,
        latency_cycles=times.latency_cycles,
    )


def forms_of(network: QNetwork) -> Forms:
    """The forms of the layers. Raises NetworkError if the hardware does not cover a layer."""
    layers, _ = layers_to_build(network)
    parts = {layer.name: part_of(network, layer) for layer in layers}
    return Forms(network, Links.of(network), parts)

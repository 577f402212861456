"""The plan: how many multipliers each layer gets, and what that costs and yields, exactly.

Each part has forms with more and with fewer multipliers; a goal (``goals.py``) takes one of each
layer's. Cycles, latency and buffer depths then come from the timing model (``timing.py``) and are
what simulation measures, cycle for cycle.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..hw.rows import RowGeometry
from ..model.layers import Argmax, Layer, NetworkError
from ..model.network import QNetwork
from .concat_part import ConcatPart
from .conv_part import ConvPart
from .covered import layers_to_build
from .forms import Forms
from .goals import Goal, InputGoal, as_goal
from .links import Link, Links
from .other_parts import AddPart, MaxPoolPart, ReluPart
from .parts import Part
from .schedule import schedule

__all__ = ["LayerPlan", "Plan", "forms_of", "make_plan"]


@dataclass(frozen=True)
class LayerPlan:
    """One layer in hardware.

    cycles : that an image takes when only the converter before the layer holds it up
    fifo_depth : beats of the queues behind the layer; 0 where it is wired to the next
    """

    part: Part
    cycles: int
    fifo_depth: int

    @property
    def name(self) -> str:
        """The layer's."""
        return self.part.name

    @property
    def multipliers(self) -> int:
        """Multipliers of the engine; those of the requantizer are others."""
        return self.part.multipliers


@dataclass(frozen=True)
class Plan:
    """A network in hardware: its layers in order, and the cycles of the whole core.

    goal : what it was made for, met or not
    input_lanes : values of a beat of the input; they divide a row unless ``row_aligned``
    row_lanes : values of a beat of the first layers' input; where they do not divide a row, each
        row begins with a beat
    row_aligned : the input has beats of ``row_lanes``
    links, fifo_depths : which stream goes where, and the beats of each link's queue, 0 for a wire
    """

    network: QNetwork
    goal: Goal
    input_lanes: int
    row_lanes: int
    row_aligned: bool
    layers: tuple[LayerPlan, ...]
    links: Links
    fifo_depths: Mapping[Link, int]
    argmax: Argmax | None
    verdict_depth: int
    cycles_per_image: int
    first_cycles: tuple[int, ...]
    latency_cycles: int

    @property
    def multipliers(self) -> int:
        """Multipliers of all engines."""
        return sum(layer.multipliers for layer in self.layers)

    @property
    def utilization(self) -> float:
        """Multiplications over multiplier-cycles between images; 0 where nothing multiplies."""
        return self._share(sum(layer.part.multiplies for layer in self.layers), self.multipliers)

    def utilization_of(self, layer: LayerPlan) -> float:
        """The same of one layer."""
        return self._share(layer.part.multiplies, layer.multipliers)

    def _share(self, multiplies: int, multipliers: int) -> float:
        return multiplies / max(multipliers * self.cycles_per_image, 1)

    @property
    def input_beats(self) -> int:
        """Beats of an image."""
        height, width, channels = self.network.tensors[self.network.input].shape
        return height * -(-width * channels // self.input_lanes)

    @property
    def row_geometry(self) -> RowGeometry | None:
        """What the input's rows go through before the first layers; None where that is nothing."""
        if self.input_lanes == self.row_lanes:
            return None
        _, width, channels = self.network.tensors[self.network.input].shape
        return RowGeometry(width * channels, self.input_lanes, self.row_lanes)

    @property
    def digest(self) -> str:
        """Six hexadecimal digits that stand for the plan; empty for one without a goal."""
        if isinstance(self.goal, InputGoal):
            return ""
        forms = {layer.name: layer.part.form for layer in self.layers}
        text = json.dumps([self.input_lanes, self.row_lanes, forms], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:6]

    @property
    def shortfall(self) -> str:
        """A sentence on why the goal is missed; empty where it is met."""
        return self.goal.shortfall(self)


def make_plan(
    network: QNetwork, goal: Goal | int | None = None, *, row_aligned: bool = False
) -> Plan:
    """Plan a network.

    Parameters
    ----------
    goal : a number is one of cycles between images; by default one input value per cycle
    row_aligned : the input's beats are those of the first layer, even where they do not divide a
        row: each row then begins with a beat; else images come without gaps

    Raises NetworkError where the hardware does not cover a layer.
    """
    forms = forms_of(network)
    goal = as_goal(goal, forms.single_cycles)
    plan = _planned(network, goal, forms, row_aligned)
    while (tighter := goal.tighter(plan)) is not None:
        goal = tighter
        plan = _planned(network, goal, forms, row_aligned)
    return plan


def _planned(network: QNetwork, goal: Goal, forms: Forms, row_aligned: bool) -> Plan:
    """The plan of the forms that a goal chooses."""
    chosen = goal.choose(forms)
    parts = [form.part for form in chosen.forms]
    argmax = layers_to_build(network)[1]
    links = forms.links
    row_lanes = chosen.input_lanes
    lanes = row_lanes if row_aligned else chosen.whole_lanes
    times = schedule(parts, links, argmax is not None, row_lanes, taken=lanes)
    return Plan(
        network=network,
        goal=goal,
        input_lanes=lanes,
        row_lanes=row_lanes,
        row_aligned=row_aligned,
        layers=tuple(
            LayerPlan(form.part, form.own_cycles, _behind(form.part, times.fifo_depths))
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
    """The forms of the layers. Raises NetworkError where the hardware does not cover one."""
    layers, _ = layers_to_build(network)
    parts = {layer.name: _part(network, layer) for layer in layers}
    return Forms(network, Links.of(network), parts)


def _behind(part: Part, depths: Mapping[Link, int]) -> int:
    """The beats of all queues behind a layer."""
    return sum(depth for link, depth in depths.items() if link.source == part.name)


# By the kind of layer: (network, layer) -> its part.
PARTS: dict[str, Callable[[QNetwork, Any], Part]] = {
    "conv2d": ConvPart.of,
    "linear": ConvPart.of,
    "avg_pool2d": ConvPart.of,
    "max_pool2d": MaxPoolPart.of,
    "add": AddPart.of,
    "concat": ConcatPart.of,
    "relu": ReluPart.of,
}


def _part(network: QNetwork, layer: Layer) -> Part:
    """A layer's part. Raises NetworkError for a kind of layer that the hardware does not have."""
    if layer.kind not in PARTS:
        raise NetworkError(
            f"Layer {layer.name!r}: kind {layer.kind!r} is not in hardware; leave the layer out"
        )
    return PARTS[layer.kind](network, layer)

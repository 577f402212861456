"""The plan: how many multipliers each layer gets, and what that costs and yields, exactly.

A goal is a number of cycles between images; the plan gives each layer the fewest lanes (output
channels multiplied at once) with which its own work fits into them. Cycles, latency and buffer
depths then come from the timing model (``timing.py``) and are what simulation measures, cycle for
cycle.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..model.layers import Argmax, Layer, NetworkError
from ..model.network import QNetwork
from .concat_part import ConcatPart
from .conv_part import ConvPart
from .covered import layers_to_build
from .links import Link, Links
from .other_parts import AddPart, MaxPoolPart, ReluPart
from .parts import Part
from .schedule import schedule

__all__ = ["LayerPlan", "Plan", "make_plan"]


@dataclass(frozen=True)
class LayerPlan:
    """One layer in hardware.

    fifo_depth : beats of the queues behind the layer; 0 where it is wired to the next
    """

    part: Part
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

    links, fifo_depths : which stream goes where, and the beats of each link's queue, 0 for a wire
    """

    network: QNetwork
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
        multiplies = sum(layer.part.multiplies for layer in self.layers)
        return multiplies / max(self.multipliers * self.cycles_per_image, 1)


def make_plan(network: QNetwork, cycles: int | None = None) -> Plan:
    """Plan a network.

    Parameters
    ----------
    cycles : the goal, cycles between images; by default one input value per cycle

    Raises NetworkError where the hardware does not cover a layer.
    """
    layers, argmax = layers_to_build(network)
    goal = math.prod(network.tensors[network.input].shape) if cycles is None else cycles
    parts = [_part(network, layer) for layer in layers]
    goal = _reachable(parts, goal)
    parts = [_fewest_lanes(part, goal) for part in parts]
    links = Links.of(network)
    times = schedule(parts, links, argmax is not None)
    return Plan(
        network=network,
        layers=tuple(LayerPlan(part, _behind(part, times.fifo_depths)) for part in parts),
        links=links,
        fifo_depths=times.fifo_depths,
        argmax=argmax,
        verdict_depth=times.verdict_depth,
        cycles_per_image=times.cycles_per_image,
        first_cycles=times.first_cycles,
        latency_cycles=times.latency_cycles,
    )


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


def _fewest_lanes(part: Part, goal: int) -> Part:
    """The part with the fewest lanes that fit the goal, or with the fewest cycles there are."""
    for choice in part.choices():
        if choice.least_cycles <= goal and choice.busy_cycles <= goal:
            break
    return choice


def _reachable(parts: Sequence[Part], goal: int) -> int:
    """The goal, or where a part cannot be as fast, the cycles of the slowest at its fastest."""
    return max(goal, *(list(part.choices())[-1].busy_cycles for part in parts))

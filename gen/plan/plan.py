"""The plan as data: what each layer gets, which stream goes where, and what that yields."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ...hw.stream import QueueSpec
from ...model.layers import Argmax
from ...model.network import QNetwork
from ..parts.part import Part
from .links import Link, Links
from .topology import Node, QueueNode, topology

__all__ = ["LayerPlan", "Plan"]


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

    goal : what it was made for, met or not, as a plain dict
    shortfall : a sentence on why the goal is missed; empty where it is met
    by_default : whether nobody asked for the goal
    input_lanes : values of a beat of the input; they divide a row unless ``row_aligned``
    row_lanes : values of a beat of the first layers' input; where they do not divide a row, each
        row begins with a beat
    row_aligned : the input has beats of ``row_lanes``
    links, fifo_depths : which stream goes where, and the beats of each link's queue, 0 for a wire
    """

    network: QNetwork
    goal: Mapping[str, Any]
    shortfall: str
    by_default: bool
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

    @cached_property
    def topology(self) -> tuple[Node, ...]:
        """Every component between the ports, each behind those that it reads from."""
        parts, x = [layer.part for layer in self.layers], self.network.tensors[self.network.input]
        lanes = self.input_lanes, self.row_lanes
        return topology(parts, self.links, self.argmax, x, lanes, self.fifo_depths).nodes

    @property
    def queues(self) -> dict[str, QueueSpec]:
        """The queues between the layers, and that of the verdicts, by the names of instances."""
        queues = [node for node in self.topology if isinstance(node, QueueNode)]
        between = {node.name: node.spec for node in queues}
        return {**between, "verdicts": QueueSpec(self.verdict_depth, 1)}

    @property
    def digest(self) -> str:
        """Six hexadecimal digits that stand for the plan; empty for one without a goal."""
        if self.by_default:
            return ""
        forms = {layer.name: layer.part.form for layer in self.layers}
        text = json.dumps([self.input_lanes, self.row_lanes, forms], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:6]

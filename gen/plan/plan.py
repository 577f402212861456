"""The plan as data: the form of each layer, the links and their queues, and the cycles."""

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
from ...model.summary import html_table
from ..parts.part import Part
from .links import Link, Links
from .topology import Node, QueueNode, Topology

__all__ = ["LayerPlan", "Plan"]


@dataclass(frozen=True)
class LayerPlan:
    """One layer in hardware.

    cycles_alone : cycles of an image if nothing but the converter before the layer delays it
    fifo_depth : total depth in beats of the queues after the layer; 0 if all are wires
    span : the cycle of the first beat in and of the last beat out, for the first image, counted
        from the first value taken
    """

    part: Part
    cycles_alone: int
    fifo_depth: int
    span: tuple[int, int]

    @property
    def name(self) -> str:
        """The layer's name."""
        return self.part.name

    @property
    def multipliers(self) -> int:
        """Multipliers of the engine, without the requantizer's."""
        return self.part.multipliers


@dataclass(frozen=True)
class Plan:
    """A network in hardware: its layers in order, and the cycles of the whole core.

    goal : the goal as a plain dict, met or not
    shortfall : a sentence that says why the plan misses the goal; empty if it meets it
    by_default : whether the goal is the default, not the user's
    input_lanes : values in a beat of the core's input; they divide a row unless ``row_aligned``
    row_lanes : values in a beat of the first layers' input; if they do not divide a row, each row
        begins with a new beat
    row_aligned : whether the core's input has beats of ``row_lanes``
    links : the streams between the layers
    fifo_depths : the beats of each link's queue, 0 for a wire
    verdict_depth : entries of the queue of verdicts
    cycles_per_image, first_cycles, latency_cycles : see ``Schedule``
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

    def __repr__(self) -> str:
        return (
            f"Plan({self.network.name!r}: {self.cycles_per_image:,} cycles per image, latency "
            f"{self.latency_cycles:,} cycles, {self.multipliers:,} multipliers)"
        )

    def _repr_html_(self) -> str:
        """The layers as a table, for notebooks."""
        columns = ("layer", "P>", "S>", "R>", "multipliers>", "cycles>", "utilization>")
        rows = [
            [
                *(layer.name, *layer.part.form.values(), layer.multipliers),
                *(f"{layer.cycles_alone:,}", f"{self.utilization_of(layer):.0%}"),
            ]
            for layer in self.layers
        ]
        return html_table(repr(self), columns, rows)

    @property
    def multipliers(self) -> int:
        """Multipliers of all engines."""
        return sum(layer.multipliers for layer in self.layers)

    @property
    def utilization(self) -> float:
        """Multiplications of an image / (multipliers * cycles per image); 0 without multipliers."""
        return self._share(sum(layer.part.multiplies for layer in self.layers), self.multipliers)

    def utilization_of(self, layer: LayerPlan) -> float:
        """The utilization of one layer's multipliers."""
        return self._share(layer.part.multiplies, layer.multipliers)

    def _share(self, multiplies: int, multipliers: int) -> float:
        return multiplies / max(multipliers * self.cycles_per_image, 1)

    @property
    def input_beats(self) -> int:
        """Beats of an image at the core's input."""
        height, width, channels = self.network.tensors[self.network.input].shape
        return height * -(-width * channels // self.input_lanes)

    @cached_property
    def topology(self) -> tuple[Node, ...]:
        """Every component between the ports; each comes after the components that it reads from."""
        parts, x = [layer.part for layer in self.layers], self.network.tensors[self.network.input]
        lanes = self.input_lanes, self.row_lanes
        whole = Topology(parts, self.links, self.argmax, x, lanes, self.fifo_depths)
        return tuple(whole.nodes)

    @property
    def queues(self) -> dict[str, QueueSpec]:
        """The queues between the layers and the queue of verdicts, by instance name."""
        queues = [node for node in self.topology if isinstance(node, QueueNode)]
        between = {node.name: node.spec for node in queues}
        return {**between, "verdicts": QueueSpec(self.verdict_depth, 1)}

    @property
    def digest(self) -> str:
        """Six hexadecimal digits that identify the plan; empty for the default goal."""
        if self.by_default:
            return ""
        forms = {layer.name: layer.part.form for layer in self.layers}
        text = json.dumps([self.input_lanes, self.row_lanes, forms], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:6]

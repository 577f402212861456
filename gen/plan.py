"""The plan: how many multipliers each layer gets, and what that costs and yields, exactly.

A goal is a number of cycles between images; the plan gives each layer the fewest lanes (output
channels multiplied at once) with which its own work fits into them. Cycles, latency and buffer
depths then come from the timing model (``timing.py``) and are what simulation measures, cycle for
cycle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..model.conv import Conv2d
from ..model.layers import Argmax, Flatten, NetworkError
from ..model.network import QNetwork
from .parts import ConvPart, Part
from .schedule import schedule

__all__ = ["LayerPlan", "Plan", "make_plan"]


@dataclass(frozen=True)
class LayerPlan:
    """One layer in hardware.

    fifo_depth : beats of the queue behind the layer; 0 where it is wired to the next
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
    """A network in hardware: its layers in order, and the cycles of the whole core."""

    network: QNetwork
    layers: tuple[LayerPlan, ...]
    argmax: Argmax | None
    verdict_depth: int
    cycles_per_image: int
    latency_cycles: int

    @property
    def multipliers(self) -> int:
        """Multipliers of all engines."""
        return sum(layer.multipliers for layer in self.layers)

    @property
    def utilization(self) -> float:
        """Multiplications over multiplier-cycles between images."""
        return sum(layer.part.multiplies for layer in self.layers) / (
            self.multipliers * self.cycles_per_image
        )


def make_plan(network: QNetwork, cycles: int | None = None) -> Plan:
    """Plan a network.

    Parameters
    ----------
    cycles : the goal, cycles between images; by default one input value per cycle

    Raises NetworkError where the hardware does not cover a layer.
    """
    layers, argmax = _chain(network)
    goal = math.prod(network.tensors[network.input].shape) if cycles is None else cycles
    parts = [_fewest_lanes(network, layer, goal) for layer in layers]
    times = schedule(parts, argmax is not None)
    return Plan(
        network=network,
        layers=tuple(map(LayerPlan, parts, times.fifo_depths)),
        argmax=argmax,
        verdict_depth=times.verdict_depth,
        cycles_per_image=times.cycles_per_image,
        latency_cycles=times.latency_cycles,
    )


def _chain(network: QNetwork) -> tuple[list[Conv2d], Argmax | None]:
    """The layers to build, in order, and the closing argmax. Raises NetworkError for others."""
    built: list[Conv2d] = []
    tensor = network.input
    for layer in network.layers:
        if layer.input != tensor:
            raise NetworkError(
                f"Layer {layer.name!r}: input must be {tensor!r}, the output of the layer before, "
                f"not {layer.input!r}; the generator builds chains without branches"
            )
        if isinstance(layer, Conv2d):
            _require_patches(layer)
            built.append(layer)
        elif isinstance(layer, Argmax):
            _require_last(network, layer)
        elif not isinstance(layer, Flatten):  # an order, which the stream has already
            raise NetworkError(
                f"Layer {layer.name!r}: kind {layer.kind!r} is not supported here; the generator "
                "builds conv2d and linear layers, flatten, and an argmax at the end"
            )
        tensor = layer.output
    _require_free_names(network)
    if not built:
        raise NetworkError(f"Network {network.name!r}: there must be a conv2d layer to build")
    last = network.layers[-1]
    return built, last if isinstance(last, Argmax) else None


def _require_last(network: QNetwork, layer: Argmax) -> None:
    if layer is not network.layers[-1]:
        raise NetworkError(
            f"Layer {layer.name!r}: an argmax must be the last layer in hardware; move it there"
        )


def _require_free_names(network: QNetwork) -> None:
    """Refuse layer names that the core's other parts have; see ``assemble.py``."""
    names = {layer.name for layer in network.layers}
    taken = {"frame_in", "frame_out", "verdicts", *(f"{name}_fifo" for name in names)}
    for name in sorted(names & taken):
        raise NetworkError(
            f"Layer {name!r}: name must not be that of another part of the core; rename the layer"
        )


def _require_patches(conv: Conv2d) -> None:
    """Refuse a convolution that the patch engine does not cover."""
    rules = {
        "stride": (
            list(conv.stride),
            conv.stride == conv.kernel,
            f"the kernel {list(conv.kernel)}",
        ),
        "padding": (list(conv.padding), not any(conv.padding), "[0, 0, 0, 0]"),
        "dilation": (list(conv.dilation), conv.dilation == (1, 1), "[1, 1]"),
    }
    for field, (value, holds, allowed) in rules.items():
        if not holds:
            raise NetworkError(
                f"Layer {conv.name!r}: {field} must equal {allowed} in hardware, not {value}; "
                "windows that overlap or leave gaps, and padding, cannot be built yet"
            )


def _fewest_lanes(network: QNetwork, conv: Conv2d, goal: int) -> ConvPart:
    """The part with the fewest lanes that fit the goal, or with the fewest cycles there are."""
    for lanes in range(1, conv.out_channels // conv.groups + 1):
        part = ConvPart.of(network, conv, lanes)
        if part.busy_cycles <= goal:
            break
    return part

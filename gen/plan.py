"""The plan: how many multipliers each layer gets, and what that costs and yields, exactly.

A goal is a number of cycles between images; the plan gives each layer the fewest lanes (output
channels multiplied at once) with which its own work fits into them. Cycles, latency and buffer
depths then come from the timing model (``timing.py``) and are what simulation measures, cycle for
cycle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..hw.geometry import PatchGeometry
from ..model.arith import Rounding
from ..model.conv import Conv2d
from ..model.dtypes import signed_width
from ..model.layers import Argmax, NetworkError
from ..model.network import QNetwork
from ..model.ranges import accumulator_ranges
from .schedule import schedule

__all__ = ["LayerPlan", "Plan", "make_plan"]


@dataclass(frozen=True)
class LayerPlan:
    """One convolution in hardware.

    geometry : the engine's, with its lanes
    accumulator_width : bits, from the range analysis
    multiplies : multiplications of one image
    fifo_depth : beats of the queue behind the layer; 0 where it is wired to the next
    """

    conv: Conv2d
    geometry: PatchGeometry
    accumulator_width: int
    multiplies: int
    fifo_depth: int

    @property
    def multipliers(self) -> int:
        """Multipliers of the engine; the requantizer has one more."""
        return self.geometry.lanes


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
        return sum(layer.multiplies for layer in self.layers) / (
            self.multipliers * self.cycles_per_image
        )


def make_plan(network: QNetwork, cycles: int | None = None) -> Plan:
    """Plan a network.

    Parameters
    ----------
    cycles : the goal, cycles between images; by default one input value per cycle

    Raises NetworkError where the hardware does not cover a layer.
    """
    convs, argmax = _chain(network)
    goal = math.prod(network.tensors[network.input].shape) if cycles is None else cycles
    geometries = [_fewest_lanes(network, conv, goal) for conv in convs]
    times = schedule(geometries, argmax is not None)
    layers = tuple(
        LayerPlan(
            conv=conv,
            geometry=geometry,
            accumulator_width=_accumulator_width(network, conv),
            multiplies=geometry.rows * geometry.columns * conv.weights.values.size,
            fifo_depth=depth,
        )
        for conv, geometry, depth in zip(convs, geometries, times.fifo_depths, strict=True)
    )
    return Plan(
        network=network,
        layers=layers,
        argmax=argmax,
        verdict_depth=times.verdict_depth,
        cycles_per_image=times.cycles_per_image,
        latency_cycles=times.latency_cycles,
    )


def _chain(network: QNetwork) -> tuple[list[Conv2d], Argmax | None]:
    """The convolutions in order and the closing argmax. Raises NetworkError for anything else."""
    convs: list[Conv2d] = []
    tensor = network.input
    for layer in network.layers:
        if layer.input != tensor:
            raise NetworkError(
                f"Layer {layer.name!r}: input must be {tensor!r}, the output of the layer before, "
                f"not {layer.input!r}; the generator builds chains without branches"
            )
        if isinstance(layer, Conv2d):
            _require_patches(layer)
            _require_fixed_point(layer)
            convs.append(layer)
        elif not isinstance(layer, Argmax) or layer is not network.layers[-1]:
            raise NetworkError(
                f"Layer {layer.name!r}: kind {layer.kind!r} is not supported here; the generator "
                "builds conv2d layers and an argmax at the end"
            )
        tensor = layer.output
    _require_free_names(network)
    if not convs:
        raise NetworkError(f"Network {network.name!r}: there must be a conv2d layer to build")
    last = network.layers[-1]
    return convs, last if isinstance(last, Argmax) else None


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


def _require_fixed_point(conv: Conv2d) -> None:
    """Refuse a requantization that the hardware does not have."""
    requant = conv.requant
    if requant.rounding is Rounding.FLOAT32 or requant.has_offsets:
        what = "offsets" if requant.has_offsets else f"rounding {requant.rounding.value!r}"
        raise NetworkError(
            f"Layer {conv.name!r}: {what} of the requantization are not in hardware yet; "
            "quantize the float network with tercet quantize instead"
        )


def _fewest_lanes(network: QNetwork, conv: Conv2d, goal: int) -> PatchGeometry:
    """The geometry with the fewest lanes that fit the goal, or with the fewest cycles there are."""
    height, width, channels = network.tensors[conv.input].shape
    per_group = conv.out_channels // conv.groups
    for lanes in range(1, per_group + 1):
        geometry = PatchGeometry(
            height=height,
            width=width,
            in_channels=channels,
            kernel=conv.kernel,
            out_channels=conv.out_channels,
            groups=conv.groups,
            lanes=lanes,
        )
        if geometry.busy_cycles <= goal:
            break
    return geometry


def _accumulator_width(network: QNetwork, conv: Conv2d) -> int:
    lo, hi = accumulator_ranges(network, conv)
    return signed_width(int(lo.min()), int(hi.max()))

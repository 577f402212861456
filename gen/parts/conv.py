"""Convolutions, linear layers and average pools as parts of a core: all use the patch engine.

The form of a part is P output channels at once and S activations at once. The S activations are
``channels_at_once`` of each of a number of ``pixels``, or of taps of a window. P * S multipliers.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, repeat

import numpy as np
from amaranth import Shape
from amaranth.lib import wiring

from ...hw.geometry import PatchGeometry
from ...hw.layer import ConvLayer, ConvSpec, requantizer_of
from ...hw.operand import operand_shape
from ...hw.patch import PatchSpec
from ...hw.requantizer_spec import RequantizerSpec, requantizer_slots
from ...model.builder import Window
from ...model.dtypes import Integers, IntType, signed_width
from ...model.layers.conv import Conv2d
from ...model.layers.pool import AvgPool2d
from ...model.layers.weights import Weights
from ...model.network import QNetwork
from ..timing.channel import Channel
from ..timing.converters import serializer
from ..timing.credits import credited
from ..timing.processes import Pipeline
from .alone import simulated_cycles
from .credits_needed import credits_for, keeps_up
from .engine_steps import engine_steps
from .part import Model, NewChannel, WindowedPart, centered_bits, divisors, shape_of, windows_of
from .products import Product, products_by, scaled_by

__all__ = ["ConvPart"]

FEW_RESULTS = 1000  # of an image; the timing model handles the stall of each result singly
WIDE_ROM = 1 << 16  # bits; several blocks on every device, too far apart for one cycle


@dataclass(frozen=True)
class ConvPart(WindowedPart):
    """A convolution: engine, serializer, requantizer; a window reader if windows are not patches.

    conv : the layer; for an average pool, the convolution that computes its sums
    sum_width : bits of a sum, from the range analysis
    output_lanes : R, results requantized at once
    sequential : whether the requantizer uses shift-and-add instead of a multiplier
    """

    COMPONENT = ConvLayer

    conv: Conv2d
    sum_width: int
    output_lanes: int = 1
    sequential: bool = False

    @classmethod
    def of(cls, network: QNetwork, layer: Conv2d | AvgPool2d) -> ConvPart:
        """The part with one output channel and one activation at a time."""
        x, y = network.tensors[layer.input], network.tensors[layer.output]
        conv = _summing(layer, x.shape[2]) if isinstance(layer, AvgPool2d) else layer
        window = Window(conv.stride, conv.padding, conv.dilation)
        windows = windows_of(x, y, conv.kernel, window)
        line = 1, conv.kernel[0] * conv.kernel[1]  # a window comes as one row of pixels
        height, width = line if windows else x.shape[:2]
        geometry = PatchGeometry(
            height=height,
            width=width,
            in_channels=x.shape[2],
            kernel=line if windows else conv.kernel,
            out_channels=conv.out_channels,
            groups=conv.groups,
        )
        lo, hi = conv.sum_bounds(network)
        width = signed_width(int(lo.min()), int(hi.max()))
        return cls(layer, x, y, geometry, windows, conv, width)

    def choices(self, read: int, written: Sequence[int]) -> Iterator[ConvPart]:
        for pixels, channels in self._beats_at_once():
            part = self._taking(pixels, channels)
            for pe in self._pe_choices(part.geometry):
                geometry = replace(part.geometry, pe=pe)
                whole = math.gcd(geometry.sums, geometry.cells * geometry.last_pe)
                for lanes in (each for each in written if whole % each == 0):
                    choice = replace(part, geometry=geometry, output_lanes=lanes)
                    if choice.may_be_sequential:
                        yield replace(choice, sequential=True)
                    yield choice

    @property
    def single(self) -> ConvPart:
        pe = self.conv.out_channels // self.conv.groups
        return replace(self, geometry=replace(self.geometry, pe=pe), output_lanes=1)

    def _beats_at_once(self) -> Iterator[tuple[int, int]]:
        """The choices of (pixels or taps, channels) that come in at once."""
        g = self.geometry
        group = g.channels_per_group
        parts = [*divisors(group), *(group * count for count in divisors(g.groups)[1:])]
        if self.windows is None:
            yield from ((1, channels) for channels in parts)
            yield from ((count, g.in_channels) for count in self.pixels_at_once)
        else:
            height, width = self.conv.kernel
            taps = {*divisors(width), *(width * rows for rows in divisors(height))}
            yield from ((count, channels) for count in sorted(taps) for channels in parts)

    @property
    def whole_pixels(self) -> list[int]:
        return self.pixels_at_once if self.windows is None else []

    @property
    def pixels_at_once(self) -> list[int]:
        """Without a window reader: the choices of pixels, above 1, that come in at once."""
        g = self.geometry
        kernels = (g.kernel[1] * count for count in divisors(g.columns))
        return sorted({*divisors(g.kernel[1]), *kernels, g.width} - {1})

    def _taking(self, pixels: int, channels: int) -> ConvPart:
        """The part that takes ``pixels`` (or taps) at once, and ``channels`` of each."""
        g = self.geometry
        pe = g.out_channels // g.groups  # all if there are several cells, else set later
        geometry = replace(g, pe=pe, pixels=pixels, channels_at_once=channels)
        if self.windows is None:
            return replace(self, geometry=geometry)
        windows = replace(self.windows, pixel_elements=g.in_channels // channels, taps=pixels)
        return replace(self, geometry=geometry, windows=windows)

    def _pe_choices(self, geometry: PatchGeometry) -> list[int]:
        """For each possible number of slots, the least P."""
        channels = geometry.out_channels // geometry.groups
        if geometry.cells > 1:
            return [channels]
        return sorted({-(-channels // pe): pe for pe in range(channels, 0, -1)}.values())

    @property
    def may_be_sequential(self) -> bool:
        """Whether the part can have the sequential requantizer.

        It needs one sum at a time, one M and B for all channels, few results, and no window reader:
        stalls of the window reader would hide some of the requantizer's.
        """
        constants = len(self.conv.requant.multipliers), len(self.conv.requant.offsets)
        one_by_one = self.geometry.sums == 1 and self.windows is None
        return one_by_one and self.results <= FEW_RESULTS and constants == (1, 1)

    @cached_property
    def operand(self) -> Shape:
        """Shape of the part of a sum that the requantizer multiplies."""
        return operand_shape(self.conv.requant, self.y.zero_point, self.sum_width)

    @cached_property
    def requantizer_slots(self) -> int:
        """Cycles that the requantizer takes for a result."""
        if not self.sequential:
            return 1
        return requantizer_slots(self.operand)

    @cached_property
    def engine_cycles(self) -> int:
        """Overrides Part.engine_cycles; without credits the requantizer stalls the engine."""
        waits = 0 if self.credits else self.results * (self.requantizer_slots - 1)
        return super().engine_cycles + waits

    @cached_property
    def cycles(self) -> int:
        """Overrides Part.cycles.

        If sums arrive faster than the serializer drains them, the engine stalls
        (slots - 1) * (parts - 1) cycles per patch; parts is the number of beats in which a beat of
        sums is sent. With a window reader, some of these stalls coincide with waits for it.
        """
        g, sent = self.geometry, self.geometry.sums // self.output_lanes
        if sent == 1 or (g.slots == 1 and sent <= g.channel_steps):
            return self.engine_cycles
        if self.credits and keeps_up(g, self._drain_cycles, self.credits):
            return self.engine_cycles
        return simulated_cycles(self) if self.windows else self._patch_cycles(sent)

    def _patch_cycles(self, sent: int) -> int:
        """The cycles of an image without a window reader, with all stalls for the serializer.

        They are summed over the beats that complete a group's sums. Each takes the cycles since the
        one before it, at least as many as the serializer needs for the sums of a group.
        """
        g = self.geometry
        stalls, least = (g.slots - 1) * (sent - 1), sum(self._sent)
        ends, cycles, since = [], 0, 0
        for _ in range(2):  # beats after an image's last patch count in the next image's first
            for count, slots, made in engine_steps(g):
                since += count * slots
                if made:
                    first = since - (count - 1) * slots
                    cycles += max(first + stalls, least) + (count - 1) * max(slots + stalls, least)
                    since = 0
            ends.append(cycles)
        return ends[1] - ends[0]

    @cached_property
    def credits(self) -> int:
        """Credits of the engine; see :func:`credits_for`."""
        windows = self.windows is not None
        return credits_for(self.geometry, self._drain_cycles, windows=windows, spread=self._spread)

    @property
    def _drain_cycles(self) -> list[int]:
        """Cycles that it takes to drain the sums of a group from the engine, slot by slot."""
        return [parts * self.requantizer_slots for parts in self._sent]

    @property
    def _spread(self) -> bool:
        """Whether the weights are a ROM of many blocks, which are far apart."""
        bits = self.multipliers * self.conv.weights.dtype.bits
        return self.geometry.weight_depth * bits > WIDE_ROM

    @property
    def _sent(self) -> list[int]:
        """The number of beats of R results in which a group's sums are sent, slot by slot."""
        g = self.geometry
        last = g.cells * g.last_pe // self.output_lanes
        return [g.sums // self.output_lanes] * (g.slots - 1) + [last]

    @property
    def multipliers(self) -> int:
        return 0 if isinstance(self.layer, AvgPool2d) else self.geometry.multipliers

    @property
    def form(self) -> dict[str, int]:
        g = self.geometry
        return {"P": g.pe, "S": g.cells * g.terms, "R": self.output_lanes}

    @property
    def weight_bits(self) -> int:
        weights = self.conv.weights
        equal = weights.values.min() == weights.values.max()  # as those of an average: a constant
        return 0 if equal else weights.values.size * weights.dtype.bits

    @property
    def requantizer_multipliers(self) -> int:
        return 0 if self.sequential else self.output_lanes

    def products(self) -> list[Product]:
        weights = self.conv.weights.centered
        ends = int(weights.min()), int(weights.max())
        factors = self.conv.requant.multipliers
        return [
            *products_by(self.multipliers, centered_bits(self.x), ends),
            *scaled_by(self.requantizer_multipliers, self.operand, factors),
        ]

    def features(self) -> Counter[str]:
        product = self.x.dtype.bits + self.conv.weights.dtype.bits
        count = self.engine_features(self.sum_width, product)
        count["sequential_bits"] = self.sum_width if self.sequential else 0
        return count

    @property
    def multiplies(self) -> int:
        if isinstance(self.layer, AvgPool2d):
            return 0
        return self.y.shape[0] * self.y.shape[1] * self.conv.weights.values.size

    @property
    def accumulator_width(self) -> int:
        return self.sum_width

    @cached_property
    def spec(self) -> ConvSpec:
        """The spec of the hardware."""
        return ConvSpec(
            engine=PatchSpec(
                geometry=self.geometry,
                activation=shape_of(self.x.dtype),
                zero_point=self.x.zero_point,
                weights=self._weights,
                bias=self.conv.bias,
                accumulator_width=self.sum_width,
                credits=self.credits,
                early=self.credits > 0 or self.multipliers == 0,
            ),
            requantizer=RequantizerSpec(
                requant=self.conv.requant,
                zero_point=self.y.zero_point,
                channels=self.geometry.out_channels,
                accumulator_width=self.sum_width,
                activation=shape_of(self.y.dtype),
                lanes=self.output_lanes,
                sequential=self.sequential,
            ),
            windows=self.reader if self.windows else None,
        )

    def requantizer(self) -> wiring.Component:
        """The requantizer alone, without other ROMs of the layer beside its own."""
        return requantizer_of(replace(self.spec.requantizer, beside=()))

    @property
    def _weights(self) -> Integers:
        """The engine's weights, int64 (OC, KH, KW, IC / G); a window's kernel is one row."""
        weights = self.conv.weights.centered
        return weights.reshape(len(weights), *self.geometry.kernel, weights.shape[3])

    def processes(self, inputs: Sequence[Channel], new: NewChannel, images: int) -> Model:
        processes, i = self.read(inputs[0], new, images)
        g, sums, maps = self.geometry, new(), images * self.positions
        latency, steps = self.spec.engine.latency, self.steps(images)
        if self.credits:
            processes.append(credited(i, sums, latency, self.credits, steps))
        else:
            processes += Pipeline(i, sums, latency, steps).processes()
        if g.sums > self.output_lanes:
            beats, sums = sums, new()
            groups = maps * g.rows * g.column_steps * g.group_steps
            parts = chain.from_iterable(repeat(self._sent, groups))
            processes.append(serializer(beats, sums, parts))
        o = new()
        results = [(images * self.results, self.requantizer_slots, 1)]
        processes += Pipeline(sums, o, self.spec.requantizer.latency, results).processes()
        return processes, o


def _summing(pool: AvgPool2d, channels: int) -> Conv2d:
    """An average pool as a depthwise convolution with weights 1; M contains its factor."""
    return Conv2d(
        name=pool.name,
        input=pool.input,
        output=pool.output,
        weights=Weights(np.ones((channels, *pool.kernel, 1), np.int64), IntType(2, True), (1.0,)),
        bias=np.zeros(channels, np.int64),
        requant=pool.requant,
        stride=pool.stride,
        padding=pool.padding,
        groups=channels,
    )

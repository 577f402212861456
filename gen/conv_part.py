"""Convolutions, linear layers and average pools as parts of a core: all by the patch engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, repeat
from typing import Any

import numpy as np

from ..hw.geometry import PatchGeometry
from ..hw.layer import ConvLayer
from ..hw.patch import PatchEngine
from ..hw.requant import Requantizer
from ..model.builder import Window
from ..model.conv import Conv2d
from ..model.dtypes import IntType, signed_width
from ..model.network import QNetwork
from ..model.pool import AvgPool2d
from ..model.ranges import accumulator_ranges
from ..model.weights import Weights
from .channel import Channel, Process
from .pace import own_cycles
from .parts import NewChannel, WindowedPart, engine_steps, shape_of, windows_of
from .timing import Pipeline, serializer

__all__ = ["ConvPart"]


@dataclass(frozen=True)
class ConvPart(WindowedPart):
    """A convolution: window reader where windows are no patches, engine, serializer, requantizer.

    conv : the layer, or for an average pool what computes it
    sum_width : bits of a sum, from the range analysis
    """

    conv: Conv2d
    sum_width: int

    @classmethod
    def of(cls, network: QNetwork, layer: Conv2d | AvgPool2d) -> ConvPart:
        """The part with one output channel at a time."""
        x, y = network.tensors[layer.input], network.tensors[layer.output]
        conv = _summing(layer, x.shape[2]) if isinstance(layer, AvgPool2d) else layer
        window = Window(conv.stride, conv.padding, conv.dilation)
        windows = windows_of(x, y, conv.kernel, window)
        height, width = conv.kernel if windows else x.shape[:2]
        geometry = PatchGeometry(
            height=height,
            width=width,
            in_channels=x.shape[2],
            kernel=conv.kernel,
            out_channels=conv.out_channels,
            groups=conv.groups,
        )
        lo, hi = accumulator_ranges(network, conv)
        width = signed_width(int(lo.min()), int(hi.max()))
        return cls(layer, x, y, geometry, windows, conv, width)

    def choices(self) -> Iterator[ConvPart]:
        channels = 1 if isinstance(self.layer, AvgPool2d) else self.conv.out_channels
        channels = max(channels // self.conv.groups, 1)
        fewest = {-(-channels // lanes): lanes for lanes in range(channels, 0, -1)}
        for lanes in sorted(fewest.values()):
            yield replace(self, geometry=replace(self.geometry, lanes=lanes))

    @cached_property
    def busy_cycles(self) -> int:
        """As of any part. Where a group's sums come faster than they are sent on, the engine waits
        behind its patch, (slots - 1) * (lanes - 1) cycles or what of them it would have waited for
        the window reader anyway."""
        g = self.geometry
        if g.lanes == 1 or (g.slots == 1 and g.lanes <= g.channels_per_group):
            return self.least_cycles
        return own_cycles(self) if self.windows else self._patch_cycles()

    def _patch_cycles(self) -> int:
        """The cycles of patches without a window reader: for each beat of a group's last sums those
        since the one before, with which the serializer is done by then."""
        g = self.geometry
        stalls, least = (g.slots - 1) * (g.lanes - 1), g.out_channels // g.groups
        ends, cycles, since = [], 0, 0
        for _ in range(2):  # what follows an image's last patch counts in the next one's first
            for count, slots, made in engine_steps(g):
                since += count * slots
                if made:
                    first = since - (count - 1) * slots
                    cycles += max(first + stalls, least) + (count - 1) * max(slots + stalls, least)
                    since = 0
            ends.append(cycles)
        return ends[1] - ends[0]

    @property
    def multipliers(self) -> int:
        return 0 if isinstance(self.layer, AvgPool2d) else self.geometry.lanes

    @property
    def requantizer_multipliers(self) -> int:
        return 1

    @property
    def multiplies(self) -> int:
        if isinstance(self.layer, AvgPool2d):
            return 0
        return self.y.shape[0] * self.y.shape[1] * self.conv.weights.values.size

    @property
    def accumulator_width(self) -> int:
        return self.sum_width

    @property
    def partial_sum_bits(self) -> int:
        return self.geometry.partial_sums * self.geometry.lanes * self.sum_width

    def component(self) -> ConvLayer:
        engine: dict[str, Any] = {
            "geometry": self.geometry,
            "activation": shape_of(self.x.dtype),
            "zero_point": self.x.zero_point,
            "weights": self.conv.weights.centered,
            "bias": self.conv.bias,
            "accumulator_width": self.sum_width,
        }
        requantizer: dict[str, Any] = {
            "requant": self.conv.requant,
            "zero_point": self.y.zero_point,
            "activation": shape_of(self.y.dtype),
        }
        return ConvLayer(engine=engine, requantizer=requantizer, windows=self.windows)

    def processes(
        self, inputs: Sequence[Channel], new: NewChannel, images: int
    ) -> tuple[list[Process], Channel]:
        processes, i = self.read(inputs[0], new, images)
        g, sums, maps = self.geometry, new(), images * self.positions
        processes += Pipeline(i, sums, PatchEngine.LATENCY, self.steps(images)).processes()
        if g.lanes > 1:
            beats, sums = sums, new()
            per_group = [g.lanes] * (g.slots - 1) + [g.last_lanes]
            lanes = chain.from_iterable(repeat(per_group, maps * g.rows * g.columns * g.groups))
            processes.append(serializer(beats, sums, lanes))
        o = new()
        results = [(images * self.results, 1, 1)]
        processes += Pipeline(sums, o, Requantizer.LATENCY, results).processes()
        return processes, o


def _summing(pool: AvgPool2d, channels: int) -> Conv2d:
    """An average pool's sums as a depthwise convolution with weights 1, its factor in M."""
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

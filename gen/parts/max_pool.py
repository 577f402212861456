"""Maximum pools as parts of a core."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ...hw.geometry import PatchGeometry
from ...hw.layer import MaxPoolLayer, MaxPoolSpec
from ...model.builder import Window
from ...model.layers.pool import MaxPool2d
from ...model.network import QNetwork
from ..timing.channel import Channel
from ..timing.processes import Pipeline
from .part import Model, MultipliesNothing, NewChannel, WindowedPart, shape_of, windows_of

__all__ = ["MaxPoolPart"]


@dataclass(frozen=True)
class MaxPoolPart(MultipliesNothing, WindowedPart):
    """A maximum pool of the channels that come in at once.

    A window reader precedes it if windows are not patches.
    """

    COMPONENT = MaxPoolLayer

    @classmethod
    def of(cls, network: QNetwork, pool: MaxPool2d) -> MaxPoolPart:
        """The part of a layer."""
        x, y = network.tensors[pool.input], network.tensors[pool.output]
        windows = windows_of(x, y, pool.kernel, Window(pool.stride, pool.padding))
        height, width = pool.kernel if windows else x.shape[:2]
        geometry = PatchGeometry.depthwise(
            height=height, width=width, channels=x.shape[2], kernel=pool.kernel
        )
        return cls(pool, x, y, geometry, windows)

    def choices(self, read: int, written: Sequence[int]) -> Iterator[MaxPoolPart]:
        lanes = math.gcd(read, self.x.shape[2])
        geometry = replace(self.geometry, channels_at_once=lanes)
        windows = self.windows and replace(self.windows, pixel_elements=self.x.shape[2] // lanes)
        yield replace(self, geometry=geometry, windows=windows)

    def features(self) -> Counter[str]:
        return self.engine_features(self.x.dtype.bits, self.x.dtype.bits)

    @property
    def output_lanes(self) -> int:
        return self.geometry.channels_at_once

    @property
    def fill(self) -> int:
        return self.x.dtype.qmin

    @cached_property
    def spec(self) -> MaxPoolSpec:
        """The spec of the hardware."""
        windows = self.reader if self.windows else None
        activation = shape_of(self.x.dtype)
        return MaxPoolSpec(geometry=self.geometry, activation=activation, windows=windows)

    def processes(self, inputs: Sequence[Channel], new: NewChannel, images: int) -> Model:
        processes, i = self.read(inputs[0], new, images)
        o = new()
        return processes + Pipeline(i, o, self.spec.latency, self.steps(images)).processes(), o

"""Nearest-neighbour upsampling as a part of a core."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ...hw.upsample import Upsample as UpsampleComponent
from ...hw.upsample import UpsampleSpec
from ...model.dtypes import Integers
from ...model.layers.upsample import Upsample
from ..timing.channel import Channel
from ..timing.processes import Windows
from .alone import simulated_cycles
from .part import LanesPart, Model, NewChannel, divisors, shape_of

__all__ = ["UpsamplePart"]


@dataclass(frozen=True)
class UpsamplePart(LanesPart):
    """An upsampling: a buffer of one row, read several times; its lanes are channels."""

    COMPONENT = UpsampleComponent

    layer: Upsample

    def choices(self, read: int, written: Sequence[int]) -> Iterator[UpsamplePart]:
        for lanes in divisors(self.x.shape[2]):
            if read % lanes == 0 or lanes % read == 0:
                yield replace(self, lanes=lanes)

    @property
    def cycles(self) -> int:
        return self.results

    def cycles_alone(self, read: int) -> int:
        if self.lanes // math.gcd(read, self.lanes) == 1:
            return super().cycles_alone(read)
        return simulated_cycles(self, read)

    def needs(self, port: int) -> Integers:
        return np.repeat(self.spec.needed.reshape(-1), self.spec.window)

    @cached_property
    def spec(self) -> UpsampleSpec:
        """The spec of the hardware."""
        height, width, channels = self.x.shape
        return UpsampleSpec(
            height=height,
            width=width,
            pixel_elements=channels // self.lanes,
            factor=self.layer.factor,
            activation=shape_of(self.x.dtype),
            lanes=self.lanes,
        )

    def processes(self, inputs: Sequence[Channel], new: NewChannel, images: int) -> Model:
        o = new()
        return Windows(inputs[0], o, self.spec, images, self.spec.latency).processes(), o

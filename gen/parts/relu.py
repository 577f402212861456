"""ReLUs as parts of a core, if they are not fused into another layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ...hw.relu import Relu as ReluComponent
from ...model.layers import Relu
from ..timing.channel import Channel
from .part import Model, MultipliesNothing, NewChannel, Part, WithoutEngine, WithoutMemory, shape_of

__all__ = ["ReluPart"]


@dataclass(frozen=True)
class ReluPart(MultipliesNothing, WithoutEngine, WithoutMemory, Part):
    """A clamp of a stream, combinational."""

    layer: Relu

    @property
    def handshake(self) -> str:
        return "i"  # valid and ready are wired past the component

    @property
    def cycles(self) -> int:
        return math.prod(self.x.shape)

    def component(self) -> ReluComponent:
        return ReluComponent(
            activation=shape_of(self.x.dtype), low=self.layer.low, high=self.layer.high
        )

    def processes(self, inputs: Sequence[Channel], new: NewChannel, images: int) -> Model:
        (i,) = inputs
        return [], i

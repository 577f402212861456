"""Layers without weights as parts of a core: maximum pools, additions, ReLUs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ..hw.add import Add as AddComponent
from ..hw.geometry import PatchGeometry
from ..hw.layer import MaxPoolLayer
from ..hw.relu import Relu as ReluComponent
from ..model.add import Add
from ..model.builder import Window
from ..model.layers import Relu, Tensor
from ..model.network import QNetwork
from ..model.pool import MaxPool2d
from .channel import Channel, Process
from .parts import NewChannel, Part, WindowedPart, shape_of, windows_of
from .timing import Pipeline, join

__all__ = ["AddPart", "MaxPoolPart", "ReluPart"]


@dataclass(frozen=True)
class MaxPoolPart(WindowedPart):
    """A maximum pool, behind a window reader where windows are no patches, of the channels that
    come in at once."""

    @classmethod
    def of(cls, network: QNetwork, pool: MaxPool2d) -> MaxPoolPart:
        """The part."""
        x, y = network.tensors[pool.input], network.tensors[pool.output]
        windows = windows_of(x, y, pool.kernel, Window(pool.stride, pool.padding))
        height, width = pool.kernel if windows else x.shape[:2]
        geometry = PatchGeometry.depthwise(
            height=height, width=width, channels=x.shape[2], kernel=pool.kernel
        )
        return cls(pool, x, y, geometry, windows)

    def choices(self, read: int, written: Sequence[int]) -> Iterator[MaxPoolPart]:
        lanes = math.gcd(read, self.x.shape[2])
        geometry = replace(self.geometry, channels=lanes)
        windows = self.windows and replace(self.windows, channels=self.x.shape[2] // lanes)
        yield replace(self, geometry=geometry, windows=windows)

    @property
    def output_lanes(self) -> int:
        return self.geometry.channels

    @property
    def partial_sum_bits(self) -> int:
        return self.geometry.partial_sums * self.geometry.sums * self.x.dtype.bits

    def component(self) -> MaxPoolLayer:
        return MaxPoolLayer(
            geometry=self.geometry,
            activation=shape_of(self.x.dtype),
            least=self.x.dtype.qmin,
            windows=self.windows,
        )

    def processes(
        self, inputs: Sequence[Channel], new: NewChannel, images: int
    ) -> tuple[list[Process], Channel]:
        processes, i = self.read(inputs[0], new, images)
        o = new()
        return processes + Pipeline(
            i, o, self.component().latency, self.steps(images)
        ).processes(), o


@dataclass(frozen=True)
class AddPart(Part):
    """An addition of two streams, the second one's tensor beside the first.

    other : the second tensor that it reads
    """

    layer: Add
    other: Tensor

    @classmethod
    def of(cls, network: QNetwork, add: Add) -> AddPart:
        """The part."""
        x, other, y = (network.tensors[name] for name in (add.input, add.other, add.output))
        return cls(add, x, y, other)

    @property
    def ports(self) -> tuple[str, ...]:
        return "i_a", "i_b"

    @property
    def busy_cycles(self) -> int:
        return self.results

    @property
    def requantizer_multipliers(self) -> int:
        return 2

    def component(self) -> AddComponent:
        tensors = (self.x, self.other, self.y)
        a, b, y = (shape_of(tensor.dtype) for tensor in tensors)
        za, zb, zy = (tensor.zero_point for tensor in tensors)
        return AddComponent(
            requant=self.layer.requant, zero_points=(za, zb, zy), activations=(a, b, y)
        )

    def processes(
        self, inputs: Sequence[Channel], new: NewChannel, images: int
    ) -> tuple[list[Process], Channel]:
        both, o, beats = new(), new(), images * self.results
        pipeline = Pipeline(both, o, AddComponent.LATENCY, [(beats, 1, 1)])
        return [join(inputs, both, beats), *pipeline.processes()], o


@dataclass(frozen=True)
class ReluPart(Part):
    """A clamp on its own, between two wires."""

    layer: Relu

    @property
    def handshake(self) -> str:
        return "i"  # valid and ready pass it by, so that it has no other ports for them

    @classmethod
    def of(cls, network: QNetwork, relu: Relu) -> ReluPart:
        """The part."""
        return cls(relu, network.tensors[relu.input], network.tensors[relu.output])

    @property
    def busy_cycles(self) -> int:
        return math.prod(self.x.shape)

    def component(self) -> ReluComponent:
        return ReluComponent(
            activation=shape_of(self.x.dtype), low=self.layer.low, high=self.layer.high
        )

    def processes(
        self, inputs: Sequence[Channel], new: NewChannel, images: int
    ) -> tuple[list[Process], Channel]:
        (i,) = inputs
        return [], i

"""Additions as parts of a core."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...hw.add import Add as AddComponent
from ...model.layers import Tensor
from ...model.layers.add import Add
from ...model.network import QNetwork
from ..timing.channel import Channel
from ..timing.processes import Pipeline, join
from .part import Model, NewChannel, Part, WithoutEngine, WithoutMemory, centered_bits, shape_of
from .products import Product, products_by

__all__ = ["AddPart"]


@dataclass(frozen=True)
class AddPart(WithoutEngine, WithoutMemory, Part):
    """An addition of two streams.

    other : the second tensor that it reads; ``x`` is the first
    """

    layer: Add
    other: Tensor

    @classmethod
    def of(cls, network: QNetwork, add: Add) -> AddPart:
        """The part of a layer."""
        x, other, y = (network.tensors[name] for name in (add.input, add.other, add.output))
        return cls(add, x, y, other)

    @property
    def ports(self) -> tuple[str, ...]:
        return "i_a", "i_b"

    @property
    def cycles(self) -> int:
        return self.results

    @property
    def requantizer_multipliers(self) -> int:
        return 2

    def products(self) -> list[Product]:
        factors = zip((self.x, self.other), self.layer.requant.multipliers, strict=True)
        return [
            product
            for x, multiplier in factors
            for product in products_by(1, centered_bits(x), (multiplier,), requantizes=True)
        ]

    def component(self) -> AddComponent:
        tensors = (self.x, self.other, self.y)
        a, b, y = (shape_of(tensor.dtype) for tensor in tensors)
        za, zb, zy = (tensor.zero_point for tensor in tensors)
        return AddComponent(
            requant=self.layer.requant, zero_points=(za, zb, zy), activations=(a, b, y)
        )

    def processes(self, inputs: Sequence[Channel], new: NewChannel, images: int) -> Model:
        both, o, beats = new(), new(), images * self.results
        pipeline = Pipeline(both, o, AddComponent.LATENCY, [(beats, 1, 1)])
        return [join(inputs, both, beats), *pipeline.processes()], o

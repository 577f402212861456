"""Concatenations of channels as parts of a core."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...hw.concat import Concat as ConcatComponent
from ...model.dtypes import Integers
from ...model.layers import Tensor
from ...model.layers.concat import Concat
from ...model.network import QNetwork
from ..timing.channel import Channel
from ..timing.processes import Pipeline, take_turns
from .part import Model, NewChannel, Part, WithoutEngine, WithoutMemory, centered_bits, shape_of
from .products import Product, products_by

__all__ = ["ConcatPart"]


@dataclass(frozen=True)
class ConcatPart(WithoutEngine, WithoutMemory, Part):
    """A concatenation: takes turns between streams; requantizes them if their grids differ.

    inputs : all tensors that it reads; ``x`` is the first
    copies : whether all values stay unchanged
    """

    layer: Concat
    inputs: tuple[Tensor, ...]
    copies: bool

    @classmethod
    def of(cls, network: QNetwork, layer: Concat) -> ConcatPart:
        """The part of a layer."""
        inputs = tuple(network.tensors[name] for name in layer.reads)
        y = network.tensors[layer.output]
        return cls(layer, inputs[0], y, inputs, layer.copies(network))

    @property
    def ports(self) -> tuple[str, ...]:
        return tuple(f"i_{index}" for index in range(len(self.inputs)))

    @property
    def cycles(self) -> int:
        return self.results

    @property
    def requantizer_multipliers(self) -> int:
        return 0 if self.copies else 1

    def products(self) -> list[Product]:
        width = max(map(centered_bits, self.inputs))
        factors = self.layer.requant.multipliers
        return products_by(self.requantizer_multipliers, width, factors, requantizes=True)

    def needs(self, port: int) -> Integers:
        counts = [x.shape[2] for x in self.inputs]
        turns = np.repeat(np.arange(len(counts)), counts)
        pixels = self.y.shape[0] * self.y.shape[1]
        return np.cumsum(np.tile(turns == port, pixels))

    def component(self) -> ConcatComponent:
        tensors = (*self.inputs, self.y)
        return ConcatComponent(
            channels=[x.shape[2] for x in self.inputs],
            requant=None if self.copies else self.layer.requant,
            zero_points=[tensor.zero_point for tensor in tensors],
            activations=[shape_of(tensor.dtype) for tensor in tensors],
        )

    def processes(self, inputs: Sequence[Channel], new: NewChannel, images: int) -> Model:
        counts, both = [x.shape[2] for x in self.inputs], new()
        processes = [take_turns(inputs, both, counts, images * self.y.shape[0] * self.y.shape[1])]
        if self.copies:
            return processes, both
        o, beats = new(), [(images * self.results, 1, 1)]
        return [*processes, *Pipeline(both, o, ConcatComponent.LATENCY, beats).processes()], o

"""A random network under construction: the layers so far, and the choices of every draw."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..dtypes import IntType
from ..layers import Layer, Shape, Tensor
from ..network import QNetwork
from ..requant import Rounding
from .convs import network_of
from .draws import Rng, random_tensor

__all__ = ["Draft"]

RULES = np.array(list(Rounding))
USUAL_BITS, MOST_BITS = 8, 16


@dataclass
class Draft:
    """Layers over the tensor ``image``, in execution order."""

    rng: Rng
    image: Tensor
    layers: list[Layer] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)

    @classmethod
    def begin(cls, rng: Rng) -> Draft:
        """A small map of any type, with 1 to 4 channels."""
        height, width = (int(extent) for extent in rng.integers(1, 10, 2))
        shape = (height, width, int(rng.choice([1, 1, 2, 3, 3, 4])))
        return cls(rng, random_tensor(rng, "image", shape, _type(rng)))

    def name(self, kind: str) -> str:
        """A name for the next layer."""
        return f"{kind}{len(self.layers)}"

    def chance(self, probability: float) -> bool:
        """Whether an event of this probability happens."""
        return bool(self.rng.random() < probability)

    def type(self) -> IntType:
        """The type of an activation: often 8 bits, otherwise 2 to 16."""
        return _type(self.rng)

    def rule(self) -> Rounding:
        """Any rounding rule."""
        rule: Rounding = self.rng.choice(RULES)
        return rule

    def grid(self, name: str, shape: Shape) -> Tensor:
        """An output tensor of any type, scale and zero point."""
        return random_tensor(self.rng, f"{name}_out", shape, self.type())

    def like(self, x: Tensor, name: str, shape: Shape) -> Tensor:
        """An output tensor of x's type, scale and zero point."""
        return Tensor(f"{name}_out", shape, x.dtype, x.scale, x.zero_point)

    def append(self, layer: Layer, y: Tensor) -> Tensor:
        """Add a layer and its output tensor; return the tensor."""
        self.layers.append(layer)
        self.tensors.append(y)
        return y

    def network(self, name: str) -> QNetwork:
        """The network drawn so far."""
        return network_of(self.image, self.layers, self.tensors, name)


def _type(rng: Rng) -> IntType:
    bits = USUAL_BITS if rng.integers(2) else int(rng.integers(2, MOST_BITS + 1))
    return IntType(bits, signed=bool(rng.integers(2)))

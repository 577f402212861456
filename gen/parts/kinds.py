"""The part for each kind of layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...model.layers import Layer, NetworkError
from ...model.network import QNetwork
from .add import AddPart
from .concat import ConcatPart
from .conv import ConvPart
from .max_pool import MaxPoolPart
from .part import Part
from .relu import ReluPart
from .table import TablePart
from .upsample import UpsamplePart

__all__ = ["PARTS", "part_of"]

# For each kind of layer: (network, layer) -> its part.
PARTS: dict[str, Callable[[QNetwork, Any], Part]] = {
    "conv2d": ConvPart.of,
    "linear": ConvPart.of,
    "avg_pool2d": ConvPart.of,
    "max_pool2d": MaxPoolPart.of,
    "add": AddPart.of,
    "concat": ConcatPart.of,
    "relu": ReluPart.of,
    "table": TablePart.of,
    "upsample": UpsamplePart.of,
}


def part_of(network: QNetwork, layer: Layer) -> Part:
    """The part of a layer. Raises NetworkError for a kind that the hardware does not have."""
    if layer.kind not in PARTS:
        raise NetworkError(
            f"Layer {layer.name!r}: kind {layer.kind!r} is not in hardware; leave the layer out"
        )
    return PARTS[layer.kind](network, layer)

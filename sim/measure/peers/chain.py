"""A network in the form for peers: a chain of convolutions whose patches do not overlap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ....model import QNetwork
from ....model.errors import UserError
from ....model.layers import Argmax, Layer
from ....model.layers.conv import Conv2d

__all__ = ["PatchConv", "PeerError", "chain_of"]

Integers = npt.NDArray[np.int64]


class PeerError(UserError, RuntimeError):
    """A peer cannot express a network, is absent, or fails; the message is one sentence."""


@dataclass(frozen=True)
class PatchConv:
    """y = clamp(round((bias + sum x * w) * multiplier / 2**shift) + zero_point, low, high).

    weights : int64 (OC, K, K, IC), zero points subtracted
    bias : int64 (OC,), including the contribution of the input's zero point
    multipliers : int64 (OC,)
    """

    name: str
    weights: Integers
    bias: Integers
    multipliers: Integers
    shift: int
    zero_point: int
    low: int
    high: int


def chain_of(network: QNetwork) -> list[PatchConv]:
    """The convolutions of a network, in order; an argmax at the end is left out.

    Raises PeerError for any other layer.
    """
    layers = [layer for layer in network.layers if not isinstance(layer, Argmax)]
    return [_patch_conv(network, layer) for layer in layers]


def _patch_conv(network: QNetwork, layer: Layer) -> PatchConv:
    if not (
        isinstance(layer, Conv2d)
        and layer.stride == layer.kernel
        and layer.groups == 1
        and not any(layer.padding)
        and set(layer.dilation) == {1}
        and not layer.requant.has_offsets
    ):
        raise PeerError(
            f"Layer {layer.name!r}: the peers are given plain convolutions whose stride is their "
            "kernel; compare on the network `plain`"
        )
    weights = layer.weights.centered
    x, y = network.tensors[layer.input], network.tensors[layer.output]
    return PatchConv(
        name=layer.name,
        weights=weights,
        bias=layer.bias - x.zero_point * weights.sum(axis=(1, 2, 3)),
        multipliers=np.array(layer.requant.per_channel(layer.out_channels)),
        shift=layer.requant.shift,
        zero_point=y.zero_point,
        low=layer.requant.low,
        high=layer.requant.high,
    )

"""The bit widths of each requantization: with M of 31 bits, and with the narrowest M."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..dtypes import Bounds, signed_width
from ..layers import NetworkError, Requantizing, Tensor, in_layer
from ..layers.add import Add
from ..network import QNetwork
from ..requant import Requant, Rounding, fixed_point
from ..requant.active import active_range
from ..requant.staircase import differences
from .narrowest import narrowest, proven, target_of
from .policies import factors

__all__ = ["BLOCKS", "Widths", "blocks", "wide", "widths"]

WIDEST = 31  # bits of M in engines that serve any layer

# The factors of one multiplier block, signed by signed, and the devices that have it.
BLOCKS = {"18x18": "ECP5, Gowin", "25x18": "7-series", "16x16": "iCE40"}


@dataclass(frozen=True)
class Widths:
    """The widths of one layer, in bits; signed numbers include the sign.

    layer, kind : name and kind of the layer
    multipliers : the number of multipliers; an addition has two
    accumulator : bits of the number that is multiplied, from the range analysis
    active : bits of its active range, outside of which the clamp decides; see ``requant.active``
    wide : bits of M if the factor has 31
    equal : bits of the narrowest M with the same outputs as those 31
    defined, narrow : bits of M of the layer's definition, and of the layer
    checked : accumulators, or pairs of values, on which the layer was compared with its definition
    differing, reachable : accumulators on which the layer's outputs differ from those of 31 bits,
        and all reachable accumulators, over all channels with their own M; None for an addition
    """

    layer: str
    kind: str
    multipliers: int
    accumulator: int
    active: int
    wide: int
    equal: int
    defined: int
    narrow: int
    checked: int
    differing: int | None
    reachable: int | None

    @property
    def products(self) -> tuple[int, int]:
        """Bits of a product before (accumulator times 31 bits) and after (active times narrow)."""
        return self.accumulator + self.wide + 1, self.active + self.narrow + 1

    def blocks(self, block: str) -> tuple[int, int]:
        """Multiplier blocks that these two products take."""
        sizes = ((self.accumulator, self.wide + 1), (self.active, self.narrow + 1))
        before, after = (self.multipliers * blocks(size, block) for size in sizes)
        return before, after

    def facts(self) -> dict[str, Any]:
        """All fields and the derived numbers, as a plain dict."""
        before, after = self.products
        counts = {block: list(self.blocks(block)) for block in BLOCKS}
        return asdict(self) | {"product": [before, after], "blocks": counts}


def blocks(size: tuple[int, int], block: str) -> int:
    """The number of multiplier blocks that a signed product takes.

    Each block after the first in a row or column contributes one bit less, since its part has no
    sign.

    size : bits of the two factors, signs included
    block : of ``BLOCKS``; each factor may use either side
    """
    sides = tuple(int(side) for side in block.split("x"))
    return min(
        _parts(size[0], first) * _parts(size[1], second) for first, second in (sides, sides[::-1])
    )


def _parts(bits: int, side: int) -> int:
    return 1 + max(-(-(bits - side) // (side - 1)), 0)


def wide(network: QNetwork, layer: Requantizing) -> Requant:
    """The layer's requantization with M of 31 bits, the nearest to its factors, half-up.

    Raises NetworkError, which names the layer, if the factors are too far apart for that.
    """
    inputs, y = _tensors(network, layer)
    with in_layer(layer.name):
        try:
            multipliers, shift = fixed_point(factors(layer, inputs, y), WIDEST)
        except ValueError as error:
            raise NetworkError(str(error)) from None
    low, high = layer.requant.low, layer.requant.high
    return Requant(multipliers, shift, Rounding.HALF_UP, low, high)


def widths(network: QNetwork) -> Iterator[Widths]:
    """The widths of each layer that requantizes. Raises NetworkError, which names the layer, if one
    differs from its reference or cannot be compared with it."""
    for layer in network.layers:
        if isinstance(layer, Requantizing):
            yield _widths(network, layer)


def _widths(network: QNetwork, layer: Requantizing) -> Widths:
    inputs, y = _tensors(network, layer)
    reach = layer.sum_bounds(network)
    broad, requant = wide(network, layer), layer.requant
    accumulator = active = _input_bits(network, inputs)
    differing = reachable = None
    if len(reach[0]):
        accumulator = signed_width(int(reach[0].min()), int(reach[1].max()))
        active = signed_width(*active_range(requant, y.zero_point, reach))
        differing, reachable = _differences(broad, requant, y.zero_point, reach)
    return Widths(
        layer=layer.name,
        kind=layer.kind,
        multipliers=len(inputs) if isinstance(layer, Add) else 1,
        accumulator=accumulator,
        active=active,
        wide=_bits(broad),
        equal=_bits(narrowest(broad, inputs, y, reach)),
        defined=_bits(requant.definition),
        narrow=_bits(requant),
        checked=proven(layer, network),
        differing=differing,
        reachable=reachable,
    )


def _bits(requant: Requant) -> int:
    return max(requant.multipliers).bit_length()


def _tensors(network: QNetwork, layer: Requantizing) -> tuple[tuple[Tensor, ...], Tensor]:
    return tuple(network.tensors[name] for name in layer.reads), network.tensors[layer.output]


def _input_bits(network: QNetwork, inputs: tuple[Tensor, ...]) -> int:
    """Bits of the widest input, with its zero point subtracted."""
    ranges = [(x.zero_point, network.value_range(x.name)) for x in inputs]
    return max(signed_width(low - zero, high - zero) for zero, (low, high) in ranges)


def _differences(
    broad: Requant, requant: Requant, zero_point: int, reach: Bounds
) -> tuple[int, int]:
    """The number of accumulators on which two requantizations differ, and the number of all."""
    one = max(len(broad.multipliers), len(requant.multipliers), len(requant.offsets)) == 1
    count = 1 if one else len(reach[0])
    spread = replace(broad, multipliers=broad.per_channel(count))
    return differences(target_of(spread, zero_point, reach), requant)

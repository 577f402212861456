"""Coverage by the hardware: a network's layers to build, or an error before anything is written."""

from __future__ import annotations

from ...hw.rescale import FLOAT32_REACH
from ...model.layers import Argmax, Layer, NetworkError, Requantizing, require
from ...model.network import QNetwork
from ...model.requant import Rounding
from .links import Links

__all__ = ["layers_to_build"]


def layers_to_build(network: QNetwork) -> tuple[list[Layer], Argmax | None]:
    """The layers to build, in order, and the final argmax.

    Raises NetworkError if the hardware does not cover a layer. The message names the layer, the
    rule, the value and a way out.
    """
    built: list[Layer] = []
    for layer in network.layers:
        if isinstance(layer, Argmax):
            require(
                layer is network.layers[-1],
                f"Layer {layer.name!r}: an argmax must be the last layer in hardware; move it "
                "there",
            )
        elif not layer.changes_nothing(network):
            built.append(layer)
        if isinstance(layer, Requantizing):
            _require_halves(network, layer)
    _require_read(network)
    require(
        bool(built),
        f"Network {network.name!r}: there must be a layer to build apart from argmax and layers "
        "that change no value; add one",
    )
    last = network.layers[-1]
    return built, last if isinstance(last, Argmax) else None


def _require_halves(network: QNetwork, layer: Requantizing) -> None:
    """Refuse float32 rounding of outputs so large that float32 has no halves.

    The hardware corrects ties only.
    """
    zero_point, requant = network.tensors[layer.output].zero_point, layer.requant
    reach = max(abs(end - zero_point) for end in (requant.low, requant.high))
    if requant.rounding is Rounding.FLOAT32 and reach >= FLOAT32_REACH:
        raise NetworkError(
            f"Layer {layer.name!r}: with float32 rounding, outputs must be within "
            f"{FLOAT32_REACH - 1} of the zero point in hardware, not {reach}; give the output "
            "fewer bits, or another rounding rule"
        )


def _require_read(network: QNetwork) -> None:
    """Refuse a layer whose output no layer reads: its stream would stop the core."""
    links = Links.of(network)
    for source, readers in links.readers.items():
        if not readers:
            what = f"Layer {source!r}" if source else f"Network {network.name!r}: the input"
            raise NetworkError(f"{what}: no layer reads its output; leave it out")

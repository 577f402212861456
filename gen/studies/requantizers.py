"""The requantizers of a network without the rest of its core, for synthesis to count."""

from __future__ import annotations

from dataclasses import asdict

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import connect, flipped

from ...model.files import temporary_folder
from ...model.formats.json_file import dumps
from ...model.layers import Requantizing
from ...model.network import QNetwork
from ...model.search.widths import Widths, widths
from ...model.studies.rows import Facts, Store, fingerprint, sources
from ..parts.kinds import PARTS
from ..plan.covered import layers_to_build
from ..verilog.emit import to_verilog
from .cells import cells_of

__all__ = ["NetworkRequantizers", "kept_widths", "synthesized"]

WIDTHS_SOURCES = ("model/dtypes.py", "model/layers/*.py", "model/requant/*.py", "model/search/*.py")


class NetworkRequantizers(wiring.Component):
    """The components of a network that requantize, with their streams as ports.

    Of a convolution or an average pool, the requantizer; an addition or a concatenation as a whole.

    network : the network of the layers

    Members: the components' streams, ``LAYER_i`` and ``LAYER_o`` and so on.
    """

    def __init__(self, *, network: QNetwork):
        built, _ = layers_to_build(network)
        layers = [layer for layer in built if isinstance(layer, Requantizing)]
        self._components = {
            layer.name: PARTS[layer.kind](network, layer).requantizer() for layer in layers
        }
        super().__init__(
            {
                f"{name}_{port}": member
                for name, component in self._components.items()
                for port, member in component.signature.members.items()
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for name, component in self._components.items():
            m.submodules[name] = component
            for port in component.signature.members:
                connect(m, flipped(getattr(self, f"{name}_{port}")), getattr(component, port))
        return m


def kept_widths(network: QNetwork, store: Store) -> list[Widths]:
    """The widths of a network's requantizations, kept in ``store``."""
    facts = store.kept(
        f"widths/{network.name}.json",
        fingerprint(dumps(network), sources(*WIDTHS_SOURCES)),
        lambda: {"layers": [asdict(each) for each in widths(network)]},
    )
    return [Widths(**each) for each in facts["layers"]]


def synthesized(network: QNetwork, target: str, store: Store) -> Facts:
    """The cells of a network's requantizers for a family of ``flow.synth.TARGETS``, by Yosys."""
    verilog = to_verilog(NetworkRequantizers(network=network), network.name, "")
    with temporary_folder() as folder:
        path = folder / "requantizers.v"
        path.write_text(verilog, encoding="utf-8")
        return cells_of(path, network.name, target, store, place=False)

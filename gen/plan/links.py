"""The links of a core: the tensors of a network as streams from layer to layer.

A layer that changes nothing has no hardware: its output is the stream of its input. Examples are a
flatten, whose order the stream already has, and a ReLU whose inputs are all within its limits. A
stream with several readers is forked, and each link after the fork has its own queue.

Each component of a core has the name of its layer or of its link. Names of the shell, of ports and
Verilog keywords are reserved. Equal names are made distinct by a number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from ...model.layers import Argmax, Layer
from ...model.names import distinct
from ...model.network import QNetwork
from ..keywords import KEYWORDS

__all__ = ["Link", "Links"]

CONVERTERS = ("unpack", "pack")  # the kinds that ``hw.lanes.converter`` makes
SHELL = ("frame_in", "rows", "frame_out", "verdicts")
PORTS = (
    "clk",
    "rst",
    "frame_good",
    "frame_bad",
    "frame_error",
    "frame_error_clear",
)  # without the streams' ports
STREAMS = ("tdata", "tvalid", "tready", "tlast", "tuser")
RESERVED = {
    *(*KEYWORDS, *SHELL, *PORTS),
    *(f"{side}_axis_{signal}" for side in "sm" for signal in STREAMS),
}


@dataclass(frozen=True)
class Link:
    """One reader of a stream.

    source : the layer that writes it; "" for the network's input
    target : the layer that reads it; "" for the core's output
    port : the index of the reader's input
    """

    source: str
    target: str
    port: int = 0


@dataclass(frozen=True)
class Links:
    """The links of a network.

    readers : the links that read each stream, by the layer that writes it; "" is the network's
        input
    layers : the names of all layers, including the final argmax
    """

    readers: Mapping[str, tuple[Link, ...]]
    layers: tuple[str, ...]

    @classmethod
    def of(cls, network: QNetwork) -> Links:
        """The links of a network; a final argmax is part of the core's output."""
        writer = {network.input: ""}
        readers: dict[str, list[Link]] = {"": []}
        for layer in network.layers:
            if layer.changes_nothing(network):
                writer[layer.output] = writer[layer.input]
            elif not isinstance(layer, Argmax):
                for port, tensor in enumerate(layer.reads):
                    source = writer[tensor]
                    readers[source].append(Link(source, layer.name, port))
                writer[layer.output] = layer.name
                readers[layer.name] = []
        readers[writer[network.output]].append(Link(writer[network.output], ""))
        return cls(
            {source: tuple(links) for source, links in readers.items()},
            tuple(layer.name for layer in network.layers),
        )

    @property
    def out(self) -> Link:
        """The link to the core's output."""
        return next(link for links in self.readers.values() for link in links if not link.target)

    def into(self, layer: Layer) -> list[Link]:
        """The links that a layer reads, in the order of its inputs."""
        found = [link for links in self.readers.values() for link in links]
        return sorted(
            (link for link in found if link.target == layer.name), key=lambda link: link.port
        )

    def queued(self, link: Link) -> bool:
        """Whether a link may have a queue: all but the only link of the core's input."""
        return bool(link.source) or len(self.readers[link.source]) > 1

    def name(self, *of: object) -> str:
        """The name of a component.

        of : a layer's name; a link and ``"fifo"`` or one of ``CONVERTERS``; or a stream's source
            and the number of a fork, of which a stream with n readers has n - 1
        """
        return self._names[of]

    @cached_property
    def _names(self) -> dict[tuple[object, ...], str]:
        """The names of all possible components; layers are named first."""
        wanted: list[tuple[tuple[object, ...], str]] = [((layer,), layer) for layer in self.layers]
        for source, readers in self.readers.items():
            for link in readers:
                name = self._way(link)
                wanted += [((link, kind), f"{name}_{kind}") for kind in ("fifo", *CONVERTERS)]
            for index in range(len(readers) - 1):
                wanted.append(((source, index), f"{source or 'frame_in'}_fork{index or ''}"))
        return distinct(wanted, RESERVED)

    def _way(self, link: Link) -> str:
        """The name of a link: the writer's, with the reader's if there are several readers."""
        source = link.source or "frame_in"
        if len(self.readers[link.source]) == 1:
            return source
        alike = [other for other in self.readers[link.source] if other.target == link.target]
        port = f"_{link.port}" if len(alike) > 1 else ""
        return f"{source}_to_{link.target or 'frame_out'}{port}"

"""Which stream goes where: the tensors of a network as the streams of a core.

A flatten is an order that the stream has already, so its output is its input's stream. A stream
with several readers is forked, each way with a queue of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..model.layers import Argmax, Flatten, Layer
from ..model.network import QNetwork

__all__ = ["Link", "Links"]

CONVERTERS = ("unpack", "pack")  # what ``hw.lanes.converters`` makes


@dataclass(frozen=True)
class Link:
    """One reader of a stream.

    source : the layer that writes it; "" for the network's input
    target : the layer that reads it; "" for the way out
    port : which of the reader's inputs
    """

    source: str
    target: str
    port: int = 0


@dataclass(frozen=True)
class Links:
    """The links of a network, by the layer that writes; "" for the network's input."""

    readers: Mapping[str, tuple[Link, ...]]

    @classmethod
    def of(cls, network: QNetwork) -> Links:
        """The links of a network; a closing argmax belongs to the way out."""
        writer = {network.input: ""}
        readers: dict[str, list[Link]] = {"": []}
        for layer in network.layers:
            if isinstance(layer, Flatten):
                writer[layer.output] = writer[layer.input]
            elif not isinstance(layer, Argmax):
                for port, tensor in enumerate(layer.reads):
                    source = writer[tensor]
                    readers[source].append(Link(source, layer.name, port))
                writer[layer.output] = layer.name
                readers[layer.name] = []
        readers[writer[network.output]].append(Link(writer[network.output], ""))
        return cls({source: tuple(links) for source, links in readers.items()})

    @property
    def out(self) -> Link:
        """The link to the way out."""
        return next(link for links in self.readers.values() for link in links if not link.target)

    def into(self, layer: Layer) -> list[Link]:
        """The links that a layer reads by, in the order of its inputs."""
        found = [link for links in self.readers.values() for link in links]
        return sorted(
            (link for link in found if link.target == layer.name), key=lambda link: link.port
        )

    def queued(self, link: Link) -> bool:
        """Whether a queue may stand in a link: anywhere but right behind the way in."""
        return bool(link.source) or len(self.readers[link.source]) > 1

    def fifo_name(self, link: Link) -> str:
        """The name of a link's queue."""
        return f"{self._name(link)}_fifo"

    def converter_name(self, link: Link, kind: str) -> str:
        """The name of a link's converter; ``kind`` is one of ``CONVERTERS``."""
        return f"{self._name(link)}_{kind}"

    def _name(self, link: Link) -> str:
        """A link's name: the writer's, with the reader where there are several."""
        source = link.source or "frame_in"
        if len(self.readers[link.source]) == 1:
            return source
        port = f"_{link.port}" if self._twice(link) else ""
        return f"{source}_to_{link.target or 'frame_out'}{port}"

    def fork_name(self, source: str, index: int) -> str:
        """The name of a stream's fork, of which there are as many as readers but one."""
        return f"{source or 'frame_in'}_fork{index or ''}"

    @property
    def part_names(self) -> list[str]:
        """Every name of a queue, converter or fork that a core may have."""
        names = []
        for source, readers in self.readers.items():
            names += [self.fifo_name(link) for link in readers]
            names += [self.converter_name(link, kind) for link in readers for kind in CONVERTERS]
            names += [self.fork_name(source, index) for index in range(len(readers) - 1)]
        return names

    def _twice(self, link: Link) -> bool:
        return sum(other.target == link.target for other in self.readers[link.source]) > 1

"""The topology of a core as data: every component between the ports, and the streams between them.

The timing model (``schedule.py``) maps each node to processes, the Verilog (``verilog/core.py``)
maps it to a component, and the cost and the manifest read its memories. All use this one list, so
they cannot differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ...hw.lanes import steps_between
from ...hw.rows import RowGeometry
from ...hw.stream import QueueSpec
from ...model.dtypes import IntType
from ...model.layers import Argmax, Tensor
from ..parts.part import Part
from .links import Link, Links

__all__ = [
    "ArgmaxNode",
    "ConverterNode",
    "ForkNode",
    "FrameInNode",
    "FrameOutNode",
    "LayerNode",
    "Node",
    "QueueNode",
    "RowsNode",
    "Stream",
    "Topology",
]


@dataclass(frozen=True)
class Stream:
    """A stream, written by one node and read by one node.

    writer, port : the instance that writes the stream, and the name of its output
    dtype : type of the values
    lanes : values in a beat
    beats : beats of one image
    """

    writer: str
    port: str
    dtype: IntType
    lanes: int
    beats: int

    @property
    def bits(self) -> int:
        """Bits of a beat."""
        return self.lanes * self.dtype.bits


@dataclass(frozen=True)
class Node:
    """A component of a core.

    name : name of the instance
    """

    name: str

    @property
    def reads(self) -> dict[str, Stream]:
        """The streams that the component reads, by the names of its ports."""
        return {}


@dataclass(frozen=True)
class FrameInNode(Node):
    """The core's input: AXI4-Stream to the stream of the network's input."""

    o: Stream


@dataclass(frozen=True)
class ReaderNode(Node):
    """A component that reads one stream."""

    i: Stream

    @property
    def reads(self) -> dict[str, Stream]:
        return {"i": self.i}


@dataclass(frozen=True)
class ForkNode(ReaderNode):
    """A fork: sends one stream to two readers."""

    a: Stream
    b: Stream


@dataclass(frozen=True)
class FrameOutNode(ReaderNode):
    """The core's output: results to AXI4-Stream, one in a beat."""


@dataclass(frozen=True)
class TransformNode(ReaderNode):
    """A component that reads one stream and writes one."""

    o: Stream


@dataclass(frozen=True)
class RowsNode(TransformNode):
    """A row buffer: converts the beats of the core's input to those of the first layers."""

    geometry: RowGeometry


@dataclass(frozen=True)
class QueueNode(TransformNode):
    """A queue in a link.

    depth : beats; None for an unbounded queue, which only the timing model has
    """

    link: Link
    depth: int | None

    @property
    def spec(self) -> QueueSpec:
        """The spec of the queue; only if it has a depth."""
        assert self.depth is not None
        return QueueSpec(self.depth, self.i.bits)


@dataclass(frozen=True)
class ConverterNode(TransformNode):
    """A converter: divides beats into narrower ones, or collects several into one."""


@dataclass(frozen=True)
class ArgmaxNode(TransformNode):
    """The final argmax: scores pass through, the class comes with the last score."""


@dataclass(frozen=True)
class LayerNode(Node):
    """A layer.

    inputs : the streams that it reads, in the order of the part's ports
    """

    part: Part
    inputs: tuple[Stream, ...]
    o: Stream

    @property
    def reads(self) -> dict[str, Stream]:
        return dict(zip(self.part.ports, self.inputs, strict=True))


class Topology:
    """All nodes and links of a core.

    Parameters
    ----------
    parts : the parts of the layers, in order
    x : the network's input
    lanes : values in a beat of the core's input, and of the first layers' input
    depths : beats of the queue in each link, 0 for a wire; None for unbounded queues

    ``nodes`` has each node after those that it reads from; ``ways`` has the stream of each link,
    after its queue and before converters.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        links: Links,
        argmax: Argmax | None,
        x: Tensor,
        lanes: tuple[int, int],
        depths: Mapping[Link, int] | None = None,
    ) -> None:
        self._links, self._depths = links, depths
        self._wanted = {part.name: part.input_lanes for part in parts}
        self.nodes: list[Node] = []
        self.ways: dict[Link, Stream] = {}
        self._streams: dict[Link, Stream] = {}  # after converters, as the readers take them
        taken, row_lanes = lanes
        height, width, channels = x.shape
        row = RowGeometry(width * channels, taken, row_lanes)
        beats = height * (row.beats if taken != row_lanes else row.results)
        stream = Stream("frame_in", "o", x.dtype, taken, beats)
        self.nodes.append(FrameInNode("frame_in", stream))
        if taken != row_lanes:
            rows = Stream("rows", "o", x.dtype, row_lanes, height * row.results)
            self.nodes.append(RowsNode("rows", stream, rows, row))
            stream = rows
        self._spread("", stream)
        for part in parts:
            name = self._links.name(part.name)
            inputs = tuple(self._streams[link] for link in self._links.into(part.layer))
            o = Stream(name, "o", part.y.dtype, part.output_lanes, part.results)
            self.nodes.append(LayerNode(name, part, inputs, o))
            self._spread(part.name, o)
        result = self._streams[self._links.out]
        if argmax is not None:
            name = self._links.name(argmax.name)
            scores, result = result, Stream(name, "o", result.dtype, 1, result.beats)
            self.nodes.append(ArgmaxNode(name, scores, result))
        self.nodes.append(FrameOutNode("frame_out", result))

    def _spread(self, source: str, stream: Stream) -> None:
        """Connect a stream to its readers.

        It is forked if there are several. Each link has its queue, and converters to the reader's
        beats.
        """
        readers = self._links.readers[source]
        for index, link in enumerate(readers):
            way = stream
            if index < len(readers) - 1:
                name = self._links.name(source, index)
                way, rest = (
                    replace(stream, writer=name, port="o_a"),
                    replace(stream, writer=name, port="o_b"),
                )
                self.nodes.append(ForkNode(name, stream, way, rest))
                stream = rest
            self.ways[link] = self._queued(link, way)
            self._streams[link] = self._converted(link, self.ways[link])

    def _queued(self, link: Link, stream: Stream) -> Stream:
        depth = None if self._depths is None else self._depths.get(link, 0)
        if depth == 0 or not self._links.queued(link):
            return stream
        name = self._links.name(link, "fifo")
        o = replace(stream, writer=name, port="o")
        self.nodes.append(QueueNode(name, stream, o, link, depth))
        return o

    def _converted(self, link: Link, stream: Stream) -> Stream:
        for width in steps_between(stream.lanes, self._wanted.get(link.target, 1)):
            kind = "unpack" if width < stream.lanes else "pack"
            name = self._links.name(link, kind)
            beats = stream.beats * stream.lanes // width
            o = Stream(name, "o", stream.dtype, width, beats)
            self.nodes.append(ConverterNode(name, stream, o))
            stream = o
        return stream

"""Network and plan become one Amaranth component: the core."""

from __future__ import annotations

import math
from typing import Any

from amaranth import Module, Shape, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect

from ...hw.argmax import Argmax
from ...hw.axis import FrameIn, FrameOut, byte_width
from ...hw.fork import Fork
from ...hw.lanes import converters
from ...hw.rows import RowBuffer
from ...hw.stream import StreamFifo
from ..parts.part import shape_of
from ..plan import Plan
from ..plan.links import Link

__all__ = ["Core", "ports_of"]


class Core(wiring.Component):
    """A network behind AXI4-Stream: frames of an image in, its results out.

    Parameters
    ----------
    plan : of the network

    Members
    -------
    s_axis_* : ``plan.input_lanes`` input values a beat, raster order, channels last, the first in
        the least bits; a row begins with a beat, and what its last one has beyond the row, where
        the plan is ``row_aligned``, is ignored; TLAST with an image's last
    m_axis_* : one result a beat; TLAST with an image's last, and where the network closes with an
        argmax TUSER is the class then
    frame_good, frame_bad : Out(1), high for the cycle after an input frame's last beat was taken:
        its length was right, and its results will come; or wrong, and none will
    frame_error : Out(1), sticky: high from ``frame_bad`` on
    frame_error_clear : In(1), lets ``frame_error`` fall; a reset does, too

    One clock domain, ``sync``: ports ``clk`` and synchronous ``rst``.
    """

    def __init__(self, *, plan: Plan):
        self._plan = plan
        network = plan.network
        x, y = network.tensors[network.input], network.tensors[network.output]
        self._x, self._y = shape_of(x.dtype), shape_of(y.dtype)
        self._results = math.prod(y.shape)
        super().__init__(_members(plan))
        self._beat_shapes = {"": data.ArrayLayout(self._x, plan.row_lanes)} | {
            layer.name: data.ArrayLayout(shape_of(layer.part.y.dtype), layer.part.output_lanes)
            for layer in plan.layers
        }

    @property
    def plan(self) -> Plan:
        """The plan given."""
        return self._plan

    @property
    def latency(self) -> int:
        """Cycles from an image's first value taken to its last result sent."""
        return self._plan.latency_cycles

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.frame_in = frame_in = FrameIn(
            activation=self._x, beats=self._plan.input_beats, lanes=self._plan.input_lanes
        )
        depth = self._plan.verdict_depth
        m.submodules.verdicts = verdicts = StreamFifo(shape=unsigned(1), depth=depth)
        connect(m, frame_in.verdict, verdicts.i)
        streams = self._spread(m, "", self._in_rows(m, frame_in.o))
        for layer in self._plan.layers:
            component = layer.part.component()
            m.submodules[self._plan.links.instance(layer.name)] = component
            inputs = self._plan.links.into(layer.part.layer)
            for link, port in zip(inputs, layer.part.ports, strict=True):
                connect(m, streams[link], getattr(component, port))
            streams |= self._spread(m, layer.name, component.o)
        stream = next(stream for link, stream in streams.items() if not link.target)
        m.submodules.frame_out = frame_out = self._frame_out(m, stream)
        connect(m, verdicts.o, frame_out.verdict)
        self._connect_ports(m, frame_in, frame_out)
        return m

    def _in_rows(self, m: Module, stream: wiring.PureInterface) -> wiring.PureInterface:
        """The input's stream in the beats of the first layers."""
        geometry = self._plan.row_geometry
        if geometry is None:
            return stream
        m.submodules.rows = rows = RowBuffer(shape=self._x, geometry=geometry)
        connect(m, stream, rows.i)
        return rows.o

    def _spread(
        self, m: Module, source: str, stream: wiring.PureInterface
    ) -> dict[Link, wiring.PureInterface]:
        """A stream to its readers: forked where there are several, each way with its queue, and
        with a converter to the reader's beats."""
        links, ways = self._plan.links, {}
        readers = links.readers[source]
        for index, link in enumerate(readers):
            way = stream
            if index < len(readers) - 1:
                fork = Fork(shape=stream.payload.shape())
                m.submodules[links.fork_name(source, index)] = fork
                connect(m, stream, fork.i)
                way, stream = fork.o_a, fork.o_b
            if depth := self._plan.fifo_depths.get(link, 0):
                queue = StreamFifo(shape=self._beat_shapes[source], depth=depth)
                m.submodules[links.fifo_name(link)] = queue
                connect(m, way, queue.i)
                way = queue.o
            ways[link] = self._converted(m, link, way)
        return ways

    def _converted(self, m: Module, link: Link, way: wiring.PureInterface) -> wiring.PureInterface:
        """A stream in the beats that its reader takes."""
        wanted = {layer.name: layer.part.input_lanes for layer in self._plan.layers} | {"": 1}
        beat = self._beat_shapes[link.source]
        for name, part in converters(beat.elem_shape, beat.length, wanted[link.target]).items():
            m.submodules[self._plan.links.converter_name(link, name)] = part
            connect(m, way, part.i)
            way = part.o
        return way

    def _frame_out(self, m: Module, stream: wiring.PureInterface) -> FrameOut:
        """The way out, through the argmax where there is one."""
        if self._plan.argmax is None:
            frame_out = FrameOut(value=self._y, beats=self._results)
            m.d.comb += [
                frame_out.i.valid.eq(stream.valid),
                frame_out.i.payload.value.eq(stream.payload[0]),
                stream.ready.eq(frame_out.i.ready),
            ]
            return frame_out
        argmax = Argmax(activation=self._y, classes=self._results)
        m.submodules[self._plan.links.instance(self._plan.argmax.name)] = argmax
        connect(m, stream, argmax.i)
        frame_out = FrameOut(value=self._y, beats=self._results, classes=self._results)
        connect(m, argmax.o, frame_out.i)
        return frame_out

    def _connect_ports(self, m: Module, frame_in: FrameIn, frame_out: FrameOut) -> None:
        """The shell's streams under the names that AXI4-Stream tools look for."""
        m.d.comb += [
            frame_in.s_axis.tdata.eq(self.s_axis_tdata),
            frame_in.s_axis.tvalid.eq(self.s_axis_tvalid),
            frame_in.s_axis.tlast.eq(self.s_axis_tlast),
            self.s_axis_tready.eq(frame_in.s_axis.tready),
            self.m_axis_tdata.eq(frame_out.m_axis.tdata),
            self.m_axis_tvalid.eq(frame_out.m_axis.tvalid),
            self.m_axis_tlast.eq(frame_out.m_axis.tlast),
            frame_out.m_axis.tready.eq(self.m_axis_tready),
            self.frame_good.eq(frame_in.good),
            self.frame_bad.eq(frame_in.bad),
            self.frame_error.eq(frame_in.error),
            frame_in.clear.eq(self.frame_error_clear),
        ]
        if self._plan.argmax is not None:
            m.d.comb += self.m_axis_tuser.eq(frame_out.m_axis.tuser)


def _members(plan: Plan) -> dict[str, wiring.Member]:
    """The ports of a core beside clock and reset."""
    network = plan.network
    x, y = network.tensors[network.input], network.tensors[network.output]
    members = {
        "s_axis_tdata": In(plan.input_lanes * byte_width(shape_of(x.dtype))),
        "s_axis_tvalid": In(1),
        "s_axis_tready": Out(1),
        "s_axis_tlast": In(1),
        "m_axis_tdata": Out(byte_width(shape_of(y.dtype))),
        "m_axis_tvalid": Out(1),
        "m_axis_tready": In(1),
        "m_axis_tlast": Out(1),
        "frame_good": Out(1),
        "frame_bad": Out(1),
        "frame_error": Out(1),
        "frame_error_clear": In(1),
    }
    if plan.argmax is not None:
        members["m_axis_tuser"] = Out(range(max(math.prod(y.shape), 2)))  # at least one bit
    return members


def ports_of(plan: Plan) -> dict[str, dict[str, Any]]:
    """Direction and width in bits of every port of a plan's core, clock and reset included."""
    ports = {"clk": {"direction": "in", "width": 1}, "rst": {"direction": "in", "width": 1}}
    for name, member in wiring.Signature(_members(plan)).members.items():
        direction = "in" if member.flow is In else "out"
        ports[name] = {"direction": direction, "width": Shape.cast(member.shape).width}
    return ports

"""The core: the Amaranth component of a network and its plan."""

from __future__ import annotations

import math
from typing import Any

from amaranth import Module, Shape, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect

from ...hw.argmax import Argmax
from ...hw.axis import FrameIn, FrameOut, byte_width
from ...hw.fork import Fork
from ...hw.lanes import converter
from ...hw.rows import RowBuffer
from ...hw.stream import StreamFifo
from ..parts.part import shape_of
from ..plan import Plan
from ..plan import topology as t

__all__ = ["Core", "ports_of"]


class Core(wiring.Component):
    """A network with AXI4-Stream ports: a frame of an image in, a frame of its results out.

    Parameters
    ----------
    plan : the plan of a network

    Members
    -------
    s_axis_* : ``plan.input_lanes`` input values in a beat, in raster order, channels last, the
        first value in the least significant bits. Each row begins with a new beat. If the plan is
        ``row_aligned``, lanes of the last beat beyond the row are ignored. TLAST with an image's
        last beat
    m_axis_* : one result in a beat; TLAST with an image's last result. If the network ends with an
        argmax, TUSER is the class at TLAST
    frame_good, frame_bad : Out(1); one of the two is high in the cycle after the last beat of an
        input frame was taken. ``frame_good``: the length was right and the results will follow.
        ``frame_bad``: it was wrong and there will be no results
    frame_error : Out(1), sticky: high from the first ``frame_bad`` on
    frame_error_clear : In(1), clears ``frame_error``; a reset clears it too

    One clock domain, ``sync``: ports ``clk`` and synchronous ``rst``.
    """

    def __init__(self, *, plan: Plan):
        self._plan = plan
        network = plan.network
        x, y = network.tensors[network.input], network.tensors[network.output]
        self._x, self._y = shape_of(x.dtype), shape_of(y.dtype)
        super().__init__(_members(plan))

    @property
    def plan(self) -> Plan:
        """The plan of the core."""
        return self._plan

    @property
    def latency(self) -> int:
        """Cycles from the transfer of an image's first value to that of its last result."""
        return self._plan.latency_cycles

    def elaborate(self, platform: object) -> Module:
        m = Module()
        verdicts = StreamFifo(shape=unsigned(1), depth=self._plan.verdict_depth)
        components: dict[str, Any] = {}
        for node in self._plan.topology:
            m.submodules[node.name] = component = components[node.name] = self._component(node)
            for port, stream in node.reads.items():
                writer = getattr(components[stream.writer], stream.port)
                connect(m, writer, getattr(component, port))
            match node:
                case t.FrameInNode():
                    m.submodules.verdicts = verdicts
                    connect(m, component.verdict, verdicts.i)
                case t.FrameOutNode():
                    connect(m, verdicts.o, component.verdict)
                    self._connect_ports(m, components["frame_in"], component)
        return m

    def _component(self, node: t.Node) -> wiring.Component:
        """The component of a node."""
        match node:
            case t.FrameInNode(o=o):
                return FrameIn(activation=self._x, beats=o.beats, lanes=o.lanes)
            case t.RowsNode():
                return RowBuffer(shape=self._x, geometry=node.geometry)
            case t.ForkNode():
                return Fork(shape=_beat(node.i))
            case t.QueueNode():
                return StreamFifo(shape=_beat(node.i), depth=node.spec.depth)
            case t.ConverterNode(i=i, o=o):
                return converter(shape_of(i.dtype), i.lanes, o.lanes)
            case t.LayerNode():
                return node.part.component()
            case t.ArgmaxNode():
                return Argmax(activation=self._y, classes=node.i.beats)
            case t.FrameOutNode():
                classes = {} if self._plan.argmax is None else {"classes": node.i.beats}
                return FrameOut(value=self._y, beats=node.i.beats, **classes)
        raise AssertionError(node)

    def _connect_ports(self, m: Module, frame_in: FrameIn, frame_out: FrameOut) -> None:
        """Connect the shell's streams to ports with the names that AXI4-Stream tools expect."""
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


def _beat(stream: t.Stream) -> data.ArrayLayout:
    return data.ArrayLayout(shape_of(stream.dtype), stream.lanes)


def _members(plan: Plan) -> dict[str, wiring.Member]:
    """The ports of a core without clock and reset."""
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
    """Direction and width in bits of every port of a core, including clock and reset."""
    ports = {"clk": {"direction": "in", "width": 1}, "rst": {"direction": "in", "width": 1}}
    for name, member in wiring.Signature(_members(plan)).members.items():
        direction = "in" if member.flow is In else "out"
        ports[name] = {"direction": direction, "width": Shape.cast(member.shape).width}
    return ports

"""The concatenation of the channels of streams: ``model.layers.concat`` in hardware."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth import Module, Mux, Shape, Signal, signed
from amaranth.hdl import Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Member, Out, connect, flipped

from ..model.dtypes import signed_width
from ..model.requant import Requant
from .centered import centered, centered_width
from .pipeline import stage
from .rescale import Rescale, require_numbers

__all__ = ["Concat", "Turns"]


def _inputs(activations: Sequence[Shape]) -> dict[str, Member]:
    """The input ports: a stream of each shape."""
    return {
        f"i_{index}": In(stream.Signature(data.ArrayLayout(shape, 1)))
        for index, shape in enumerate(activations)
    }


class Turns(wiring.Component):
    """For each pixel, send all channels of the first stream, then all of the second, and so on.

    Parameters
    ----------
    channels : channels of each stream
    activations : shapes of the streams' values
    zero_points : zero point subtracted from each stream's values
    result : shape of ``o``, which must hold every difference

    Members
    -------
    i_0, i_1, ... : streams of one activation per beat, channels last
    o : stream of one activation per beat
    turn : Out, index of the stream whose beat ``o`` offers

    Combinational from the inputs to ``o``: latency 0, one activation per cycle. A stream waits for
    its turn. A stream that is forked from the same source as another needs a queue.

    Raises ValueError for a single stream.
    """

    def __init__(
        self,
        *,
        channels: Sequence[int],
        activations: Sequence[Shape],
        zero_points: Sequence[int],
        result: Shape,
    ):
        if len(channels) < 2:
            raise ValueError(f"channels must be those of two streams or more, not {len(channels)}")
        self._channels = tuple(channels)
        self._zero_points = tuple(zero_points)
        o = stream.Signature(data.ArrayLayout(result, 1))
        turn = Out(range(len(channels)))
        super().__init__(_inputs(activations) | {"o": Out(o), "turn": turn})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        channel = Signal(range(max(self._channels)))
        ends = Signal()
        with m.Switch(self.turn):
            for index, count in enumerate(self._channels):
                i = getattr(self, f"i_{index}")
                with m.Case(index):
                    m.d.comb += [
                        self.o.valid.eq(i.valid),
                        self.o.payload[0].eq(centered(i.payload[0], self._zero_points[index])),
                        i.ready.eq(self.o.ready),
                        ends.eq(channel == count - 1),
                    ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += channel.eq(Mux(ends, 0, channel + 1))
            with m.If(ends):
                at_end = self.turn == len(self._channels) - 1
                m.d.sync += self.turn.eq(Mux(at_end, 0, self.turn + 1))
        return m


class Concat(wiring.Component):
    """y = clamp(round(((x_k - Z_k) * M_k + B_k) / 2**n) + Zy, low, high), for stream k in turn.

    Parameters
    ----------
    channels : channels of each stream
    requant : the M_k and B_k (one, or one for each stream), n, the rounding rule, the clamp; None
        if y = x_k, which the shape of y must then hold
    zero_points : the Z_k, then Zy
    activations : shapes of the x_k, then of y

    Members
    -------
    i_0, i_1, ... : streams of one activation per beat, channels last
    o : stream of one activation per beat

    Throughput: one per cycle. Latency: 4 cycles, and the whole pipeline stalls while a beat waits;
    0 cycles without ``requant``. One multiplier serves all streams, and gates select its M.

    Raises ValueError for a single stream, for a wrong number of multipliers or offsets, and as
    :class:`Rescale` does.
    """

    LATENCY = 2 + Rescale.LATENCY

    def __init__(
        self,
        *,
        channels: Sequence[int],
        requant: Requant | None,
        zero_points: Sequence[int],
        activations: Sequence[Shape],
    ):
        *inputs, y = activations
        *zeros, zy = zero_points
        count = len(inputs)
        self._requant, self._rescale = requant, None
        result = y
        if requant is not None:
            require_numbers(requant, multipliers=(1, count), offsets=(1, count))
            self._rescale = Rescale(requant=requant, zero_point=zy)
            result = signed(max(map(centered_width, inputs, zeros)))
        self._turns = Turns(
            channels=channels,
            activations=inputs,
            zero_points=zeros if requant else [0] * count,
            result=result,
        )
        super().__init__(_inputs(inputs) | {"o": Out(stream.Signature(data.ArrayLayout(y, 1)))})

    @property
    def latency(self) -> int:
        """Cycles from an activation to its result."""
        return 0 if self._rescale is None else self.LATENCY

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.turns = turns = self._turns
        for name in self.signature.members:
            if name != "o":
                connect(m, flipped(getattr(self, name)), getattr(turns, name))
        if self._requant is None or self._rescale is None:
            connect(m, turns.o, flipped(self.o))
            return m
        enable = Signal()
        m.d.comb += [enable.eq(~self.o.valid | self.o.ready), turns.o.ready.eq(enable)]

        # Stage 0: take an activation less its zero point.
        valid, x = turns.o.valid, turns.o.payload[0]
        s1 = stage(m, enable, "s1", valid=valid, x=x, turn=turns.turn)

        # Stage 1: multiply.
        multiplier = _selected(m, "multiplier", s1.turn, self._requant.multipliers)
        s2 = stage(m, enable, "s2", valid=s1.valid, product=s1.x * multiplier, turn=s1.turn)

        # Stages 2 and 3: round, clamp, add the zero point.
        addend = _selected(m, "addend", s2.turn, self._rescale.addends)
        self._rescale.build(
            m, enable, "s3", valid=s2.valid, product=s2.product, addend=addend, o=self.o
        )
        return m


def _selected(m: Module, name: str, turn: Value, values: Sequence[int]) -> Value | int:
    """The value with index ``turn``; a constant if all are equal."""
    if len(set(values)) == 1:
        return values[0]
    value = Signal(signed(signed_width(min(values), max(values))), name=name)
    with m.Switch(turn):
        for index, constant in enumerate(values):
            with m.Case(index):
                m.d.comb += value.eq(constant)
    return value

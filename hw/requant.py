"""The requantizer: ``model.requant`` in hardware, one accumulator a cycle."""

from __future__ import annotations

from amaranth import Module, Mux, Shape, Signal, signed
from amaranth.hdl import Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..model.dtypes import signed_width
from ..model.requant import Requant
from .pipeline import stage
from .rescale import Rescale
from .rom import Rom

__all__ = ["Requantizer"]


class Requantizer(wiring.Component):
    """y = clamp(round((acc * M[channel] + B[channel]) / 2**n) + zero_point, low, high), see
    ``model.requant``.

    Parameters
    ----------
    requant : M and B (one, or one per channel), n, the rounding rule, the clamp
    zero_point : of y
    channels : OC; accumulators arrive channels last, so the channel is counted, modulo OC
    accumulator_width : bits of acc, signed
    activation : shape of y

    Members
    -------
    i : stream of one accumulator a beat
    o : stream of one activation a beat

    Throughput: one a cycle. Latency: 4 cycles. The pipeline stalls as one while a beat waits.
    Offsets are added with the rounding constant, in a ROM of their own where channels differ.
    Raises ValueError for a wrong number of multipliers or offsets, and what :class:`Rescale` does.
    """

    LATENCY = 2 + Rescale.LATENCY

    def __init__(
        self,
        *,
        requant: Requant,
        zero_point: int,
        channels: int,
        accumulator_width: int,
        activation: Shape,
    ):
        for what, values in (
            ("Multipliers", requant.multipliers),
            ("Offsets", requant.offsets),
        ):
            if len(values) not in (1, channels):
                raise ValueError(f"{what} must number 1 or {channels}, not {len(values)}")
        self._rescale = Rescale(requant=requant, zero_point=zero_point)
        addends = self._rescale.addends
        self._period = max(len(requant.multipliers), len(addends))
        super().__init__(
            {
                "i": In(stream.Signature(data.ArrayLayout(signed(accumulator_width), 1))),
                "o": Out(stream.Signature(data.ArrayLayout(activation, 1))),
            }
        )
        self._multiplier_rom = Rom(
            rows=[[multiplier] for multiplier in requant.multipliers],
            width=signed_width(0, max(requant.multipliers)),
        )

        self._addend_rom: Rom | None = None  # one is a constant
        if len(addends) > 1:
            width = signed_width(min(addends), max(addends))
            self._addend_rom = Rom(rows=[[addend] for addend in addends], width=width)

    @property
    def rom_bits(self) -> int:
        """Bits of the ROMs of multipliers and offsets; 0 where one serves all channels."""
        return self._multiplier_rom.bits + (self._addend_rom.bits if self._addend_rom else 0)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        enable = Signal()
        m.d.comb += [enable.eq(~self.o.valid | self.o.ready), self.i.ready.eq(enable)]

        # Stage 0: take an accumulator, address its multiplier.
        m.submodules.multipliers = multipliers = self._multiplier_rom
        channel = Signal(range(self._period))
        m.d.comb += [multipliers.en.eq(enable), multipliers.address.eq(channel)]
        with m.If(enable & self.i.valid):
            at_end = channel == self._period - 1
            m.d.sync += channel.eq(Mux(at_end, 0, channel + 1))
        s1 = stage(m, enable, "s1", valid=self.i.valid, acc=self.i.payload[0])

        # Stage 1: multiply; read the offset.
        addend: Value | int = self._rescale.addends[0]
        if self._addend_rom is not None:
            m.submodules.addends = addends = self._addend_rom
            s1_channel = Signal.like(channel, reset_less=True)
            with m.If(enable):
                m.d.sync += s1_channel.eq(channel)
            m.d.comb += [addends.en.eq(enable), addends.address.eq(s1_channel)]
            addend = addends.row[0]
        s2 = stage(m, enable, "s2", valid=s1.valid, product=s1.acc * multipliers.row[0])

        # Stages 2 and 3: round, clamp, add the zero point.
        self._rescale.build(
            m, enable, "s3", valid=s2.valid, product=s2.product, addend=addend, o=self.o
        )
        return m

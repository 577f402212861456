"""The requantizer: ``model.requant`` in hardware, one accumulator a cycle."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Shape, Signal, signed
from amaranth.hdl import Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..model.arith import Rounding
from ..model.dtypes import signed_width
from ..model.requant import Requant
from .pipeline import stage
from .rom import Rom

__all__ = ["Requantizer"]


class Requantizer(wiring.Component):
    """y = clamp(round(acc * M[channel] / 2**n) + zero_point, low, high), see ``model.requant``.

    Parameters
    ----------
    requant : M (one, or one per channel), n, the rounding rule, the clamp
    zero_point : of y
    channels : OC; accumulators arrive channels last, so the channel is counted, modulo OC
    accumulator_width : bits of acc, signed
    activation : shape of y

    Members
    -------
    i : stream of one accumulator a beat
    o : stream of one activation a beat

    Throughput: one a cycle. Latency: 4 cycles. The pipeline stalls as one while a beat waits.
    """

    LATENCY = 4

    def __init__(
        self,
        *,
        requant: Requant,
        zero_point: int,
        channels: int,
        accumulator_width: int,
        activation: Shape,
    ):
        if len(requant.multipliers) not in (1, channels):
            raise ValueError(
                f"Multipliers must number 1 or {channels}, not {len(requant.multipliers)}"
            )
        if requant.rounding is Rounding.FLOAT32 or requant.has_offsets:
            raise ValueError("Rounding must not be float32, and offsets must be 0")
        self._requant = requant
        self._zero_point = zero_point
        self._channels = channels
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

    @property
    def rom_bits(self) -> int:
        """Bits of the ROM of multipliers; 0 where one serves all channels."""
        return self._multiplier_rom.bits

    def elaborate(self, platform: object) -> Module:
        m = Module()
        enable = Signal()
        m.d.comb += [enable.eq(~self.o.valid | self.o.ready), self.i.ready.eq(enable)]

        # Stage 0: take an accumulator, address its multiplier.
        m.submodules.multipliers = multipliers = self._multiplier_rom
        channel = Signal(range(len(self._requant.multipliers)))
        m.d.comb += [multipliers.en.eq(enable), multipliers.address.eq(channel)]
        with m.If(enable & self.i.valid):
            at_end = channel == len(self._requant.multipliers) - 1
            m.d.sync += channel.eq(Mux(at_end, 0, channel + 1))
        s1 = stage(m, enable, "s1", valid=self.i.valid, acc=self.i.payload[0])

        # Stage 1: multiply.
        s2 = stage(m, enable, "s2", valid=s1.valid, product=s1.acc * multipliers.row[0])

        # Stage 2: round.
        s3 = stage(m, enable, "s3", valid=s2.valid, rounded=self._round(s2.product))

        # Stage 3: clamp, then add the zero point.
        low, high = self._requant.low, self._requant.high
        with m.If(enable):
            m.d.sync += self.o.valid.eq(s3.valid)
            with m.If(s3.rounded < low - self._zero_point):
                m.d.sync += self.o.payload[0].eq(low)
            with m.Elif(s3.rounded > high - self._zero_point):
                m.d.sync += self.o.payload[0].eq(high)
            with m.Else():
                m.d.sync += self.o.payload[0].eq(s3.rounded + self._zero_point)
        return m

    def _round(self, product: Value) -> Value:
        """``model.arith.round_shift`` as gates."""
        n, rule = self._requant.shift, self._requant.rounding
        if n == 0 or rule is Rounding.FLOOR:
            return product >> n
        half = 1 << (n - 1)
        if rule is Rounding.HALF_AWAY:
            return (product + (half - 1) + (product >= 0)) >> n
        biased = product + half
        if rule is Rounding.HALF_UP:
            return biased >> n
        nearest = biased >> n
        tie = biased[:n] == 0  # an odd candidate loses its last bit
        return Cat(nearest[0] & ~tie, nearest[1:]).as_signed()

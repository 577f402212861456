"""The requantizer of a slow layer: multiplication by additions, digit by digit.

It needs no DSP block.
"""

from __future__ import annotations

from amaranth import Array, Cat, Const, Module, Signal, signed
from amaranth.lib import data

from .component import SpecComponent
from .counter import counter
from .operand import clamped
from .requantizer_spec import DIGIT, RequantizerSpec
from .rescale import Rescale

__all__ = ["SequentialRequantizer"]


class SequentialRequantizer(SpecComponent[RequantizerSpec]):
    """y = clamp(round((acc * M + B) / 2**n) + zero_point, low, high). The product is added up digit
    by digit, without a multiplier.

    Parameters
    ----------
    spec : spec of the requantizer, one M and B for all channels

    Members
    -------
    i : stream of one accumulator per beat
    o : stream of one activation per beat

    An accumulator takes a slot to begin and one for each digit of its operand, the least first:
    ``slots`` cycles. It is taken in the last one. Latency: 3 cycles from there. Everything stalls
    while a result waits. M is a constant, so its multiples are wires and gates.

    Raises ValueError as :class:`Rescale` does.
    """

    def __init__(self, spec: RequantizerSpec):
        self._multiplier = spec.requant.multipliers[0]
        self._rescale = Rescale(requant=spec.requant, zero_point=spec.zero_point)
        acc = data.ArrayLayout(signed(spec.accumulator_width), 1)
        super().__init__(spec, i=acc, o=data.ArrayLayout(spec.activation, 1))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        enable = Signal()
        slot, ends = counter(m, "slot", self._spec.slots, enable & self.i.valid)
        m.d.comb += [enable.eq(~self.o.valid | self.o.ready), self.i.ready.eq(enable & ends)]

        # Make a signed operand unsigned by adding 2**(width - 1); the addend subtracts it again.
        acc = clamped(self.i.payload[0], self._spec.operand)
        addend = self._rescale.addends[0]
        if self._spec.operand.signed:
            acc = Cat(acc[:-1], ~acc[-1])
            addend -= self._multiplier << (len(acc) - 1)

        # Slot 0 fetches the first digit; each later slot adds a multiple and fetches the next.
        digit = Signal(DIGIT)
        valid = Signal()
        bits = self._multiplier.bit_length()
        upper = Signal(bits)  # of the product; less than M after each digit
        lower = Signal((self._spec.slots - 1) * DIGIT, reset_less=True)
        multiples = [Const(self._multiplier * k, bits + DIGIT) for k in range(1 << DIGIT)]
        total = Signal(bits + DIGIT)
        m.d.comb += total.eq(upper + Array(multiples)[digit])
        with m.If(enable):
            m.d.sync += [
                valid.eq(self.i.valid & ends),
                digit.eq(acc.word_select(slot, DIGIT)),
                upper.eq(total >> DIGIT),
                lower.eq(Cat(lower, total[:DIGIT])[DIGIT:]),
            ]
            with m.If(slot == 0):
                m.d.sync += upper.eq(0)

        # Then round, clamp, add the zero point.
        product = Signal(len(lower) + bits)
        m.d.comb += product.eq(Cat(lower, upper))
        self._rescale.build(m, enable, "s1", valid=valid, product=product, addend=addend, o=self.o)
        return m

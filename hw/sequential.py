"""The requantizer of a slow layer: multiplication by additions, digit by digit, without a DSP
block."""

from __future__ import annotations

from amaranth import Array, Cat, Const, Module, Shape, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..model.requant import Requant
from .counter import counter
from .operand import clamped, operand_shape
from .rescale import Rescale, require_numbers
from .storage import Storage

__all__ = ["SequentialRequantizer", "requantizer_slots"]

DIGIT = 2  # bits; more make a table of multiples that no longer fits the adder's own LUTs


def requantizer_slots(requant: Requant, zero_point: int, accumulator_width: int) -> int:
    """The cycles that a :class:`SequentialRequantizer` takes for each accumulator."""
    return 1 + -(-operand_shape(requant, zero_point, accumulator_width).width // DIGIT)


class SequentialRequantizer(wiring.Component):
    """y = clamp(round((acc * M + B) / 2**n) + zero_point, low, high), as :class:`Requantizer`.

    Parameters
    ----------
    requant : M and B, the same for all channels; n, the rounding rule, the clamp
    zero_point : of y
    accumulator_width : bits of acc, signed
    activation : shape of y

    Members
    -------
    i : stream of one accumulator a beat
    o : stream of one activation a beat

    An accumulator takes a slot to begin and one for each digit of its operand, the least first, and
    is taken with the last: ``slots`` cycles. Latency: 3 cycles from there. All stalls as one while
    a result waits. M is a constant, so that its multiples are wires and gates.

    Raises ValueError for several multipliers or offsets, and what :class:`Rescale` does.
    """

    LATENCY = 1 + Rescale.LATENCY

    def __init__(
        self, *, requant: Requant, zero_point: int, accumulator_width: int, activation: Shape
    ):
        require_numbers(requant, multipliers=(1,), offsets=(1,))
        self._multiplier = requant.multipliers[0]
        self._rescale = Rescale(requant=requant, zero_point=zero_point)
        self._operand = operand_shape(requant, zero_point, accumulator_width)
        self._slots = requantizer_slots(requant, zero_point, accumulator_width)
        super().__init__(
            {
                "i": In(stream.Signature(data.ArrayLayout(signed(accumulator_width), 1))),
                "o": Out(stream.Signature(data.ArrayLayout(activation, 1))),
            }
        )

    @property
    def slots(self) -> int:
        """Cycles for each accumulator."""
        return self._slots

    @property
    def latency(self) -> int:
        """Cycles from an accumulator to its activation."""
        return self.LATENCY

    @property
    def memories(self) -> tuple[Storage, ...]:
        """None."""
        return ()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        enable = Signal()
        slot, ends = counter(m, "slot", self._slots, enable & self.i.valid)
        m.d.comb += [enable.eq(~self.o.valid | self.o.ready), self.i.ready.eq(enable & ends)]

        # A signed operand as one that is not, 2**(width - 1) greater; the addend takes that back.
        acc = clamped(self.i.payload[0], self._operand)
        addend = self._rescale.addends[0]
        if self._operand.signed:
            acc = Cat(acc[:-1], ~acc[-1])
            addend -= self._multiplier << (len(acc) - 1)

        # Slot 0 fetches the first digit; each later one adds a multiple and fetches the next.
        digit = Signal(DIGIT)
        valid = Signal()
        bits = self._multiplier.bit_length()
        upper = Signal(bits)  # of the product; less than the multiplier after each digit
        lower = Signal((self._slots - 1) * DIGIT, reset_less=True)
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

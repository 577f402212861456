"""From a product to an activation: ``model.requant.rescale`` as two stages of a pipeline.

The requantizer and the addition end in it, so rounding and clamping exist once.
"""

from __future__ import annotations

from collections.abc import Collection

from amaranth import Cat, Const, Module, Signal, signed
from amaranth.hdl import Value
from amaranth.lib import wiring

from ..model.requant import Requant, Rounding
from .pipeline import stage

__all__ = ["Rescale", "require_numbers"]

FLOAT32_BITS = 24  # significant ones
FLOAT32_REACH = 1 << 22  # integers up to here have a tie beside them whose significand is even


def require_numbers(
    requant: Requant, *, multipliers: Collection[int], offsets: Collection[int]
) -> None:
    """Check how many multipliers and offsets there are. Raises ValueError for any other number."""
    for what, values, allowed in (
        ("Multipliers", requant.multipliers, multipliers),
        ("Offsets", requant.offsets, offsets),
    ):
        if len(values) not in allowed:
            numbers = " or ".join(map(str, sorted(set(allowed))))
            raise ValueError(f"{what} must number {numbers}, not {len(values)}")


class Rescale:
    """y = clamp(round((product + B) / 2**n) + zero_point, low, high).

    Parameters
    ----------
    requant : n, the rounding rule, the clamp, B (one, or one per channel); its multipliers are the
        business of whoever makes the product
    zero_point : of y

    Latency: 2 cycles. Raises ValueError where float32 rounds and the clamp reaches too far from the
    zero point for it.
    """

    LATENCY = 2

    def __init__(self, *, requant: Requant, zero_point: int):
        self._requant = requant
        self._zero_point = zero_point
        reach = max(abs(requant.low - zero_point), abs(requant.high - zero_point))
        if requant.rounding is Rounding.FLOAT32 and reach >= FLOAT32_REACH:
            raise ValueError(
                f"The clamp must lie within {FLOAT32_REACH - 1} of the zero point where float32 "
                f"rounds, not reach {reach}"
            )
        self._octaves = (reach + 1).bit_length()  # from 2 to this power on, all is clamped

    @property
    def addends(self) -> tuple[int, ...]:
        """What is added to a product before the shift: B, and with it, at no cost, the half of the
        rounding where that is a constant. One, or one per channel."""
        n, rule = self._requant.shift, self._requant.rounding
        constant = rule in (Rounding.HALF_UP, Rounding.HALF_EVEN)
        offsets = self._requant.offsets if self._requant.has_offsets else (0,)
        return tuple(offset + (1 << n >> 1) * constant for offset in offsets)

    def build(
        self,
        m: Module,
        enable: Value,
        name: str,
        *,
        valid: Value,
        product: Value,
        addend: Value | int,
        o: wiring.PureInterface,
    ) -> None:
        """Add the stages, of which ``name`` names the first; the second is the stream ``o``, whose
        ready the caller has made ``enable`` of. ``addend`` is that of the product's channel."""
        # Round.
        total = self._named(m, f"{name}_total", product + addend)
        s = stage(m, enable, name, valid=valid, rounded=self._shifted(m, total))

        # Clamp, then add the zero point.
        low, high = self._requant.low, self._requant.high
        with m.If(enable):
            m.d.sync += o.valid.eq(s.valid)
            with m.If(s.rounded < low - self._zero_point):
                m.d.sync += o.payload[0].eq(low)
            with m.Elif(s.rounded > high - self._zero_point):
                m.d.sync += o.payload[0].eq(high)
            with m.Else():
                m.d.sync += o.payload[0].eq(s.rounded + self._zero_point)

    def _shifted(self, m: Module, total: Value) -> Value:
        """``model.rounding.round_shift`` as gates; ``total`` has the addend in it."""
        n, rule = self._requant.shift, self._requant.rounding
        if n == 0 or rule in (Rounding.FLOOR, Rounding.HALF_UP):
            return total >> n
        half = 1 << (n - 1)
        if rule is Rounding.HALF_AWAY:
            return self._named(m, "away", total + (half - 1) + (total >= 0)) >> n
        if rule is Rounding.HALF_EVEN:
            return self._to_even(total, n, total[:n] == 0)
        margin = self._float32_margin(m, total)
        biased = self._named(m, "biased", total + half + margin)
        return self._to_even(biased, n, biased[:n] <= margin << 1)

    @staticmethod
    def _named(m: Module, name: str, value: Value) -> Signal:
        """A sum as a signal: where it is shifted, Yosys would write it without one as a wire whose
        upper bits repeat a lower one, in which Verilator sees a loop. Signed in any case."""
        total = Signal(signed(len(value) + (not value.shape().signed)), name=name)
        m.d.comb += total.eq(value)
        return total

    @staticmethod
    def _to_even(biased: Value, n: int, tie: Value) -> Value:
        """The quotient; where that is the upper neighbour of a tie, an odd one loses its last
        bit."""
        nearest = biased >> n
        return Cat(nearest[0] & ~tie, nearest[1:]).as_signed()

    def _float32_margin(self, m: Module, total: Value) -> Value:
        """How far from a tie float32 still makes a tie of it: half a step of float32.

        Rounding to 24 bits never passes an integer or a tie, since float32 holds both, so it
        changes the result only where it ends on a tie; and it does from half a step away,
        inclusive, as a tie's significand is even there. The step doubles from octave to octave:
        in octave j, from 2**(j - 1) to 2**j output steps, its exponent is n + j - 24. Below
        octave 0 there is no tie, beyond ``octaves`` all is clamped.
        """
        n = self._requant.shift
        magnitude = (total ^ total[-1].replicate(len(total)))[:-1]  # one less for negative: no tie
        reached = [Const(1)]  # by octave: whether the total is as great
        for octave in range(1, self._octaves + 1):
            reached.append(magnitude[min(n + octave - 1, len(magnitude)) :].any())
        margin = Signal(max(n + self._octaves - FLOAT32_BITS, 1))
        for octave, is_reached in enumerate(reached):
            if n + octave > FLOAT32_BITS:
                with m.If(is_reached):  # the greatest comes last
                    m.d.comb += margin.eq(1 << (n + octave - FLOAT32_BITS - 1))
        return margin

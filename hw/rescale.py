"""From a product to an activation: ``model.requant.rescale`` as two pipeline stages.

Requantizers, additions and concatenations end with it, so there is one implementation of rounding
and clamping.
"""

from __future__ import annotations

from collections.abc import Collection

from amaranth import Cat, Const, Module, Signal, signed
from amaranth.hdl import Value
from amaranth.lib import wiring

from ..model.requant import Requant, Rounding
from .pipeline import stage

__all__ = ["Rescale", "require_numbers"]

FLOAT32_BITS = 24  # bits of the significand
FLOAT32_REACH = 1 << 22  # ties below this have an even significand


def require_numbers(
    requant: Requant, *, multipliers: Collection[int], offsets: Collection[int]
) -> None:
    """Check the numbers of multipliers and offsets. Raises ValueError if one is not allowed."""
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
    requant : n, the rounding rule, the clamp, B (one, or one per channel); its multipliers are not
        used, because the caller makes the product
    zero_point : zero point of y

    Latency: 2 cycles. Raises ValueError if the rounding rule is FLOAT32 and the clamp reaches too
    far from the zero point.
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
        self._octaves = (reach + 1).bit_length()  # from 2 to this power on, everything is clamped

    @property
    def addends(self) -> tuple[int, ...]:
        """The constants added to a product before the shift: one, or one per channel.

        Each is B, plus the half of the rounding rule if that is constant, which costs no hardware.
        """
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
        """Add the two stages to ``m``.

        The first is named ``name``; the second is the stream ``o``. ``enable`` must follow from the
        ready of ``o``. ``addend`` is the one of the product's channel.
        """
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
        """``model.requant.rounding.round_shift`` as gates; ``total`` includes the addend."""
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
        """A sum as a signed signal.

        Without the signal Yosys would write a shifted sum as a wire whose upper bits repeat a lower
        one, which Verilator reports as a loop.
        """
        total = Signal(signed(len(value) + (not value.shape().signed)), name=name)
        m.d.comb += total.eq(value)
        return total

    @staticmethod
    def _to_even(biased: Value, n: int, tie: Value) -> Value:
        """The quotient by 2**n.

        If it is the upper neighbour of a tie, its last bit is cleared, which makes an odd one even.
        """
        nearest = biased >> n
        return Cat(nearest[0] & ~tie, nearest[1:]).as_signed()

    def _float32_margin(self, m: Module, total: Value) -> Value:
        """The distance from a tie within which float32 rounds to the tie: half a step of float32.

        Rounding to 24 bits never passes an integer or a tie, because float32 has both. So it
        changes the result only if it ends on a tie. It does from half a step away, inclusive,
        because the significand of a tie is even here. The step doubles from octave to octave: in
        octave j, from 2**(j - 1) to 2**j output steps, its exponent is n + j - 24. Below octave 0
        there is no tie, and beyond ``octaves`` everything is clamped.
        """
        n = self._requant.shift
        # |total|, or one less if negative, which may change the octave of an integer, not of a tie
        magnitude = (total ^ total[-1].replicate(len(total)))[:-1]
        reached = [Const(1)]  # by octave: whether the total reaches it
        for octave in range(1, self._octaves + 1):
            reached.append(magnitude[min(n + octave - 1, len(magnitude)) :].any())
        margin = Signal(max(n + self._octaves - FLOAT32_BITS, 1))
        for octave, is_reached in enumerate(reached):
            if n + octave > FLOAT32_BITS:
                with m.If(is_reached):  # the greatest octave comes last
                    m.d.comb += margin.eq(1 << (n + octave - FLOAT32_BITS - 1))
        return margin

"""The addition of two streams, as in residual blocks: ``model.layers.add`` in hardware."""

from __future__ import annotations

from amaranth import Module, Shape, Signal
from amaranth.hdl import Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..model.requant import Requant
from .centered import centered
from .pipeline import stage
from .rescale import Rescale, require_numbers

__all__ = ["Add"]


class Add(wiring.Component):
    """y = clamp(round(((a - Za) * Ma + (b - Zb) * Mb + B) / 2**n) + Zy, low, high).

    Parameters
    ----------
    requant : Ma and Mb, n, the rounding rule, the clamp, B
    zero_points : Za, Zb, Zy
    activations : shapes of a, b and y

    Members
    -------
    i_a, i_b : streams of one activation per beat; a beat is taken from both at once
    o : stream of one activation per beat

    Throughput: one per cycle. Latency: 5 cycles. The whole pipeline stalls while a beat waits. The
    ready of each input waits for the valid of the other, so the valid of a source must not wait for
    its ready (a :class:`Fork`'s does not). Both multipliers are constants, no wider than they must
    be.

    Raises ValueError for a wrong number of multipliers or offsets, and as :class:`Rescale` does.
    """

    LATENCY = 3 + Rescale.LATENCY

    def __init__(
        self,
        *,
        requant: Requant,
        zero_points: tuple[int, int, int],
        activations: tuple[Shape, Shape, Shape],
    ):
        require_numbers(requant, multipliers=(2,), offsets=(1,))
        self._multipliers = requant.multipliers
        self._zero_points = zero_points[:2]
        self._rescale = Rescale(requant=requant, zero_point=zero_points[2])
        a, b, y = (stream.Signature(data.ArrayLayout(shape, 1)) for shape in activations)
        super().__init__({"i_a": In(a), "i_b": In(b), "o": Out(y)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        enable = Signal()
        both = self.i_a.valid & self.i_b.valid
        m.d.comb += [
            enable.eq(~self.o.valid | self.o.ready),
            self.i_a.ready.eq(enable & self.i_b.valid),
            self.i_b.ready.eq(enable & self.i_a.valid),
        ]
        za, zb = self._zero_points
        ma, mb = self._multipliers

        # Stage 0: take an activation of each, subtract their zero points.
        a, b = centered(self.i_a.payload[0], za), centered(self.i_b.payload[0], zb)
        s1 = stage(m, enable, "s1", valid=both, a=a, b=b)

        # Stage 1: multiply.
        s2 = stage(m, enable, "s2", valid=s1.valid, a=s1.a * ma, b=s1.b * mb)

        # Stage 2: add.
        s3 = stage(m, enable, "s3", valid=s2.valid, sum=s2.a + s2.b)

        # Stages 3 and 4: round, clamp, add the zero point.
        addend: Value | int = self._rescale.addends[0]
        self._rescale.build(
            m, enable, "s4", valid=s3.valid, product=s3.sum, addend=addend, o=self.o
        )
        return m

"""Credit-based flow control: a queue after a pipeline that never stalls."""

from __future__ import annotations

from amaranth import Module, Shape, Signal
from amaranth.hdl import ShapeLike
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .storage import Kind, Storage
from .stream import QueueSpec, StreamFifo

__all__ = ["CreditQueue", "CreditSpec"]


class CreditSpec(QueueSpec):
    """The spec of a queue after a pipeline that never stalls; ``depth`` counts credits."""

    @property
    def storage(self) -> Storage:
        if self.depth > 1:
            return super().storage
        return Storage("", True, 1, self.bits, Kind.REGISTER)

    @property
    def latency(self) -> int:
        return super().latency if self.depth > 1 else CreditQueue.LATENCY


class CreditQueue(wiring.Component):
    """A queue after a pipeline that never stalls. A result needs a credit to enter the pipeline and
    returns it when it leaves the queue, so the queue never overflows.

    Parameters
    ----------
    shape : shape of a result
    depth : number of credits, 1 or at least ``StreamFifo.MIN_DEPTH``, few enough for a queue in
        LUTs

    Members
    -------
    credit : Out(1), a result may enter the pipeline; a register
    uses : In(1), a result enters it; only with ``credit``
    i : stream of results, always ready, in the order in which they entered
    o : stream of the same results

    Latency (``spec.latency``): that of the StreamFifo, or 1 cycle with one credit, whose queue is a
    register. A credit can be used again in the cycle after its result was taken. Reset returns all
    credits. Raises ValueError if the queue would need block RAM.
    """

    LATENCY = 1

    def __init__(self, *, shape: ShapeLike, depth: int):
        self._shape = shape
        self._depth = depth
        self._fifo = StreamFifo(shape=shape, depth=depth) if depth > 1 else None
        if self.spec.in_blocks:
            raise ValueError(f"Depth must be at most 33, a queue without block RAM, not {depth}")
        super().__init__(
            {
                "credit": Out(1),
                "uses": In(1),
                "i": In(stream.Signature(shape, always_ready=True)),
                "o": Out(stream.Signature(shape)),
            }
        )

    @property
    def spec(self) -> CreditSpec:
        """The spec of the queue."""
        return CreditSpec(self._depth, Shape.cast(self._shape).width)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        left = Signal(range(self._depth + 1), init=self._depth)
        some = Signal(init=1)
        returns = self.o.valid & self.o.ready
        m.d.comb += self.credit.eq(some)
        with m.If(self.uses & ~returns):
            m.d.sync += [left.eq(left - 1), some.eq(left != 1)]
        with m.Elif(returns & ~self.uses):
            m.d.sync += [left.eq(left + 1), some.eq(1)]
        if self._fifo:
            m.submodules.fifo = fifo = self._fifo
            m.d.comb += [fifo.i.valid.eq(self.i.valid), fifo.i.payload.eq(self.i.payload)]
            wiring.connect(m, fifo.o, wiring.flipped(self.o))
        else:
            held = Signal(self._shape, reset_less=True)
            m.d.comb += self.o.payload.eq(held)
            with m.If(self.i.valid):
                m.d.sync += [held.eq(self.i.payload), self.o.valid.eq(1)]
            with m.Elif(self.o.ready):
                m.d.sync += self.o.valid.eq(0)
        return m

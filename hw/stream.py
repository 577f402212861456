"""Streams between components: a FIFO."""

from __future__ import annotations

from dataclasses import dataclass, replace

from amaranth import Module, Shape, Signal
from amaranth.hdl import ShapeLike, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .counter import counter
from .storage import Kind, Storage, ram, ram_storage

__all__ = ["QueueSpec", "StreamFifo"]


@dataclass(frozen=True)
class QueueSpec:
    """The spec of a queue.

    depth : number of beats that it holds
    bits : bits of a beat
    """

    depth: int
    bits: int

    @property
    def storage(self) -> Storage:
        """Rows, bits and kind of the memory; registers after it hold the other beats."""
        memory = ram_storage(self.depth - 1, self.bits)
        return replace(memory, rows=self.depth - 2) if self.in_blocks else memory

    @property
    def in_blocks(self) -> bool:
        """Whether the memory is block RAM, which adds a cycle of latency."""
        return ram_storage(self.depth - 1, self.bits).kind is Kind.BLOCK

    @property
    def latency(self) -> int:
        """Cycles from the write of a beat to its offer at the output."""
        return StreamFifo.LATENCY + self.in_blocks


class StreamFifo(wiring.Component):
    """A queue of beats in a memory with one output register, or two if it is block RAM.

    Parameters
    ----------
    shape : shape of the payload
    depth : number of beats that it holds, at least 3; fewer cannot move a beat every cycle

    Members
    -------
    i, o : streams

    Latency (``spec.latency``): 2 cycles, 3 with block RAM. Throughput: one beat per cycle. Reset
    empties the queue. Raises ValueError if ``depth`` is below 3.
    """

    LATENCY = 2
    MIN_DEPTH = 3

    def __init__(self, *, shape: ShapeLike, depth: int):
        if depth < self.MIN_DEPTH:
            raise ValueError(f"Depth must be at least {self.MIN_DEPTH}, not {depth}")
        self._shape = shape
        self._depth = depth
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "o": Out(stream.Signature(shape)),
            }
        )

    @property
    def spec(self) -> QueueSpec:
        """The spec of the queue."""
        return QueueSpec(self._depth, Shape.cast(self._shape).width)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = ram(shape=self._shape, storage=self.spec.storage)
        write, read = memory.write_port(), memory.read_port()
        rows = self.spec.storage.rows
        waiting = Signal(range(rows + 1))  # beats in the memory
        full = Signal()  # a register, because it may stall a whole layer
        takes = Signal()
        moves = Signal()
        free = ~self.o.valid | self.o.ready
        there = Signal() if self.spec.in_blocks else None  # a beat is at the memory's output
        place, _ = counter(m, "place", rows, takes)
        first, _ = counter(m, "first", rows, moves)
        m.d.comb += [
            self.i.ready.eq(~full),
            takes.eq(self.i.valid & self.i.ready),
            moves.eq((waiting != 0) & (free if there is None else free | ~there)),
            write.en.eq(takes),
            write.addr.eq(place),
            write.data.eq(self.i.payload),
            read.en.eq(moves),
            read.addr.eq(first),
        ]
        with m.If(takes & ~moves):
            m.d.sync += [waiting.eq(waiting + 1), full.eq(waiting == rows - 1)]
        with m.Elif(moves & ~takes):
            m.d.sync += [waiting.eq(waiting - 1), full.eq(0)]
        if there is None:
            m.d.comb += self.o.payload.eq(read.data)
            comes: Value = moves
        else:
            comes = there & free
            self._build_register(m, moves, there, comes, read.data)
        with m.If(comes):
            m.d.sync += self.o.valid.eq(1)
        with m.Elif(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        return m

    def _build_register(
        self, m: Module, moves: Value, there: Signal, comes: Value, read: Value
    ) -> None:
        """Build the register after block RAM.

        A beat that was read is ``there``, at the memory's output, until it ``comes`` into the
        register.
        """
        payload = Signal(self._shape, reset_less=True)
        m.d.comb += self.o.payload.eq(payload)
        with m.If(comes):
            m.d.sync += payload.eq(read)
        with m.If(moves):
            m.d.sync += there.eq(1)
        with m.Elif(comes):
            m.d.sync += there.eq(0)

"""The AXI4-Stream shell: frames in and out, and the handling of frames of the wrong length.

A frame ends at TLAST or at its last expected beat, whichever comes first. If the two do not
coincide, the frame is bad. A bad frame raises the sticky ``error``. If it is short, it is filled up
inside. All its results are dropped, and the next frame is not affected. While the reset is high, no
beat is taken or offered. Protocol: AMBA 4 AXI4-Stream, ARM IHI 0051A.
"""

from __future__ import annotations

from amaranth import Module, Mux, ResetSignal, Shape, Signal
from amaranth.hdl import ShapeLike, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .counter import counter

__all__ = ["FrameIn", "FrameOut", "axis_signature", "byte_width"]


def byte_width(shape: ShapeLike) -> int:
    """Bits of TDATA for one value: its width rounded up to whole bytes."""
    return -(-Shape.cast(shape).width // 8) * 8


def axis_signature(
    shape: ShapeLike, *, lanes: int = 1, user: ShapeLike | None = None
) -> wiring.Signature:
    """An AXI4-Stream of ``lanes`` values per beat, with TUSER if ``user`` is given.

    Each value is sign-extended to whole bytes; the first is in the lowest bytes.
    """
    members = {
        "tdata": Out(lanes * byte_width(shape)),
        "tvalid": Out(1),
        "tready": In(1),
        "tlast": Out(1),
    }
    return wiring.Signature(members | ({} if user is None else {"tuser": Out(user)}))


class FrameIn(wiring.Component):
    """Turn AXI4-Stream frames into activations, and fill up short frames.

    Parameters
    ----------
    activation : shape of a value
    beats : beats of a frame
    lanes : values of a beat

    Members
    -------
    s_axis : AXI4-Stream of ``lanes`` values per beat, TLAST with the last beat of a frame
    o : stream of ``lanes`` activations per beat, always ``beats`` beats for a frame
    verdict : stream of one bit for each frame: whether it was good; sent with its last activation
    good, bad : Out(1), one of them is high in the cycle after a frame's last beat was taken
    error : Out(1), sticky: high from the cycle of ``bad`` on
    clear : In(1), lowers ``error`` in the next cycle, unless a bad frame ends in this one

    Combinational from ``s_axis`` to ``o``. ``tready`` is low while a short frame is filled up with
    zeros, and while the reset is high. Reset clears ``error``.
    """

    def __init__(self, *, activation: Shape, beats: int, lanes: int = 1):
        self._beats = beats
        super().__init__(
            {
                "s_axis": In(axis_signature(activation, lanes=lanes)),
                "o": Out(stream.Signature(data.ArrayLayout(activation, lanes))),
                "verdict": Out(stream.Signature(1)),
                "good": Out(1),
                "bad": Out(1),
                "error": Out(1),
                "clear": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        filling = Signal()
        moves = Signal()
        taken = Signal()
        wrong = Signal()
        _, at_end = counter(m, "beat", self._beats, moves, early=True)
        # The last activation and the verdict leave together: each waits for the other.
        present = self.s_axis.tvalid | filling
        m.d.comb += [
            self.o.valid.eq(present & (~at_end | self.verdict.ready)),
            moves.eq(self.o.valid & self.o.ready),
            self.verdict.valid.eq(present & at_end & self.o.ready),
            self.verdict.payload.eq(self.s_axis.tlast & ~filling),
            self.s_axis.tready.eq(
                self.o.ready & ~filling & (~at_end | self.verdict.ready) & ~ResetSignal()
            ),
            taken.eq(moves & ~filling),
            wrong.eq(taken & (self.s_axis.tlast != at_end)),
        ]
        m.d.sync += [
            self.good.eq(taken & self.s_axis.tlast & at_end),
            self.bad.eq(wrong),
            self.error.eq((self.error & ~self.clear) | wrong),
        ]
        layout = self.o.payload.shape()
        wide = byte_width(layout.elem_shape)
        for lane in range(layout.length):
            value = (
                self.s_axis.tdata
                if layout.length == 1
                else self.s_axis.tdata.word_select(lane, wide)
            )
            m.d.comb += self.o.payload[lane].eq(Mux(filling, 0, value))
        with m.If(moves):
            with m.If(at_end):
                m.d.sync += filling.eq(0)
            with m.Elif(self.s_axis.tlast):
                m.d.sync += filling.eq(1)
        return m


class FrameOut(wiring.Component):
    """Hold the results of a frame until its verdict, then send them if it was good, else drop them.

    Parameters
    ----------
    value : shape of a result
    beats : results of a frame
    classes : number of classes if results carry ``best``, the class so far, which becomes TUSER;
        else None

    Members
    -------
    i : stream of one result per beat: {value, best} with classes, else the value alone
    verdict : stream of one bit for each frame
    m_axis : AXI4-Stream of one result per beat, TLAST with the last result of a frame, whose TUSER
        is the class

    Combinational from ``i`` to ``m_axis``. While the reset is high, ``tvalid`` is low.
    """

    def __init__(self, *, value: Shape, beats: int, classes: int | None = None):
        self._beats = beats
        self._classes = classes
        result: ShapeLike = data.ArrayLayout(value, 1)
        if classes is not None:
            result = data.StructLayout({"value": value, "best": range(classes)})
        super().__init__(
            {
                "i": In(stream.Signature(result)),
                "verdict": In(stream.Signature(1)),
                "m_axis": Out(
                    axis_signature(value, user=None if classes is None else range(classes))
                ),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        beat = Signal(range(self._beats))
        at_end = beat == self._beats - 1
        result = self.i.payload
        good: Value = self.verdict.valid & self.verdict.payload
        bad: Value = self.verdict.valid & ~self.verdict.payload
        m.d.comb += [
            self.m_axis.tdata.eq(result[0] if self._classes is None else result.value),
            self.m_axis.tvalid.eq(self.i.valid & good & ~ResetSignal()),
            self.m_axis.tlast.eq(at_end),
            self.i.ready.eq(bad | (good & self.m_axis.tready)),
            self.verdict.ready.eq(self.i.valid & self.i.ready & at_end),
        ]
        if self._classes is not None:
            m.d.comb += self.m_axis.tuser.eq(result.best)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += beat.eq(Mux(at_end, 0, beat + 1))
        return m

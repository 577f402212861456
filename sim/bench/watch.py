"""The monitors of a bench: one on every stream, each with its line of the scoreboard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .framing import FramePins, FrameRule
from .scoreboard import Scoreboard
from .stream import Monitor, ProtocolError, Value, Wire
from .vectors import InnerStream, Port, Vectors

__all__ = ["Watch"]


class Watch:
    """Watches a core's ports and inner streams and compares them with the golden values.

    Parameters
    ----------
    dut : the top module
    vectors : the golden values

    Attributes
    ----------
    frames : counts of right and wrong frames at s_axis since the reset
    first_beat : cycle of the first s_axis beat since the reset
    last_beats : cycles of the m_axis beats with TLAST since the reset
    scores, classes : all values of m_axis in this test
    """

    def __init__(self, dut: Any, vectors: Vectors) -> None:
        self.vectors = vectors
        self.scoreboard = Scoreboard(vectors.seed)
        self.frames = FrameRule(vectors.input.beats)
        self.first_beat: int | None = None
        self.last_beats: list[int] = []
        self.scores: list[Value] = []
        self.classes: list[Value] = []
        self._pins = FramePins()
        names = ("frame_good", "frame_bad", "frame_error", "frame_error_clear")
        self._of_frames = [(name, Wire(getattr(dut, name))) for name in names]
        self._quiet = [
            ("s_axis: ready", Wire(dut.s_axis_tready)),
            ("m_axis: valid", Wire(dut.m_axis_tvalid)),
        ]
        self.input = Monitor(
            name="s_axis",
            valid=dut.s_axis_tvalid,
            ready=dut.s_axis_tready,
            payload=[dut.s_axis_tdata, dut.s_axis_tlast],
            taken=self._input_taken,
        )
        self._build_inner(dut)
        self._build_output(dut)
        self.monitors = [self.input, *self._inner, self.output]

    def _build_inner(self, dut: Any) -> None:
        streams = self.vectors.streams
        self._inner_lines = [
            self.scoreboard.line(stream.port.tensor, stream.port.shape, stream.port.tensor)
            for stream in streams
        ]
        self._inner = [
            _inner_monitor(dut, stream, line.receive)
            for stream, line in zip(streams, self._inner_lines, strict=True)
        ]

    def _build_output(self, dut: Any) -> None:
        port, classes = self.vectors.output, self.vectors.classes
        line = self.scoreboard.line
        self._scores_line = line(f"{port.tensor} at m_axis", port.shape, port.tensor)
        self._last_line = line("m_axis_tlast", port.shape, None)
        self._class_line = None
        payload = [dut.m_axis_tdata, dut.m_axis_tlast]
        if classes is not None:
            payload.append(dut.m_axis_tuser)
            name = f"{classes.tensor} at m_axis_tuser"
            self._class_line = line(name, classes.shape, classes.tensor)
        self.output = Monitor(
            name="m_axis",
            valid=dut.m_axis_tvalid,
            ready=dut.m_axis_tready,
            payload=payload,
            taken=self._output_taken,
        )

    def _input_taken(self, values: list[Value], cycle: int) -> None:
        if self.first_beat is None:
            self.first_beat = cycle
        self.frames.beat(values[1] == 1)

    def _output_taken(self, values: list[Value], cycle: int) -> None:
        port = self.vectors.output
        score = as_tensor_value(values[0], port, port.bytes_bits)
        self.scores.append(score)
        self._scores_line.receive(score)
        self._last_line.receive(values[1])
        if values[1] != 1:
            return
        self.last_beats.append(cycle)
        self.vectors.progress.write_text(str(len(self.last_beats)), encoding="ascii")
        if self._class_line is not None:
            self.classes.append(values[2])
            self._class_line.receive(values[2])

    def expect(self, image: int) -> None:
        """Expect the values of image number ``image`` on every line."""
        values = self.vectors.values
        for line, stream in zip(self._inner_lines, self.vectors.streams, strict=True):
            line.expect(image, values[stream.port.tensor][image].tolist())
        self._scores_line.expect(image, values[self.vectors.output.tensor][image].tolist())
        self._last_line.expect(image, [0] * (self._last_line.size - 1) + [1])
        if self._class_line is not None and self.vectors.classes is not None:
            self._class_line.expect(image, values[self.vectors.classes.tensor][image].tolist())

    def restart(self, compare_inner: bool) -> None:
        """Start again after a reset; see ``Bench.reset``."""
        self.scoreboard.restart()
        self.frames.restart()
        self._pins.restart()
        for monitor in self.monitors:
            monitor.restart()
        for line in self._inner_lines:
            line.muted = not compare_inner
        self.first_beat = None
        self.last_beats.clear()

    def sample(self, cycle: int) -> None:
        """Sample everything directly before a clock edge. Raises ProtocolError."""
        ended = self.frames.right, self.frames.wrong
        for monitor in self.monitors:
            monitor.sample(cycle)
        good, bad, error, clear = (pin.bit(name) for name, pin in self._of_frames)
        self._pins.sample((good, bad, error), ended, clear, cycle)

    def in_reset(self, cycle: int) -> None:
        """Check a cycle of the reset. Raises ProtocolError if a beat could be transferred."""
        for name, pin in self._quiet:
            if pin.bit(name):
                raise ProtocolError(f"{name} is up in cycle {cycle}, in which rst is")


def as_tensor_value(value: Value, port: Port, width: int) -> Value:
    """Convert ``width`` bits to a value of the port's tensor; undefined bits stay text."""
    if isinstance(value, str) or not port.signed:
        return value
    return value - (1 << width) if value >> (width - 1) else value


def _lane(value: Value, lane: int, bits: int) -> Value:
    """The bits of a lane in a beat; as text if any bit of the beat is undefined."""
    if isinstance(value, str):
        return value[len(value) - (lane + 1) * bits : len(value) - lane * bits]
    return value >> lane * bits & (1 << bits) - 1


def _inner_monitor(dut: Any, stream: InnerStream, receive: Callable[[Value], None]) -> Monitor:
    scope = dut
    try:
        for instance in stream.scope.split("."):
            scope = scope[instance]  # as an attribute, names such as _name would fail
        signals = [scope[name] for name in (stream.valid, stream.ready, stream.payload)]
    except KeyError as error:
        raise ProtocolError(
            f"The manifest names a stream at {stream.scope}, which the Verilog lacks: {error}"
        ) from None
    bits = stream.port.bits

    def taken(values: list[Value], cycle: int) -> None:
        for lane in range(stream.port.lanes):
            receive(as_tensor_value(_lane(values[0], lane, bits), stream.port, bits))

    return Monitor(
        name=stream.port.tensor,
        valid=signals[0],
        ready=signals[1],
        payload=signals[2:],
        taken=taken,
    )

"""The bench of a core: clock, reset, drivers, monitors, golden values and scoreboard, connected.

The bench generates the clock itself, one ``step`` per cycle. Inputs change at the falling edge, and
all signals are sampled directly before the rising edge. So in any simulator the bench sees settled
values, and nothing runs concurrently with the test.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from cocotb.triggers import Timer
from cocotb.types import Logic

from ...model.layout import as_beats, in_bytes
from .stream import Pin, ProtocolError, Sink, Source, no_pauses, random_pauses
from .vectors import SETTINGS, Port, read_vectors
from .watch import Watch

__all__ = ["Bench", "CycleLimitError", "right_frame"]

PAUSED_FACTOR = 20  # paused runs take about three times as long; the limit has a margin
DRAIN_CYCLES = 100  # after the latency, to see whether surplus values come
LOW, HIGH = Logic(0), Logic(1)


class CycleLimitError(AssertionError):
    """The expected event did not come within the limit; the message names it."""


class Bench:
    """Drives and watches one core.

    Parameters
    ----------
    dut : the top module
    test : name of the test; with the run's seed it seeds all random numbers
    pauses : one of ``options.PAUSES``
    stall : the longest pause, in units of the cycles per image; 4 is enough to fill all buffers
    patient : whether the sink raises ready only after valid is high

    Attributes
    ----------
    clears : share of the cycles in which frame_error_clear is high, 0 to 1
    """

    def __init__(
        self,
        dut: Any,
        test: str,
        *,
        pauses: str = "none",
        stall: int = 1,
        patient: bool = False,
    ) -> None:
        self.vectors = read_vectors(Path(os.environ[SETTINGS]))
        self.test = test
        self.rng = np.random.default_rng([self.vectors.seed, crc32(test.encode())])
        self.cycle = 0
        self.watch = Watch(dut, self.vectors)
        self.clears = 0.0
        self._clk, self._rst, self._clear = dut.clk, dut.rst, Pin(dut.frame_error_clear)
        self._half = Timer(5, unit="ns")
        self._paused = pauses != "none" or patient
        self.source = Source(
            valid=dut.s_axis_tvalid,
            ready=dut.s_axis_tready,
            data=dut.s_axis_tdata,
            last=dut.s_axis_tlast,
            bits=self.vectors.input.data_bits,
            pauses=self._pauses(pauses in ("input", "both"), self.vectors.input, stall),
            rng=self.rng,
        )
        self._sink = Sink(
            valid=dut.m_axis_tvalid,
            ready=dut.m_axis_tready,
            pauses=self._pauses(pauses in ("output", "both"), self.vectors.output, stall),
            patient=patient,
        )

    def _pauses(self, on: bool, port: Port, stall: int) -> Iterator[bool]:
        """Pauses: up to two images flow, then a pause of up to ``stall`` images follows."""
        cycles = max(8, stall * self.vectors.cycles_per_image)
        return random_pauses(self.rng, 2 * port.beats, cycles) if on else no_pauses()

    # -- running

    async def _tick(self, look: Callable[[int], None]) -> None:
        self.source.drive()
        self._sink.drive()
        self._clear.set(int(self.clears > 0 and self.rng.random() < self.clears))
        self._clk.value = LOW
        await self._half
        look(self.cycle)
        self._clk.value = HIGH
        await self._half
        self.cycle += 1

    def _look(self, cycle: int) -> None:
        self.watch.sample(cycle)
        self.source.sample(cycle)

    async def step(self, cycles: int = 1) -> None:
        """Run whole clock cycles. Raises ProtocolError if a stream breaks a rule."""
        for _ in range(cycles):
            await self._tick(self._look)

    async def reset(
        self, cycles: int = 2, *, compare_inner: bool = True, meanwhile: Sequence[int] = ()
    ) -> None:
        """Hold rst high for some cycles; no results of earlier frames are expected afterwards.

        Parameters
        ----------
        compare_inner : whether inner streams are compared after the reset. They must not be in a
            run with wrong frames, whose values pass through the layers before they are dropped
        meanwhile : images whose frames are offered from the first cycle of the reset on, as by a
            source without the reset

        Raises ProtocolError if a beat could be transferred during the reset.
        """
        self.source.restart()
        for image in meanwhile:
            self.source.send(self._frame(image))
        self._rst.value = 1
        for _ in range(cycles):
            await self._tick(self.watch.in_reset)
        self._rst.value = 0
        self.watch.restart(compare_inner)
        for image in meanwhile:
            self.watch.expect(image)

    async def until(self, done: Callable[[], bool], cycles: int, what: str) -> None:
        """Step until ``done()``, at most ``cycles``. Raises CycleLimitError that names ``what``."""
        for _ in range(cycles):
            if done():
                return
            await self.step()
        if not done():
            watch = self.watch
            seed = f"seed {self.vectors.seed}"
            raise CycleLimitError(
                f"Waited {cycles} cycles for {what}: s_axis took {watch.input.transfers} beats, "
                f"m_axis gave {watch.output.transfers}, {len(watch.last_beats)} of them with "
                f"TLAST; first mismatch: {watch.scoreboard.first_mismatch or f'none ({seed})'}"
            )

    def cycles_for(self, frames: int) -> int:
        """The limit of cycles for ``frames`` frames, pauses included."""
        images = (frames + 1) * self.vectors.cycles_per_image
        cycles = images + self.vectors.latency_cycles + DRAIN_CYCLES
        return cycles * (PAUSED_FACTOR if self._paused else 1)

    # -- sending and ending

    def beats(self, image: int) -> list[int]:
        """An image as values of s_axis_tdata.

        Values are sign-extended to whole bytes. Lanes after the end of a row have a random value.
        """
        port = self.vectors.input
        values = self.vectors.values[port.tensor][image].reshape(1, *port.shape)
        beats = as_beats(values, port.lanes, fill=int(self.rng.integers(1 << port.bits)))
        return in_bytes(beats, port.bits)

    def send(self, image: int) -> None:
        """Queue a right frame with image number ``image``, and expect its values."""
        self.source.send(self._frame(image))
        self.watch.expect(image)

    def _frame(self, image: int) -> Iterator[tuple[int, int]]:
        yield from right_frame(self.beats(image))

    async def finish(self, images: int, wrong_frames: int = 0) -> None:
        """Wait for the results of ``images`` right frames, and check that no further values come.

        Raises CycleLimitError, ScoreboardError or ProtocolError.
        """
        watch = self.watch
        await self.until(
            lambda: self.source.idle and len(watch.last_beats) >= images,
            self.cycles_for(images + wrong_frames),
            f"{images} results",
        )
        await self.step(self.vectors.latency_cycles + DRAIN_CYCLES)
        watch.scoreboard.finish(images)
        if (watch.frames.right, watch.frames.wrong) != (images, wrong_frames):
            raise ProtocolError(
                f"s_axis took {watch.frames.right} right and {watch.frames.wrong} wrong frames, "
                f"not {images} and {wrong_frames}"
            )

    # -- reporting

    def measured(self) -> dict[str, float | None]:
        """The cycles per image, in the later half of the images, and the latency, since the reset.

        A value is None if the run has pauses or too few results.
        """
        beats, first = self.watch.last_beats, self.watch.first_beat
        cycles_per_image = latency = None
        if not self._paused:
            cycles_per_image = steady_distance(beats)
            latency = beats[0] - first if beats and first is not None else None
        return {"cycles_per_image": cycles_per_image, "latency_cycles": latency}

    @contextmanager
    def reporting(self) -> Iterator[Bench]:
        """Write a line of facts about the test when it ends, passed or failed."""
        failure = None
        try:
            yield self
        except AssertionError as error:
            failure = str(error)
            raise
        finally:
            with self.vectors.facts.open("a", encoding="utf-8") as file:
                file.write(json.dumps(self._facts(failure)) + "\n")

    def _facts(self, failure: str | None) -> dict[str, Any]:
        scoreboard = self.watch.scoreboard
        mismatch = scoreboard.first_mismatch
        return {
            "test": self.test,
            "failure": failure,
            "cycles": self.cycle,
            "values_compared": scoreboard.values_compared,
            "tensors_compared": scoreboard.tensors_compared,
            "mismatches": scoreboard.mismatches,
            "first_mismatch": str(mismatch) if mismatch else None,
            "stalled_cycles": {m.name: m.stalled_cycles for m in self.watch.monitors},
            "scores": self.watch.scores,
            "classes": self.watch.classes,
            **self.measured(),
        }


def steady_distance(cycles: list[int]) -> float | None:
    """The mean distance in the later half of ascending cycles; an integer if all are equal."""
    later = cycles[(len(cycles) - 1) // 2 :]
    if len(later) < 2:
        return None
    distances = {b - a for a, b in pairwise(later)}
    mean = (later[-1] - later[0]) / (len(later) - 1)
    return distances.pop() if len(distances) == 1 else round(mean, 2)


def right_frame(beats: list[int]) -> list[tuple[int, int]]:
    """The beats of a frame of the right length: (data, last), last high on the last beat."""
    return [(beat, 0) for beat in beats[:-1]] + [(beats[-1], 1)]

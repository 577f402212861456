"""The tests of a core: frames back to back, with pauses, with resets, and of wrong length.

They run inside the simulator; ``run/job.py`` is the host's side.
"""

from __future__ import annotations

from itertools import chain, pairwise, repeat
from typing import Any

import cocotb

from .bench import Bench, right_frame
from .options import PAUSES

RESET_BUDGET = 25_000  # cycles of all resets of one test


@cocotb.test()
@cocotb.parametrize(pauses=PAUSES)
async def frames(dut: Any, pauses: str) -> None:
    """Send all images back to back; compare every stream, and without pauses the timing too."""
    with Bench(dut, f"frames/pauses={pauses}", pauses=pauses, stall=4).reporting() as bench:
        await bench.reset()
        for image in range(bench.vectors.images):
            bench.send(image)
        await bench.finish(bench.vectors.images)
        if pauses == "none":
            check_timing(bench)


def check_timing(bench: Bench) -> None:
    """Compare the measured timing with the manifest, image by image. Raises AssertionError."""
    vectors, latency = bench.vectors, bench.measured()["latency_cycles"]
    if latency is not None and latency != vectors.latency_cycles:
        raise AssertionError(
            f"Measured latency_cycles {latency}, the manifest says {vectors.latency_cycles}"
        )
    stated = chain(vectors.first_cycles, repeat(vectors.cycles_per_image))
    for image, ((before, after), cycles) in enumerate(
        zip(pairwise(bench.watch.last_beats), stated, strict=False)
    ):
        if after - before != cycles:
            raise AssertionError(
                f"Measured {after - before} cycles from image {image} to image {image + 1}, "
                f"the manifest says {cycles}"
            )


@cocotb.test()
async def patient_sink(dut: Any) -> None:
    """A sink that waits for valid gets its results, because valid does not wait for ready."""
    with Bench(dut, "patient_sink", patient=True).reporting() as bench:
        await bench.reset()
        for image in range(2):
            bench.send(image % bench.vectors.images)
        await bench.finish(2)


@cocotb.test()
@cocotb.parametrize(pauses=["none", "both"])
async def resets(dut: Any, pauses: str) -> None:
    """A reset in any cycle, in right or wrong frames, does not affect the frame after it."""
    with Bench(dut, f"resets/pauses={pauses}", pauses=pauses).reporting() as bench:
        for attempt, cycle in enumerate(reset_cycles(bench)):
            wrong_first = attempt % 3 == 2
            await bench.reset(int(bench.rng.integers(1, 4)), compare_inner=not wrong_first)
            if wrong_first:
                send_wrong(bench, "early")
            for image in bench.rng.integers(bench.vectors.images, size=3):
                bench.send(int(image))
            await bench.step(cycle)
            image = int(bench.rng.integers(bench.vectors.images))
            await bench.reset(int(bench.rng.integers(1, 4)), meanwhile=[image])
            await bench.finish(1)


def reset_cycles(bench: Bench) -> list[int]:
    """The cycles of resets, counted from the start: spread over three images, all of them if few.

    As many again, at most 20, are near the ends of frames and of results, where states last only a
    cycle.
    """
    vectors, rng = bench.vectors, bench.rng
    span = 2 * vectors.cycles_per_image + vectors.latency_cycles
    count = max(6, min(span, RESET_BUDGET // (3 * span)))
    spread = [int((part + rng.random()) * span / count) for part in range(count)]
    events = [vectors.cycles_per_image, 2 * vectors.cycles_per_image, vectors.latency_cycles]
    near = [max(1, int(rng.choice(events) + rng.integers(-4, 8))) for _ in range(min(count, 20))]
    return [int(cycle) for cycle in rng.permutation(spread + near)]


# A letter is a frame: r right, e early TLAST, s a single beat with TLAST, l late TLAST, m missing.
WRONG_KINDS = {"e": "early", "s": "single", "l": "late", "m": "missing"}
STREAK = "rerlrmrsrssrellmmr"
CLEARS = 0.1  # share of the cycles with frame_error_clear high


@cocotb.test()
@cocotb.parametrize(pauses=["none", "both"])
async def wrong_frames(dut: Any, pauses: str) -> None:
    """Frames of wrong length are dropped as a whole, and the next frame is right.

    Each of them raises frame_error, however often it is cleared.
    """
    with Bench(dut, f"wrong_frames/pauses={pauses}", pauses=pauses).reporting() as bench:
        extra = "".join(bench.rng.choice(list("resslmr"), size=6))
        await bench.reset(compare_inner=False)
        bench.clears = CLEARS
        right = wrong = 0
        for kind in STREAK + extra + "r":
            if kind == "r":
                bench.send(int(bench.rng.integers(bench.vectors.images)))
                right += 1
            else:
                wrong += send_wrong(bench, WRONG_KINDS[kind])
        await bench.finish(right, wrong)
        bench.clears = 0.0
        wrong += send_wrong(bench, WRONG_KINDS["l"])
        await bench.finish(right, wrong)
        # A reset clears frame_error; after it every stream is right again.
        await bench.reset()
        bench.send(0)
        await bench.finish(1)


def send_wrong(bench: Bench, kind: str) -> int:
    """Send a frame of wrong length and expect no results; returns the number of wrong frames."""
    rng = bench.rng
    beats = bench.beats(int(rng.integers(bench.vectors.images)))
    length = len(beats)
    if length == 1:
        kind = "missing"  # with one beat per frame, only this kind is wrong
    if kind == "single":
        bench.source.send(right_frame(beats[:1]))
        return 1
    if kind == "early":
        cut = length - 1 if rng.integers(2) else int(rng.integers(1, length))
        bench.source.send(right_frame(beats[:cut]))
        return 1
    if kind == "missing":
        bench.source.send([(beat, 0) for beat in beats])
        return 1
    extra = 1 if rng.integers(2) else int(rng.integers(1, length))
    bench.source.send(right_frame(beats + beats[:extra]))  # the extra beats form a short frame
    return 2

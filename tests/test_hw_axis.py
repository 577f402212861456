"""The AXI4-Stream shell: frames of the right and the wrong length, held and dropped results."""

import numpy as np
import pytest
from amaranth import ClockDomain, Module, signed, unsigned
from amaranth.sim import Simulator
from tercet.hw.axis import FrameIn, FrameOut, byte_width

BEATS = 5


def frame_in(frames, *, ready=1.0, seed=0):
    """Send frames, lists of values, TLAST with the last of each or never where it ends in None.

    Returns (activations, verdicts, error after each frame).
    """
    unit = FrameIn(activation=signed(6), beats=BEATS)
    rng = np.random.default_rng(seed)
    activations, verdicts, errors = [], [], []

    async def send(ctx):
        for frame in frames:
            values = [value for value in frame if value is not None]
            for index, value in enumerate(values):
                ctx.set(unit.s_axis.tdata, value & 0xFF)
                ctx.set(unit.s_axis.tlast, index == len(frame) - 1)
                ctx.set(unit.s_axis.tvalid, 1)
                await ctx.tick().until(unit.s_axis.tready)
            ctx.set(unit.s_axis.tvalid, 0)
            errors.append(ctx.get(unit.error))
        await ctx.tick().repeat(60)

    async def receive(ctx):
        while True:
            ctx.set(unit.o.ready, rng.random() < ready)
            ctx.set(unit.verdict.ready, rng.random() < ready)
            *_, moved, value, told, good = await ctx.tick().sample(
                unit.o.valid & unit.o.ready,
                unit.o.payload[0],
                unit.verdict.valid & unit.verdict.ready,
                unit.verdict.payload,
            )
            if moved:
                activations.append(value)
            if told:
                verdicts.append(good)
                assert moved, "a verdict goes with an activation"
                assert len(activations) == BEATS * len(verdicts)

    simulator = Simulator(unit)
    simulator.add_clock(1e-8)
    simulator.add_testbench(send)
    simulator.add_testbench(receive, background=True)
    simulator.run()
    return activations, verdicts, errors


GOOD = [-32, -1, 0, 1, 31]


@pytest.mark.parametrize("ready", [1.0, 0.4])
def test_passes_good_frames_through(ready, seed):
    assert frame_in([GOOD, GOOD[::-1]], ready=ready, seed=seed) == (
        GOOD + GOOD[::-1],
        [1, 1],
        [0, 0],
    )


@pytest.mark.parametrize("ready", [1.0, 0.4])
@pytest.mark.parametrize("length", range(1, BEATS))
def test_fills_up_a_short_frame_and_calls_it_bad(length, ready, seed):
    values, verdicts, errors = frame_in([GOOD, GOOD[:length], GOOD], ready=ready, seed=seed)
    assert values == GOOD + GOOD[:length] + [0] * (BEATS - length) + GOOD
    assert verdicts == [1, 0, 1]
    assert errors == [0, 1, 1]


@pytest.mark.parametrize("ready", [1.0, 0.4])
def test_a_frame_without_its_tlast_is_bad_and_the_next_is_right(ready, seed):
    values, verdicts, errors = frame_in([[*GOOD, None], GOOD], ready=ready, seed=seed)
    assert (values, verdicts, errors) == (GOOD + GOOD, [0, 1], [1, 1])


def test_a_tlast_that_waits_while_a_frame_is_filled_up_does_not_make_it_good(seed):
    values, verdicts, _ = frame_in([GOOD[:2], [7], GOOD], seed=seed)
    assert values == GOOD[:2] + [0] * 3 + [7] + [0] * 4 + GOOD
    assert verdicts == [0, 0, 1]


@pytest.mark.parametrize("extra", [1, 3])
def test_beats_too_many_are_a_short_frame_of_their_own(extra, seed):
    values, verdicts, _ = frame_in([GOOD + [7] * extra, GOOD], seed=seed)
    assert verdicts == [0, 0, 1]
    assert values == GOOD + [7] * extra + [0] * (BEATS - extra) + GOOD


def in_domain(unit):
    """The unit in a clock domain, and its reset."""
    m = Module()
    m.domains.sync = domain = ClockDomain()
    m.submodules.unit = unit
    return m, domain.rst


def test_reset_forgets_a_frame_half_seen():
    unit = FrameIn(activation=unsigned(8), beats=BEATS)
    bench, reset = in_domain(unit)

    async def drive(ctx):
        ctx.set(unit.o.ready, 1)
        ctx.set(unit.verdict.ready, 1)
        ctx.set(unit.s_axis.tvalid, 1)
        ctx.set(unit.s_axis.tlast, 1)
        await ctx.tick()
        assert ctx.get(unit.error) == 1
        assert ctx.get(unit.s_axis.tready) == 0  # filling
        ctx.set(unit.s_axis.tvalid, 0)
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)
        assert ctx.get(unit.error) == 0
        assert ctx.get(unit.s_axis.tready) == 1
        assert ctx.get(unit.o.valid) == 0

    simulate(bench, drive)


def test_nothing_is_taken_or_offered_in_a_reset():
    """In its first cycle either, when all is as it was before."""
    unit = FrameIn(activation=unsigned(8), beats=BEATS)
    bench, reset = in_domain(unit)

    async def drive(ctx):
        for port in (unit.o.ready, unit.verdict.ready, unit.s_axis.tvalid):
            ctx.set(port, 1)
        for up in (0, 1, 1, 0):
            ctx.set(reset, up)
            assert ctx.get(unit.s_axis.tready) == 1 - up
            await ctx.tick()

    simulate(bench, drive)
    out = FrameOut(value=unsigned(8), beats=3)
    bench, reset_out = in_domain(out)

    async def offer(ctx):
        for port in (out.i.valid, out.verdict.valid, out.verdict.payload):
            ctx.set(port, 1)
        for up in (0, 1, 1, 0):
            ctx.set(reset_out, up)
            assert ctx.get(out.m_axis.tvalid) == 1 - up
            await ctx.tick()

    simulate(bench, offer)


def test_tells_each_frames_verdict_and_clears_the_error():
    unit = FrameIn(activation=unsigned(8), beats=2)
    seen = []

    async def drive(ctx):
        for port in (unit.o.ready, unit.verdict.ready, unit.s_axis.tvalid):
            ctx.set(port, 1)
        # right; missing; right; missing while cleared; then clear alone
        for last, clear in [(0, 0), (1, 0), (0, 0), (0, 0), (0, 1), (1, 0), (0, 0), (0, 1), (0, 1)]:
            ctx.set(unit.s_axis.tlast, last)
            ctx.set(unit.clear, clear)
            await ctx.tick()
            seen.append((ctx.get(unit.good), ctx.get(unit.bad), ctx.get(unit.error)))

    simulate(unit, drive)
    quiet, good, bad = (0, 0, 0), (1, 0, 0), (0, 1, 1)
    assert seen == [quiet, good, quiet, bad, quiet, good, quiet, bad, quiet]


def simulate(unit, drive):
    simulator = Simulator(unit)
    simulator.add_clock(1e-8)
    simulator.add_testbench(drive)
    simulator.run()


def frame_out(verdicts, *, wait, pauses, seed):
    """Give three results a frame, each frame's verdict ``wait`` cycles later; what came out."""
    unit = FrameOut(value=unsigned(8), beats=3, classes=4)
    rng = np.random.default_rng(seed)
    out = []

    async def results(ctx):
        for value in range(3 * len(verdicts)):
            ctx.set(unit.i.payload, {"value": value, "best": value % 4})
            ctx.set(unit.i.valid, 1)
            await ctx.tick().until(unit.i.ready)
        ctx.set(unit.i.valid, 0)
        await ctx.tick().repeat(30)

    async def judge(ctx):
        for verdict in verdicts:
            await ctx.tick().repeat(wait)
            ctx.set(unit.verdict.payload, verdict)
            ctx.set(unit.verdict.valid, 1)
            await ctx.tick().until(unit.verdict.ready)
            ctx.set(unit.verdict.valid, 0)

    async def receive(ctx):
        axis = unit.m_axis
        while True:
            ctx.set(axis.tready, rng.random() >= pauses)
            *_, moved, value, last, user = await ctx.tick().sample(
                axis.tvalid & axis.tready, axis.tdata, axis.tlast, axis.tuser
            )
            if moved:
                out.append((value, last, user))

    simulator = Simulator(unit)
    simulator.add_clock(1e-8)
    simulator.add_testbench(results)
    simulator.add_testbench(judge, background=True)
    simulator.add_testbench(receive, background=True)
    simulator.run()
    return out


@pytest.mark.parametrize("pauses", [0.0, 0.5])
@pytest.mark.parametrize("wait", [1, 12])
def test_sends_good_frames_and_drops_bad_ones_whole(wait, pauses, seed):
    verdicts = [1, 0, 0, 1, 1, 0, 1]
    expected = [
        (value, value % 3 == 2, value % 4)
        for value in range(3 * len(verdicts))
        if verdicts[value // 3]
    ]
    assert frame_out(verdicts, wait=wait, pauses=pauses, seed=seed) == expected


@pytest.mark.parametrize(("bits", "width"), [(1, 8), (8, 8), (9, 16), (16, 16)])
def test_tdata_is_whole_bytes(bits, width):
    assert byte_width(unsigned(bits)) == width

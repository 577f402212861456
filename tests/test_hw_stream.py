"""FIFO and argmax."""

import numpy as np
import pytest
from amaranth import signed, unsigned
from amaranth.sim import Simulator
from hwsim import PAUSES, run_streams
from tercet.hw.argmax import Argmax
from tercet.hw.storage import Kind
from tercet.hw.stream import StreamFifo


@pytest.mark.parametrize("depth", [3, 4, 7])
@pytest.mark.parametrize("pauses", PAUSES)
def test_fifo_keeps_order(depth, pauses, seed):
    values = np.random.default_rng(seed).integers(0, 256, 100).tolist()
    run = run_streams(StreamFifo(shape=unsigned(8), depth=depth), values, 100, pauses=pauses)
    assert run.outputs == values
    if pauses == "none":
        assert run.given[0] - run.taken[0] == StreamFifo.LATENCY
        assert run.given[-1] - run.given[0] == 99


DEEP = 40, unsigned(32)  # beyond what goes into LUTs


@pytest.mark.parametrize("pauses", PAUSES)
def test_fifo_in_block_ram_keeps_order(pauses, seed):
    depth, shape = DEEP
    values = np.random.default_rng(seed).integers(0, 1 << 32, 300).tolist()
    unit = StreamFifo(shape=shape, depth=depth)
    assert (unit.spec.storage.kind, unit.spec.storage.rows) == (Kind.BLOCK, depth - 2)
    run = run_streams(unit, values, 300, pauses=pauses, seed=seed, reset_after=50)
    assert run.outputs == values
    if pauses == "none":
        assert run.given[0] - run.taken[0] == unit.spec.latency == StreamFifo.LATENCY + 1
        assert run.given[-1] - run.given[0] == 299


@pytest.mark.parametrize(("depth", "shape"), [(3, unsigned(8)), (7, unsigned(8)), DEEP])
def test_fifo_holds_its_depth(depth, shape):
    unit = StreamFifo(shape=shape, depth=depth)
    taken = []

    async def bench(ctx):
        ctx.set(unit.i.valid, 1)
        for _ in range(2 * depth):
            taken.append(ctx.get(unit.i.ready))
            await ctx.tick()
        ctx.set(unit.o.ready, 1)
        await ctx.tick()
        assert ctx.get(unit.i.ready)  # from the cycle after a beat was taken on

    simulator = Simulator(unit)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert taken == [1] * depth + [0] * depth


def test_fifo_refuses_a_depth_that_cannot_stream():
    with pytest.raises(ValueError, match=r"^Depth must be at least 3, not 2$"):
        StreamFifo(shape=unsigned(8), depth=2)


@pytest.mark.parametrize("pauses", PAUSES)
@pytest.mark.parametrize("shape", [unsigned(8), signed(8)])
def test_argmax_gives_the_first_of_the_greatest(shape, pauses, seed):
    rng = np.random.default_rng(seed)
    low, high = (-128, 127) if shape.signed else (0, 255)
    scores = rng.integers(low, high, (20, 10), endpoint=True)
    scores[0], scores[1], scores[2] = low, high, 0  # all equal
    scores[3, [4, 7]] = high  # a tie at the top
    scores[4] = np.arange(10)
    scores[5] = -np.arange(10) if shape.signed else 9 - np.arange(10)
    sent = [[int(score)] for score in scores.reshape(-1)]
    run = run_streams(Argmax(activation=shape, classes=10), sent, 200, pauses=pauses, seed=seed)
    assert [payload.value for payload in run.outputs] == scores.reshape(-1).tolist()
    assert [payload.best for payload in run.outputs[9::10]] == scores.argmax(axis=1).tolist()

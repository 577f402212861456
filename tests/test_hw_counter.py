"""Counters, with what they end told by gates and by registers."""

from __future__ import annotations

import numpy as np
import pytest
from amaranth import Module, Signal
from amaranth.sim import Simulator
from tercet.hw.counter import counter


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 8, 9])
def test_counts_ticks_and_says_which_is_the_last(limit, early, seed):
    m, tick = Module(), Signal()
    values = counter(m, "place", limit, tick, early=early)
    count, ends = Signal(8), Signal()
    m.d.comb += [count.eq(values[0]), ends.eq(values[1])]
    rng = np.random.default_rng(seed)

    async def bench(ctx):
        expected = 0
        for _ in range(60):
            assert (ctx.get(count), ctx.get(ends)) == (expected, expected == limit - 1)
            ticks = int(rng.integers(0, 2))
            ctx.set(tick, ticks)
            await ctx.tick()
            expected = (expected + ticks) % limit

    simulator = Simulator(m)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()

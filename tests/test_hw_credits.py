"""Credits: what sets out with one always finds room."""

from __future__ import annotations

import numpy as np
import pytest
from amaranth import Module, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from hwsim import PAUSES, run_streams
from tercet.hw.credits import CreditQueue, CreditSpec

LATENCY = 5  # of the pipeline in front


class Delayed(wiring.Component):
    """A pipeline that never stalls, with a CreditQueue behind it; a beat needs a credit."""

    def __init__(self, depth):
        super().__init__(
            {"i": In(stream.Signature(unsigned(16))), "o": Out(stream.Signature(unsigned(16)))}
        )
        self._depth = depth

    def elaborate(self, platform):
        m = Module()
        m.submodules.queue = queue = CreditQueue(shape=unsigned(16), depth=self._depth)
        takes = self.i.valid & queue.credit
        m.d.comb += [self.i.ready.eq(queue.credit), queue.uses.eq(takes)]
        valid, payload = takes, self.i.payload
        for age in range(LATENCY):
            before = valid, payload
            valid, payload = Signal(name=f"valid{age}"), Signal(16, name=f"payload{age}")
            m.d.sync += [valid.eq(before[0]), payload.eq(before[1])]
        m.d.comb += [queue.i.valid.eq(valid), queue.i.payload.eq(payload)]
        wiring.connect(m, queue.o, wiring.flipped(self.o))
        return m


@pytest.mark.parametrize("reset_after", [0, 3, 4, 11])
@pytest.mark.parametrize("pauses", PAUSES)
@pytest.mark.parametrize("depth", [1, 3, 4, 7, 17])
def test_nothing_is_lost_whoever_waits(depth, pauses, reset_after, seed):
    values = np.random.default_rng(seed).integers(0, 1 << 16, 200).tolist()
    unit = Delayed(depth)
    run = run_streams(unit, values, 200, pauses=pauses, seed=seed, reset_after=reset_after)
    assert run.outputs == values


@pytest.mark.parametrize("depth", [1, 3, 4, 8, 17])
def test_a_credit_comes_back_the_cycle_after_its_result(depth, seed):
    run = run_streams(Delayed(depth), list(range(100)), 100)
    way = LATENCY + CreditSpec(depth, 16).latency
    assert run.given[0] - run.taken[0] == way
    for index in range(depth, 100):
        expected = max(run.taken[index - 1] + 1, run.given[index - depth] + 1)
        assert run.taken[index] == expected, index
    enough = depth > way
    assert (run.taken[-1] - run.taken[0] == 99) == enough


def test_refuses_a_queue_that_would_be_slow():
    CreditQueue(shape=unsigned(64), depth=33)
    with pytest.raises(
        ValueError, match=r"^Depth must be at most 33, a queue without block RAM, not 34$"
    ):
        CreditQueue(shape=unsigned(64), depth=34)


def test_one_credit_is_a_register_of_one_result():
    storage = CreditSpec(1, 16).storage
    assert (storage.rows, storage.row_bits, storage.kind) == (1, 16, "register")

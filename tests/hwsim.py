"""Streams through one component in Amaranth's simulator, with pauses and the hold rule checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from amaranth.hdl import Value
from amaranth.lib import wiring
from amaranth.sim import Simulator

QUIET = 30  # cycles to watch for output that should not come
PAUSES = {"none": (0.0, 0.0), "input": (0.6, 0.0), "output": (0.0, 0.6), "both": (0.4, 0.4)}


@dataclass
class Run:
    """What came out, and when: cycles of each transfer in and out."""

    outputs: list[Any] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    given: list[int] = field(default_factory=list)


def run_streams(
    component: wiring.Component,
    inputs: Sequence[Any],
    count: int,
    *,
    pauses: str = "none",
    seed: int = 0,
    limit: int = 20_000,
) -> Run:
    """Send ``inputs`` into port ``i`` and collect ``count`` payloads of port ``o``.

    Payloads are integers, or what the port's shape takes and gives. Fails where the hold rule
    breaks, where fewer come within ``limit`` cycles or more come after.
    """
    run = Run()
    into, out_of = PAUSES[pauses]
    rng_in, rng_out = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1])

    async def send(ctx: Any) -> None:
        cycle = 0
        for payload in inputs:
            while rng_in.random() < into:
                await ctx.tick()
                cycle += 1
            ctx.set(component.i.payload, payload)
            ctx.set(component.i.valid, 1)
            ready = 0
            while not ready:
                *_, ready = await ctx.tick().sample(component.i.ready)
                cycle += 1
            run.taken.append(cycle - 1)
            ctx.set(component.i.valid, 0)

    async def receive(ctx: Any) -> None:
        held = None
        last = limit
        cycle = 0
        while cycle < last:
            ctx.set(component.o.ready, rng_out.random() >= out_of)
            *_, valid, bits, payload, ready = await ctx.tick().sample(
                component.o.valid,
                Value.cast(component.o.payload),
                component.o.payload,
                component.o.ready,
            )
            assert held is None or (valid and bits == held), f"cycle {cycle}: payload was not held"
            held = bits if valid and not ready else None
            if valid and ready:
                run.outputs.append(payload)
                run.given.append(cycle)
                if len(run.outputs) == count:
                    last = cycle + QUIET
            cycle += 1

    simulator = Simulator(component)
    simulator.add_clock(1e-8)
    simulator.add_testbench(send, background=True)
    simulator.add_testbench(receive)
    simulator.run()
    assert len(run.outputs) == count, f"{len(run.outputs)} outputs, not {count}"
    return run


def run_core(core: wiring.Component, images: np.ndarray, results: int) -> Run:
    """Send images (N, ...) into a core's ``s_axis`` without a pause and collect ``results`` beats.

    Outputs are (tdata, tlast, tuser or None); the cycles are those of the beats in and out.
    """
    run = Run()
    values = images.reshape(len(images), -1)
    user = getattr(core, "m_axis_tuser", core.m_axis_tlast)

    async def send(ctx: Any) -> None:
        ctx.set(core.s_axis_tvalid, 1)
        cycle = -1
        for image in values:
            for index, value in enumerate(image):
                ctx.set(core.s_axis_tdata, int(value) & ((1 << len(core.s_axis_tdata)) - 1))
                ctx.set(core.s_axis_tlast, index == len(image) - 1)
                ready = 0
                while not ready:
                    *_, ready = await ctx.tick().sample(core.s_axis_tready)
                    cycle += 1
                run.taken.append(cycle)
        ctx.set(core.s_axis_tvalid, 0)

    async def receive(ctx: Any) -> None:
        ctx.set(core.m_axis_tready, 1)
        cycle = 0
        while len(run.outputs) < results:
            *_, valid, value, last, best = await ctx.tick().sample(
                core.m_axis_tvalid, core.m_axis_tdata, core.m_axis_tlast, user
            )
            if valid:
                run.outputs.append((value, last, best))
                run.given.append(cycle)
            cycle += 1
            assert cycle < 100_000, f"{len(run.outputs)} results, not {results}"

    simulator = Simulator(core)
    simulator.add_clock(1e-8)
    simulator.add_testbench(send, background=True)
    simulator.add_testbench(receive)
    simulator.run()
    return run

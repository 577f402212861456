"""Streams through one component in Amaranth's simulator, with pauses and the hold rule checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from amaranth import ClockDomain, Module, ResetInserter, Signal
from amaranth.hdl import Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.sim import Simulator
from tercet.model.layout import as_beats, in_bytes

QUIET = 30  # cycles to watch for output that should not come
PAUSES = {"none": (0.0, 0.0), "input": (0.6, 0.0), "output": (0.0, 0.6), "both": (0.4, 0.4)}


@dataclass
class Run:
    """What came out, and when: cycles of each transfer in and out."""

    outputs: list[Any] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    given: list[int] = field(default_factory=list)


def run_streams(
    component: wiring.Component, inputs: Sequence[Any], count: int, **options: Any
) -> Run:
    """Send ``inputs`` into port ``i`` and collect ``count`` payloads of port ``o``; see
    :func:`run_ports`."""
    runs = run_ports(component, {"i": inputs}, {"o": count}, **options)
    return Run(outputs=runs["o"].outputs, taken=runs["i"].taken, given=runs["o"].given)


def run_ports(
    component: wiring.Component,
    inputs: dict[str, Sequence[Any]],
    counts: dict[str, int],
    *,
    pauses: str = "none",
    seed: int = 0,
    limit: int = 20_000,
    reset_after: int = 0,
) -> dict[str, Run]:
    """Send inputs and collect outputs by the names of the ports.

    Payloads are integers, or what the port's shape takes and gives. ``reset_after`` cycles of the
    same inputs come first, with pauses, and a reset behind them; cycles count from there. Fails
    where the hold rule breaks, where fewer come within ``limit`` cycles or more come after.
    """
    runs = {name: Run() for name in (*inputs, *counts)}
    rngs = {
        name: np.random.default_rng([*np.atleast_1d(seed), index])
        for index, name in enumerate(runs)
    }
    into, out_of = PAUSES[pauses]
    reset = Signal()

    def sender(name: str) -> Any:
        port, run, rng = getattr(component, name), runs[name], rngs[name]

        async def send(ctx: Any) -> None:
            await _send_until_reset(ctx, port, inputs[name], reset_after)
            await _send(ctx, port, inputs[name], run, lambda: rng.random() < into)

        return send

    def receiver(name: str) -> Any:
        port, run, rng = getattr(component, name), runs[name], rngs[name]

        async def receive(ctx: Any) -> None:
            for _ in range(reset_after and reset_after + 1):
                ctx.set(port.ready, rng.random() < 0.7)
                await ctx.tick()
            await _receive(ctx, port, counts[name], run, lambda: rng.random() < out_of, limit)

        return receive

    async def pulse(ctx: Any) -> None:
        await ctx.tick().repeat(reset_after)
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)

    bench = Module()
    bench.domains.sync = ClockDomain()  # also where the component has no register
    bench.submodules.component = ResetInserter(reset)(component) if reset_after else component
    simulator = Simulator(bench)
    simulator.add_clock(1e-8)
    if reset_after:
        simulator.add_testbench(pulse)
    for name in inputs:
        simulator.add_testbench(sender(name), background=True)
    for name in counts:
        simulator.add_testbench(receiver(name))
    simulator.run()
    for name, count in counts.items():
        got = len(runs[name].outputs)
        assert got == count, f"port {name}: {got} outputs, not {count}"
    return runs


async def _send_until_reset(ctx: Any, port: Any, payloads: Sequence[Any], cycles: int) -> None:
    """Offer beats without a pause for ``cycles`` cycles, then none for the cycle of the reset."""
    waiting = iter(payloads)
    taken = True
    for _ in range(cycles):
        if taken:
            ctx.set(port.payload, next(waiting))
            ctx.set(port.valid, 1)
        *_, taken = await ctx.tick().sample(port.ready)
    ctx.set(port.valid, 0)
    if cycles:
        await ctx.tick()


async def _send(
    ctx: Any, port: Any, payloads: Sequence[Any], run: Run, pause: Callable[[], bool]
) -> None:
    """A trigger for all cycles, and no signal set to what it is: both spare the simulator time."""
    cycle = 0
    ticks = aiter(ctx.tick().sample(port.ready))
    valid = False
    for payload in payloads:
        while pause():
            if valid:
                ctx.set(port.valid, 0)
                valid = False
            await anext(ticks)
            cycle += 1
        ctx.set(port.payload, payload)
        if not valid:
            ctx.set(port.valid, 1)
            valid = True
        ready = 0
        while not ready:
            *_, ready = await anext(ticks)
            cycle += 1
        run.taken.append(cycle - 1)
    ctx.set(port.valid, 0)
    await ticks.aclose()


async def _receive(
    ctx: Any, port: Any, count: int, run: Run, pause: Callable[[], bool], limit: int
) -> None:
    """As in ``_send``, a trigger for all cycles; payloads are read where they are taken."""
    held = None
    last = limit
    cycle = 0
    payload = port.payload
    ticks = aiter(ctx.tick().sample(port.valid, Value.cast(payload)))
    ready = None
    while cycle < last:
        if ready is not (ready := not pause()):
            ctx.set(port.ready, ready)
        *_, valid, bits = await anext(ticks)
        assert held is None or (valid and bits == held), f"cycle {cycle}: payload was not held"
        held = bits if valid and not ready else None
        if valid and ready:
            run.outputs.append(
                bits if isinstance(payload, Value) else payload.shape().from_bits(bits)
            )
            run.given.append(cycle)
            if len(run.outputs) == count:
                last = cycle + QUIET
        cycle += 1
    await ticks.aclose()


def run_core(core: wiring.Component, images: np.ndarray, results: int, gap: int = 0) -> Run:
    """Send images (N, H, W, C) into a core's ``s_axis``, ``gap`` cycles of pause before each beat
    but the first, and collect ``results`` beats.

    Outputs are (tdata, tlast, tuser or None); the cycles are those of the beats in and out.
    """
    run = Run()
    beats = as_beats(images, core.plan.input_lanes, fill=1)
    bits = core.plan.network.tensors[core.plan.network.input].dtype.bits
    frames = [in_bytes(image, bits) for image in beats]
    user = getattr(core, "m_axis_tuser", core.m_axis_tlast)

    async def send(ctx: Any) -> None:
        ctx.set(core.s_axis_tvalid, 1)
        ticks = aiter(ctx.tick().sample(core.s_axis_tready))
        cycle, was_last = -1, None
        for frame in frames:
            for index, value in enumerate(frame):
                if gap and run.taken:
                    ctx.set(core.s_axis_tvalid, 0)
                    for _ in range(gap):
                        await anext(ticks)
                    ctx.set(core.s_axis_tvalid, 1)
                    cycle += gap
                ctx.set(core.s_axis_tdata, value)
                if was_last is not (was_last := index == len(frame) - 1):
                    ctx.set(core.s_axis_tlast, was_last)
                ready = 0
                while not ready:
                    *_, ready = await anext(ticks)
                    cycle += 1
                run.taken.append(cycle)
        ctx.set(core.s_axis_tvalid, 0)
        await ticks.aclose()

    async def receive(ctx: Any) -> None:
        ctx.set(core.m_axis_tready, 1)
        cycle = 0
        ticks = aiter(
            ctx.tick().sample(core.m_axis_tvalid, core.m_axis_tdata, core.m_axis_tlast, user)
        )
        while len(run.outputs) < results:
            *_, valid, value, last, best = await anext(ticks)
            if valid:
                run.outputs.append((value, last, best))
                run.given.append(cycle)
            cycle += 1
            assert cycle < 100_000, f"{len(run.outputs)} results, not {results}"
        await ticks.aclose()

    simulator = Simulator(core)
    simulator.add_clock(1e-8)
    simulator.add_testbench(send, background=True)
    simulator.add_testbench(receive)
    simulator.run()
    return run


class Chain(wiring.Component):
    """Components one behind the other."""

    def __init__(self, chain, lanes, wanted):
        self.chain = chain
        x, y = (stream.Signature(data.ArrayLayout(8, count)) for count in (lanes, wanted))
        super().__init__({"i": In(x), "o": Out(y)})

    def elaborate(self, platform):
        m = Module()
        o = flipped(self.i)
        for name, component in self.chain.items():
            m.submodules[name] = component
            connect(m, o, component.i)
            o = component.o
        connect(m, o, flipped(self.o))
        return m

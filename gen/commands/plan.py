"""`tercet plan NET`: multipliers, cycles and memories of a core, without simulation."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from ...model import QNetwork
from ...model.commands.models import network_of
from ...model.terminal import console, print_table, table, width_of
from ..plan import LayerPlan, Plan, make_plan
from ..plan.device_goal import NAMES, DeviceGoal
from ..plan.sweep import sweep
from ..verilog.manifest import input_line, manifest
from .arguments import add_goal, add_net, goal_of, say_of_plan
from .sweep_view import sweep_picture, sweep_table

__all__ = ["HELP", "add_arguments", "run"]

HELP = "plan a core: multipliers, exact cycles, memories"
BAR = 16  # characters of a full bar


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add NET and the goal."""
    add_net(parser)
    add_goal(parser, clock_alone=True)
    parser.add_argument(
        "--sweep",
        action="store_true",
        help="show a sweep of plans, from the smallest to the fastest, not a single plan",
    )


def run(args: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Print the plan as tables with a bar for each layer, or the sweep."""
    goal, network = goal_of(args), network_of(args.net)
    out = console()
    if args.sweep:
        return _sweep(out, network), True
    plan = make_plan(network, goal, row_aligned=args.row_aligned)
    facts = manifest(plan)
    if args.clock is not None:
        clock = float(args.clock)
        facts["clock_mhz"], facts["images_per_second"] = clock, 1e6 * clock / plan.cycles_per_image
        facts["latency_microseconds"] = plan.latency_cycles / clock
    if isinstance(goal, DeviceGoal):
        facts["device"] = {
            kind: {"used": used, "there": there} for kind, (used, there) in goal.used(plan).items()
        }
    _print_tables(out, plan, facts)
    for line in _totals(plan, facts):
        out.print(line, markup=False, soft_wrap=True)
    say_of_plan(out, facts)
    return facts, not facts["shortfall"]


def _sweep(out: Console, network: QNetwork) -> dict[str, Any]:
    points = sweep(network)
    out.print(sweep_table(network.name, points))
    for line in sweep_picture(points, min(out.width, 100)):
        out.print(line, soft_wrap=True)
    return {"network": network.name, "plans": [point.facts() for point in points]}


def _print_tables(out: Console, plan: Plan, facts: dict[str, Any]) -> None:
    """Print one table if it fits the terminal, else a table of work and a table of memories."""
    name, cycles = plan.network.name, plan.cycles_per_image
    work = ["multiplies>", "PxS>", "R>", "cycles>", "utili-\nzation>"]
    held = ["sum\nbits>", "ROM\nbits>", "in", "buffer\nbits>", "in", "queued\nbeats>"]
    bar = [f"of {cycles} cycles"]
    layers = list(zip(plan.layers, facts["layers"], strict=True))
    of_work = [(layer.name, *_work(plan, layer)) for layer in plan.layers]
    of_held = [_held(layer, of_layer) for layer, of_layer in layers]
    bars = [(_bar(plan, layer),) for layer in plan.layers]

    def rows(*parts: Sequence[tuple[object, ...]]) -> list[list[object]]:
        return [[cell for part in row for cell in part] for row in zip(*parts, strict=True)]

    columns = ["layer", *work, *held, *bar]
    whole = table(f"{name}: plan", columns, rows(of_work, of_held, bars))
    if width_of(out, whole) <= out.width:
        out.print(whole)
    else:
        print_table(out, f"{name}: work", ["layer", *work, *bar], rows(of_work, bars))
        names = [(layer.name,) for layer in plan.layers]
        print_table(out, f"{name}: memory", ["layer", *held], rows(names, of_held))
    out.print("█ multiplying  ▒ busy otherwise  ░ waiting")
    out.print("P output channels of S activations at once: PxS multipliers; R results at once")


def _work(plan: Plan, layer: LayerPlan) -> tuple[object, ...]:
    part, form = layer.part, layer.part.form
    utilization = f"{plan.utilization_of(layer):.0%}" if layer.multipliers else "-"
    return (
        part.multiplies or "-",
        f"{form['P']}x{form['S']}" if layer.multipliers else "-",
        form["R"],
        layer.cycles_alone,
        utilization,
    )


def _held(layer: LayerPlan, of_layer: dict[str, Any]) -> tuple[object, ...]:
    return (
        layer.part.accumulator_width or "-",
        *_bits(of_layer["roms"]),
        *_bits(of_layer["memories"]),
        layer.fifo_depth or "-",
    )


def _bits(memories: list[dict[str, Any]]) -> tuple[int | str, str]:
    """The bits of a layer's memories, and their kinds."""
    held = [memory for memory in memories if memory["bits"]]
    kinds = sorted({memory["kind"] for memory in held})
    return sum(memory["bits"] for memory in held) or "-", "+".join(kinds) or "-"


def _bar(plan: Plan, layer: LayerPlan) -> str:
    """A bar of the cycles between images: multiplying, busy otherwise, waiting."""
    busy = round(BAR * layer.cycles_alone / plan.cycles_per_image)
    full = min(round(BAR * plan.utilization_of(layer)), busy)
    return "█" * full + "▒" * (busy - full) + "░" * (BAR - busy)


def _totals(plan: Plan, facts: dict[str, Any]) -> list[str]:
    """The totals of the core: costs and cycles, in lines that fit a narrow terminal."""
    requantizers = sum(layer.part.requantizer_multipliers for layer in plan.layers)
    lines = [
        f"{plan.network.name}: {plan.cycles_per_image} cycles between images",
        f"  {plan.latency_cycles} cycles from first beat in to last beat out",
        f"  {input_line(facts)}",
        f"  {plan.multipliers} multipliers in the layers and {requantizers} in the requantizers",
        f"  {plan.utilization:.3f} multiplies per multiplier and cycle",
        f"  {facts['rom_bits']} ROM bits",
    ]
    if "clock_mhz" in facts:
        rate, clock = facts["images_per_second"], facts["clock_mhz"]
        latency = facts["latency_microseconds"]
        lines.append(f"  {rate:,.0f} images/s and a latency of {latency:.4g} µs at {clock:g} MHz")
    for kind, of in facts.get("device", {}).items():
        about = "about " if kind == "luts" else ""
        lines.append(f"  {about}{of['used']} of {of['there']} {NAMES[kind]}")
    return lines

"""`tercet plan NET`: multipliers, cycles and memory of a core, before any simulation."""

from __future__ import annotations

import argparse
from typing import Any

from rich.table import Table

from ..model import load
from .arguments import add_net, positive
from .assemble import Core
from .manifest import manifest
from .plan import LayerPlan, Plan, make_plan
from .tables import console, table

__all__ = ["HELP", "add_arguments", "run"]

HELP = "plan a core: multipliers, exact cycles, ROM bits and buffer depths per layer"
BAR = 10  # characters of a full bar


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """NET and the goal."""
    add_net(parser)
    parser.add_argument(
        "--cycles",
        type=positive,
        metavar="N",
        help="the goal, cycles between images (default: one input value per cycle)",
    )


def run(args: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Print the plan as a table with a bar per layer."""
    plan = make_plan(load(args.net), args.cycles)
    facts = manifest(plan, Core(plan=plan))
    out = console()
    out.print(_table(plan, facts))
    out.print(
        f"{plan.network.name}: {plan.cycles_per_image} cycles between images, "
        f"{plan.latency_cycles} cycles latency, {plan.multipliers} multipliers in the layers and "
        f"{sum(layer.part.requantizer_multipliers for layer in plan.layers)} in the requantizers, "
        f"{facts['rom_bits']} ROM bits, {plan.utilization:.2f} multiplies per multiplier and cycle",
        soft_wrap=True,
    )
    if args.cycles is not None and plan.cycles_per_image > args.cycles:
        out.print(
            f"The goal of {args.cycles} cycles is out of reach: values arrive one a cycle, and the "
            "slowest layer takes them no faster; this is the nearest plan."
        )
    return facts, True


def _table(plan: Plan, facts: dict[str, Any]) -> Table:
    columns = ["layer", "multiplies>", "multi-\npliers>", "cycles>", "sum\nbits>"]
    columns += ["ROM\nbits>", "in", "buffer\nbits>", "in"]
    columns += ["queued\nbeats>", f"busy of\n{plan.cycles_per_image} cycles"]
    return table(
        f"{plan.network.name}: plan",
        columns,
        (
            (
                layer.name,
                layer.part.multiplies,
                layer.multipliers,
                layer.part.busy_cycles,
                layer.part.accumulator_width or "-",
                *_held(of_layer["roms"]),
                *_held(of_layer["memories"]),
                layer.fifo_depth or "-",
                _bar(layer, plan.cycles_per_image),
            )
            for layer, of_layer in zip(plan.layers, facts["layers"], strict=True)
        ),
    )


def _held(memories: list[dict[str, Any]]) -> tuple[int | str, str]:
    """The bits of a layer's memories, and the kinds they are of."""
    held = [memory for memory in memories if memory["bits"]]
    kinds = sorted({memory["kind"] for memory in held})
    return sum(memory["bits"] for memory in held) or "-", " + ".join(kinds) or "-"


def _bar(layer: LayerPlan, cycles: int) -> str:
    share = layer.part.busy_cycles / cycles
    full = round(BAR * share)
    return f"{'█' * full}{'░' * (BAR - full)} {share:4.0%}"

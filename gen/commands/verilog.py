"""`tercet verilog NET -o DIR`: write a core's Verilog and its manifest."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ...model.commands.models import network_of
from ...model.files import output_folder
from ...model.terminal import console
from ..verilog.build import write_core
from .arguments import add_goal, add_net, add_output, goal_of, prefix, say_of_plan

__all__ = ["HELP", "add_arguments", "run"]

HELP = "write a core: DIR/rtl/NET.v and DIR/manifest.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add NET, the goal, the prefix of modules and the folder."""
    add_net(parser)
    add_goal(parser)
    parser.add_argument(
        "--prefix",
        type=prefix,
        metavar="NAME",
        help="name of the top module; the names of all other modules begin with it; needed for two "
        "plans in one project (default: NET)",
    )
    add_output(parser, "the core")


def run(args: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Write the core and print its main facts."""
    goal, network = goal_of(args), network_of(args.net)
    options = {"row_aligned": args.row_aligned, "prefix": args.prefix}
    with output_folder(args.output or Path("build") / network.name) as folder:
        facts = write_core(network, folder, goal, **options)
    out = console()
    say_of_plan(out, facts)
    out.print(
        f"{folder / facts['verilog']}: {facts['cycles_per_image']} cycles per image, "
        f"latency {facts['latency_cycles']} cycles, {facts['multipliers']} multipliers, "
        f"{facts['rom_bits']} ROM bits; the rest is in {folder / 'manifest.json'}",
        soft_wrap=True,
    )
    return facts, not facts["shortfall"]

"""`tercet verilog NET -o DIR`: write a core's Verilog and its manifest."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..model import load
from .arguments import add_goal, add_net, add_output, goal_of, say_shortfall
from .build import write_core
from .tables import console

__all__ = ["HELP", "add_arguments", "run"]

HELP = "write a core: DIR/rtl/NET.v and DIR/manifest.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """NET, the goal and the folder."""
    add_net(parser)
    add_goal(parser)
    add_output(parser, "the core")


def run(args: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Write the core and say what it is."""
    goal, network = goal_of(args), load(args.net)
    folder = args.output or Path("build") / network.name
    facts = write_core(network, folder, goal)
    out = console()
    say_shortfall(out, facts)
    out.print(
        f"{folder / 'rtl' / (network.name + '.v')}: {facts['cycles_per_image']} cycles per image, "
        f"latency {facts['latency_cycles']} cycles, {facts['multipliers']} multipliers, "
        f"{facts['rom_bits']} ROM bits; the rest is in {folder / 'manifest.json'}",
        soft_wrap=True,
    )
    return facts, True

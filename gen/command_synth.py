"""`tercet synth NET`: what Yosys makes of a core."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.table import Table

from ..model import load
from .arguments import add_net, add_output
from .build import write_core
from .flow.synth import TARGETS, Resources, synthesize
from .tables import console, table

__all__ = ["HELP", "add_arguments", "run"]

HELP = "synthesize a core with Yosys and count its cells"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """NET, the families and the folder."""
    add_net(parser)
    parser.add_argument(
        "--target",
        choices=[*TARGETS, "all"],
        default="all",
        help="the family to synthesize for (default: %(default)s)",
    )
    add_output(parser, "the core")


def run(args: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Write the core, synthesize it, print a row per family."""
    network = load(args.net)
    folder = args.output or Path("build") / network.name
    manifest = write_core(network, folder)
    targets = list(TARGETS) if args.target == "all" else [args.target]
    out = console()
    found: dict[str, Resources] = {}
    with out.status("") as status:
        for target in targets:
            status.update(f"synthesizing {network.name} for {target}")
            verilog = folder / "rtl" / f"{network.name}.v"
            found[target] = synthesize(verilog, network.name, target)
    out.print(_table(network.name, found))
    agree = all(resources.rom_bits == manifest["rom_bits"] for resources in found.values())
    if not agree:
        out.print(f"The manifest says {manifest['rom_bits']} ROM bits, synthesis does not")
    facts = {target: resources.facts() for target, resources in found.items()}
    return {"network": network.name, "targets": facts}, agree


def _table(name: str, found: dict[str, Resources]) -> Table:
    kinds = next(iter(found.values())).facts()
    return table(
        f"{name}: cells after synthesis",
        ["target", *(f"{kind.replace('_', ' ')}>" for kind in kinds)],
        ((target, *resources.facts().values()) for target, resources in found.items()),
    )

"""`tercet synth NET`: what Yosys makes of a core."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from rich.table import Table

from ..model import load
from .arguments import add_net, add_output
from .build import write_core
from .flow.synth import LUT_RAM, TARGETS, Resources, synthesize
from .manifest import misplaced
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
    complaints = [
        f"{target}: {complaint}"
        for target, resources in found.items()
        for complaint in _complaints(manifest, resources, target)
    ]
    for complaint in complaints:
        out.print(complaint, soft_wrap=True)
    facts = {target: resources.facts() for target, resources in found.items()}
    return {"network": network.name, "targets": facts}, not complaints


def _complaints(manifest: dict[str, Any], resources: Resources, target: str) -> list[str]:
    """Where synthesis disagrees with the manifest."""
    said, found = manifest["rom_bits"], resources.rom_bits
    bits = [] if found == said else [f"{found} ROM bits, where the manifest says {said}"]
    elsewhere = misplaced(manifest, resources.in_blocks, lut_ram=target in LUT_RAM)
    return bits + [
        f"{path} is in block RAM, where the manifest says it is not"
        if path in resources.in_blocks
        else f"{path} is not in block RAM, where the manifest says it is"
        for path in elsewhere
    ]


def _table(name: str, found: dict[str, Resources]) -> Table:
    kinds = next(iter(found.values())).facts()
    return table(
        f"{name}: cells after synthesis",
        ["target", *(f"{kind.replace('_', ' ')}>" for kind in kinds)],
        ((target, *resources.facts().values()) for target, resources in found.items()),
    )

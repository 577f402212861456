"""`tercet narrow NET`: the narrowest multipliers that keep every output unchanged."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ...model import save
from ...model.commands.models import network_of
from ...model.search.narrowest import narrowed
from ...model.search.widths import BLOCKS, Widths, widths
from ...model.terminal import console, print_table
from .arguments import add_net

__all__ = ["HELP", "add_arguments", "run"]

HELP = "search for narrower multipliers with the same outputs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add NET and the file."""
    add_net(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="write the network with the narrowest multipliers (default: only show them)",
    )


def run(args: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Search every layer, print a row for each one that requantizes, write the network."""
    network, out = network_of(args.net), console()
    with out.status(f"searching {network.name}"):
        found = narrowed(network)
        layers = list(widths(found))
    columns = ["layer", "kind", "acc>", "active>", "M 31>", "equal>", "defined>", "M>", "product>"]
    columns += [*(f"{block}>" for block in BLOCKS), "checked>", "unlike 31 bits>"]
    print_table(out, f"{network.name}: bits", columns, map(_row, layers))
    narrower = sum(layer.narrow < layer.defined for layer in layers)
    message = f"{network.name}: {narrower} of {len(layers)} requantizations narrower than defined"
    if args.output:
        save(found, args.output)
        message += f" -> {args.output}"
    out.print(message, soft_wrap=True)
    return {"network": network.name, "layers": [layer.facts() for layer in layers]}, True


def _row(layer: Widths) -> list[str]:
    before, after = layer.products
    counts = (layer.blocks(block) for block in BLOCKS)
    return [
        *(layer.layer, layer.kind),
        *(str(bits) for bits in (layer.accumulator, layer.active, layer.wide, layer.equal)),
        *(str(layer.defined), str(layer.narrow), f"{before} -> {after}"),
        *(f"{one} -> {other}" for one, other in counts),
        f"{layer.checked:,}" if layer.checked else "",
        "" if layer.differing is None else f"{layer.differing:,} of {layer.reachable:,}",
    ]

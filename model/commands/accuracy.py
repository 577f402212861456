"""``tercet accuracy``: the accuracy of each quantized network, in docs/accuracy.md.

A picture, docs/accuracy.svg, is written beside the document.
"""

from __future__ import annotations

import argparse
from typing import Any

from ..files import output_folder
from ..float.nets.nets import NETS, net_of
from ..studies.document import add_study, prepare, write
from ..studies.rows import Store
from ..terminal import console
from .accuracy_cells import WIDTHS, cells, facts_of
from .accuracy_document import markdown, svg

HELP = "measure the accuracy of every network at several widths"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_study(parser, "docs/accuracy.md", "build/accuracy")
    add = parser.add_argument
    add("--nets", nargs="+", default=list(NETS), metavar="NET", help="networks (default: all)")
    add(
        "--bits",
        nargs="+",
        type=int,
        choices=WIDTHS,
        default=list(WIDTHS),
        help="bits of weights and activations (default: all)",
    )


def run(args: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Compute all missing figures, then write the document."""
    for name in args.nets:
        net_of(name)
    prepare(args.output)
    made = []
    wanted = cells(args.nets, args.bits)
    progress = console(stderr=True)
    with output_folder(args.work, "--work"):
        for number, cell in enumerate(wanted, start=1):
            progress.print(f"{number} of {len(wanted)}: {cell.command}", soft_wrap=True)
            made.append((cell, facts_of(cell, Store(args.work))))
    picture = args.output.with_suffix(".svg")
    write(args.output, markdown(made, picture.name), {picture: svg(made)})
    console().print(
        f"{len(made)} figures of {len(args.nets)} networks -> {args.output}", soft_wrap=True
    )
    kept = ("network", "bits", "command", "float_accuracy", "int_accuracy", "images")
    more = ("validation_accuracy", "epoch", "unproven")
    return {
        "cells": [
            {name: facts[name] for name in (*kept, *more) if name in facts} for _, facts in made
        ]
    }, True

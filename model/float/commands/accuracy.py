"""``tercet accuracy``: the accuracy of each quantized network, as the document docs/accuracy.md."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ...files import locked, write_all
from ...layers import NetworkError
from ...terminal import console
from ..nets.nets import NETS, net_of
from .accuracy_cells import WIDTHS, cells, facts_of
from .accuracy_document import markdown, svg

HELP = "measure every network at several widths, quantized and fine-tuned"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add(
        "-o",
        "--output",
        type=Path,
        default=Path("docs/accuracy.md"),
        metavar="FILE",
        help="the document; a picture is written to the same folder (default: %(default)s)",
    )
    add("--nets", nargs="+", default=list(NETS), metavar="NET", help="networks (default: all)")
    add(
        "--bits",
        nargs="+",
        type=int,
        choices=WIDTHS,
        default=list(WIDTHS),
        help="bits of weights and activations (default: all)",
    )
    add(
        "--work",
        type=Path,
        default=Path("build/accuracy"),
        metavar="DIR",
        help="folder of finished figures, to resume a run (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Compute all missing figures, then write the document."""
    for name in args.nets:
        net_of(name)
    picture = args.output.with_suffix(".svg")
    try:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        made = []
        wanted = cells(args.nets, args.bits)
        progress = console(stderr=True)
        with locked(args.work):
            for number, cell in enumerate(wanted, start=1):
                progress.print(f"{number} of {len(wanted)}: {cell.command}", soft_wrap=True)
                made.append((cell, facts_of(cell, args.work)))
        write_all({args.output: markdown(made, picture.name), picture: svg(made)})
    except OSError as error:
        raise NetworkError(
            f"The document {args.output} cannot be written: {error.strerror}"
        ) from None
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

"""`tercet requantizers`: the necessary width of requantizers; writes docs/requantizers.md."""

from __future__ import annotations

import argparse
from typing import Any

from ...model import load, shipped
from ...model.files import output_folder
from ...model.network import QNetwork
from ...model.search.narrowest import narrowed
from ...model.search.widths import wide
from ...model.studies.document import add_study, prepare, write
from ...model.studies.rows import Facts, Store
from ...model.terminal import console
from ..flow.synth import TARGETS
from ..studies.requantizers import kept_widths, synthesized
from ..studies.requantizers_document import markdown

__all__ = ["HELP", "add_arguments", "run"]

HELP = "measure how wide requantizers must be"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the document, the networks and the families."""
    add_study(parser, "docs/requantizers.md", "build/requantizers")
    add = parser.add_argument
    add("--nets", nargs="+", default=shipped(), metavar="NET", help="(default: all that ship)")
    add("--targets", nargs="+", choices=list(TARGETS), default=list(TARGETS), help="(default: all)")


def run(args: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Measure every network, then write the document."""
    prepare(args.output)
    out, store = console(), Store(args.work)
    layers, measured = {}, {}
    with output_folder(args.work, "--work"), out.status("") as status:
        for name in args.nets:
            network = load(name)
            status.update(f"comparing the accumulators of {network.name}")
            layers[network.name] = kept_widths(network, store)
            measured[network.name] = {target: dict[str, Facts]() for target in args.targets}
            for form, variant in forms(network).items():
                for target in args.targets:
                    status.update(f"synthesizing {network.name}, {form}, for {target}")
                    measured[network.name][target][form] = synthesized(variant, target, store)
    write(args.output, markdown(layers, measured, args.targets))
    out.print(f"{len(layers)} networks -> {args.output}", soft_wrap=True)
    return {
        name: {"layers": [layer.facts() for layer in found], "cells": measured[name]}
        for name, found in layers.items()
    }, True


def forms(network: QNetwork) -> dict[str, QNetwork]:
    """The network in each of ``requantizers_document.FORMS``."""
    broad = network.requantized(lambda layer: wide(network, layer))
    return {"31 bits": broad, "equal": narrowed(broad), "narrow": network}

"""`tercet requantizers`: the necessary width of requantizers; writes docs/requantizers.md."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ...model import load, shipped
from ...model.files import write_whole
from ...model.layers import NetworkError
from ...model.network import QNetwork
from ...model.search.narrowest import narrowed
from ...model.search.widths import wide, widths
from ...model.terminal import console
from ..flow.synth import TARGETS, Resources
from ..studies.requantizers import requantized, synthesized
from ..studies.requantizers_document import markdown

__all__ = ["HELP", "add_arguments", "run"]

HELP = "measure the necessary width of requantizers and the savings of narrow ones"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the document, the networks and the families."""
    add = parser.add_argument
    add(
        "-o",
        "--output",
        type=Path,
        default=Path("docs/requantizers.md"),
        metavar="FILE",
        help="the document (default: %(default)s)",
    )
    add("--nets", nargs="+", default=shipped(), metavar="NET", help="(default: all that ship)")
    add("--targets", nargs="+", choices=list(TARGETS), default=list(TARGETS), help="(default: all)")


def run(args: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Measure every network, then write the document."""
    out = console()
    layers, measured = {}, {}
    with out.status("") as status:
        for name in args.nets:
            network = load(name)
            status.update(f"comparing the accumulators of {network.name}")
            layers[network.name] = list(widths(network))
            measured[network.name] = {target: dict[str, Resources]() for target in args.targets}
            for form, variant in forms(network).items():
                for target in args.targets:
                    status.update(f"synthesizing {network.name}, {form}, for {target}")
                    measured[network.name][target][form] = synthesized(variant, target)
    text = markdown(layers, measured, args.targets)
    try:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        write_whole(args.output, text)
    except OSError as error:
        raise NetworkError(
            f"The document {args.output} cannot be written: {error.strerror}"
        ) from None
    out.print(f"{len(layers)} networks -> {args.output}", soft_wrap=True)
    return _facts(layers, measured), True


def forms(network: QNetwork) -> dict[str, QNetwork]:
    """The network in each of ``requantizers_document.FORMS``."""
    broad = requantized(network, lambda layer: wide(network, layer))
    return {"31 bits": broad, "equal": narrowed(broad), "narrow": network}


def _facts(layers: dict[str, Any], measured: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {
            "layers": [layer.facts() for layer in found],
            "cells": {
                target: {form: resources.facts() for form, resources in by_form.items()}
                for target, by_form in measured[name].items()
            },
        }
        for name, found in layers.items()
    }

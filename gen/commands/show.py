"""`tercet show NET`: print the contents of an integer network."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from rich.console import Console

from ...model import QNetwork
from ...model.commands.models import network_of
from ...model.layers import Layer
from ...model.terminal import console, print_table
from .arguments import add_net

__all__ = ["HELP", "add_arguments", "run"]

SHOWN = (
    *("kernel", "stride", "padding", "groups", "weights", "sum_bounds"),
    *("requant", "low", "high", "values", "factor"),
)
COLUMNS = (
    *("layer", "kind", "kernel>", "stride>", "padding>", "groups>", "weights>"),
    *("accumulator>", "multiplier>", "shift>", "rounding", "clamp>"),
)
HELP = "show a network: its tensors, layers and number ranges"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add NET."""
    add_net(parser)


def run(args: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Print the tensors and the layers as tables."""
    network = network_of(args.net)
    out = console()
    _print_tensors(out, network)
    layers = [_layer_facts(network, layer) for layer in network.layers]
    print_table(out, "layers", COLUMNS, map(_layer_row, layers))
    facts = {
        "network": network.name,
        "weights": sum(layer["weights"] for layer in layers),
        "layers": layers,
        "tensors": {
            name: {"shape": list(tensor.shape), "type": str(tensor.dtype)}
            for name, tensor in network.tensors.items()
        },
    }
    out.print(f"{network.name}: {len(network.layers)} layers, {facts['weights']} weights")
    return facts, True


def _print_tensors(out: Console, network: QNetwork) -> None:
    print_table(
        out,
        f"{network.name}: tensors",
        ["tensor", "type", "height x width x channels>", "scale>", "zero point>"],
        (
            (name, t.dtype, " x ".join(map(str, t.shape)), f"{t.scale:.6g}", t.zero_point)
            for name, t in network.tensors.items()
        ),
    )


def _layer_facts(network: QNetwork, layer: Layer) -> dict[str, Any]:
    """The attributes of a layer that are shown, by the names of its fields."""
    facts: dict[str, Any] = {"name": layer.name, "kind": layer.kind, "weights": 0}
    has = {name: getattr(layer, name) for name in SHOWN if hasattr(layer, name)}
    facts |= {name: list(has[name]) for name in ("kernel", "stride", "padding") if name in has}
    if "weights" in has:
        lo, hi = has["sum_bounds"](network)
        facts |= {
            "groups": has["groups"],
            "weights": has["weights"].values.size,
            "weight_type": str(has["weights"].dtype),
            "accumulator": [int(lo.min()), int(hi.max())],
        }
    if "requant" in has:
        requant = has["requant"]
        facts |= {
            "multipliers": list(requant.multipliers),
            "shift": requant.shift,
            "rounding": requant.rounding.value,
            "clamp": [requant.low, requant.high],
        }
    if "low" in has:
        facts["clamp"] = [has["low"], has["high"]]
    if "values" in has:
        facts["entries"] = len(has["values"])
    if "factor" in has:
        facts["factor"] = list(has["factor"])
    return facts


def _layer_row(facts: dict[str, Any]) -> list[str]:
    """The cells of a layer's row; empty if the layer has no such attribute."""

    def cell(name: str, show: Callable[[Any], str] = str) -> str:
        return show(facts[name]) if name in facts else ""

    return [
        facts["name"],
        facts["kind"] + cell("entries", " of {}".format) + cell("factor", lambda f: f" {_by(f)}"),
        cell("kernel", _by),
        cell("stride", _by),
        cell("padding", lambda sides: ",".join(map(str, sides)) if any(sides) else ""),
        cell("groups"),
        cell("weight_type", lambda kind: f"{facts['weights']} {kind}"),
        cell("accumulator", _span),
        cell("multipliers", lambda values: _span(sorted({min(values), max(values)}))),
        cell("shift"),
        cell("rounding"),
        cell("clamp", _span),
    ]


def _by(pair: list[int]) -> str:
    return "x".join(map(str, pair))


def _span(ends: list[int]) -> str:
    return " .. ".join(map(str, ends))

"""`tercet show NET`: what an integer network holds."""

from __future__ import annotations

import argparse
from typing import Any

from rich.table import Table

from ..model import QNetwork, load
from ..model.conv import Conv2d
from ..model.layers import Layer
from ..model.ranges import accumulator_ranges
from .arguments import add_net
from .tables import console, table

__all__ = ["HELP", "add_arguments", "run"]

HELP = "show an integer network: its tensors, layers and number ranges"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """NET."""
    add_net(parser)


def run(args: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Print tensors and layers as tables."""
    network = load(args.net)
    out = console()
    out.print(_tensor_table(network))
    layers = [_layer_facts(network, layer) for layer in network.layers]
    out.print(_layer_table(layers))
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


def _tensor_table(network: QNetwork) -> Table:
    return table(
        f"{network.name}: tensors",
        ["tensor", "type", "height x width x channels>", "scale>", "zero point>"],
        (
            (name, t.dtype, " x ".join(map(str, t.shape)), f"{t.scale:.6g}", t.zero_point)
            for name, t in network.tensors.items()
        ),
    )


def _layer_facts(network: QNetwork, layer: Layer) -> dict[str, Any]:
    facts: dict[str, Any] = {"name": layer.name, "kind": layer.kind, "weights": 0}
    if not isinstance(layer, Conv2d):
        return facts
    lo, hi = accumulator_ranges(network, layer)
    return facts | {
        "weights": layer.weights.values.size,
        "kernel": list(layer.kernel),
        "stride": list(layer.stride),
        "groups": layer.groups,
        "weight_type": str(layer.weights.dtype),
        "accumulator": [int(lo.min()), int(hi.max())],
        "multipliers": list(layer.requant.multipliers),
        "shift": layer.requant.shift,
        "rounding": layer.requant.rounding.value,
        "clamp": [layer.requant.low, layer.requant.high],
    }


def _layer_table(layers: list[dict[str, Any]]) -> Table:
    columns = ["layer", "kind", "kernel>", "stride>", "groups>", "weights>", "accumulator>"]
    columns += ["multiplier>", "shift>", "rounding", "clamp>"]
    return table("layers", columns, map(_layer_row, layers))


def _layer_row(facts: dict[str, Any]) -> list[str]:
    if "kernel" not in facts:
        return [facts["name"], facts["kind"], *[""] * 9]
    low, high = min(facts["multipliers"]), max(facts["multipliers"])
    return [
        facts["name"],
        facts["kind"],
        "x".join(map(str, facts["kernel"])),
        "x".join(map(str, facts["stride"])),
        str(facts["groups"]),
        f"{facts['weights']} {facts['weight_type']}",
        "{} .. {}".format(*facts["accumulator"]),
        str(low) if low == high else f"{low} .. {high}",
        str(facts["shift"]),
        facts["rounding"],
        "{} .. {}".format(*facts["clamp"]),
    ]

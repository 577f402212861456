"""``tercet quantize``: a checkpoint and MNIST to an integer network.

The shipped networks are made by

    tercet quantize plain --net plain -o plain.json
    tercet quantize separable --net separable -o separable.json

from the shipped checkpoints, byte for byte on any machine.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from .. import netfile
from ..arith import Rounding
from ..conv import Conv2d
from ..data import Digits, mnist, training_digits
from ..layers import NetworkError
from ..network import QNetwork
from .nets import NETS, Checkpoint, load, net_of
from .quantize import Options, accuracy, calibration_images, float_trace, quantize

TABLE_WIDTH = 140  # characters; a narrower terminal wraps the lines rather than cutting numbers
HELP = "quantize a checkpoint to an integer network"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "checkpoint", metavar="CKPT", help="a shipped checkpoint's name, or a path ending in .npz"
    )
    parser.add_argument(
        "--net", metavar="NET", help=f"the network it must be, one of {', '.join(NETS)}"
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="the network file (default: NET.json)"
    )
    parser.add_argument(
        "--per-channel",
        action="store_true",
        help="one weight scale for each output channel (default: one for each layer)",
    )
    parser.add_argument(
        "--multiplier-bits",
        type=int,
        default=16,
        metavar="BITS",
        help="width of the largest multiplier, 1 to 31 (default: %(default)s)",
    )
    parser.add_argument(
        "--rounding",
        choices=[rule.value for rule in Rounding],
        default=Rounding.HALF_UP.value,
        help="of accumulator * multiplier / 2**shift (default: %(default)s)",
    )
    parser.add_argument(
        "--images",
        type=int,
        default=1000,
        help="training images to calibrate on (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of the choice of images (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Quantize, write the network, show what became of each layer."""
    checkpoint = load(args.checkpoint)
    if args.net is not None:
        net_of(args.net)
        if args.net != checkpoint.network:
            raise NetworkError(
                f"The checkpoint {args.checkpoint} holds {checkpoint.network}, not {args.net}; "
                f"give --net {checkpoint.network}"
            )
    if not 0 <= args.seed < 1 << 32:
        raise NetworkError(f"seed must be 0 to {(1 << 32) - 1}, not {args.seed}")
    options = Options(args.per_channel, args.multiplier_bits, Rounding(args.rounding))
    images = calibration_images(training_digits().images, args.images, args.seed)
    network = quantize(checkpoint, images, options)
    output = args.output or Path(f"{network.name}.json")
    netfile.save(network, output)
    layers = layer_facts(network, checkpoint, images)
    test = mnist("test")
    figures = accuracies(network, checkpoint, test)
    console = Console(width=max(Console().width, TABLE_WIDTH), highlight=False)
    console.print(_table(layers))
    console.print(
        f"{network.name}: int8 {figures['int8_accuracy']:.4f}, "
        f"float {figures['float_accuracy']:.4f} on the {len(test)} {test.source} -> {output}",
        markup=False,
        soft_wrap=True,
    )
    facts = {"network": network.name, "file": str(output), "layers": layers, **figures}
    return facts, True


def accuracies(network: QNetwork, checkpoint: Checkpoint, digits: Digits) -> dict[str, float]:
    """The accuracy of the integer network, and of the float one that it was made from."""
    floats = float_trace(checkpoint, digits.images)["logits"]
    return {
        "int8_accuracy": accuracy(network(digits.images), digits.labels),
        "float_accuracy": accuracy(floats, digits.labels),
    }


def _sqnr_db(exact: npt.NDArray[np.float64], values: npt.NDArray[np.float64]) -> float | None:
    """Signal to quantization noise, dB; None where nothing is lost."""
    noise = float(((exact - values) ** 2).sum())
    signal = float((exact**2).sum())
    return float(10 * np.log10(signal / noise)) if signal and noise else None


def layer_facts(
    network: QNetwork, checkpoint: Checkpoint, images: npt.NDArray[np.uint8]
) -> list[dict[str, Any]]:
    """Each layer's numbers: ranges, scales, zero points, M, n, and how much signal is left, dB."""
    floats, integers = float_trace(checkpoint, images), network.trace(images)
    facts: list[dict[str, Any]] = []
    for layer in network.layers:
        if not isinstance(layer, Conv2d):
            continue
        exact, tensor = floats[layer.output], network.tensors[layer.output]
        weights = checkpoint.state[f"{layer.name}.weight"].transpose(0, 2, 3, 1).astype(np.float64)
        scales = np.array(layer.weights.scales).reshape(-1, 1, 1, 1)
        dequantized = (integers[layer.output].astype(np.float64) - tensor.zero_point) * tensor.scale
        facts.append(
            {
                "layer": layer.name,
                "range": [float(exact.min()), float(exact.max())],
                "scale": tensor.scale,
                "zero_point": tensor.zero_point,
                "weight_scales": list(layer.weights.scales),
                "multipliers": list(layer.requant.multipliers),
                "shift": layer.requant.shift,
                "weight_sqnr_db": _sqnr_db(weights, layer.weights.centered * scales),
                "activation_sqnr_db": _sqnr_db(exact, dequantized),
            }
        )
    return facts


def _table(layers: list[dict[str, Any]]) -> Table:
    table = Table()
    for title in ("layer", "range", "scale", "zero point", "weight scale", "M", "n"):
        table.add_column(title, justify="left" if title == "layer" else "right")
    table.add_column("weight SQNR, dB", justify="right")
    table.add_column("activation SQNR, dB", justify="right")
    for facts in layers:
        low, high = facts["range"]
        table.add_row(
            facts["layer"],
            f"{low:.4g} .. {high:.4g}",
            f"{facts['scale']:.6g}",
            str(facts["zero_point"]),
            _span(facts["weight_scales"]),
            _span(facts["multipliers"]),
            str(facts["shift"]),
            *(_decibels(facts[name]) for name in ("weight_sqnr_db", "activation_sqnr_db")),
        )
    return table


def _span(values: list[Any]) -> str:
    """One value, or from the least to the greatest."""
    ends = [f"{value:.6g}" if isinstance(value, float) else str(value) for value in sorted(values)]
    return ends[0] if len(ends) == 1 else f"{ends[0]} .. {ends[-1]}"


def _decibels(value: float | None) -> str:
    return "exact" if value is None else f"{value:.1f}"

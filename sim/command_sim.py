"""`tercet sim NET`: simulate a core's Verilog; compare every layer with the golden model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console

from ..gen.commands.arguments import (
    add_goal,
    add_net,
    add_output,
    goal_of,
    natural,
    positive,
    say_of_plan,
)
from ..gen.verilog.build import write_core
from ..model import QNetwork
from ..model.commands.models import network_of
from ..model.data import DataError, Digits, digits_for_simulation, fit_to
from ..model.files import output_folder
from ..model.samples import add_data_arguments, read_samples
from ..model.terminal import console
from .bench.options import PAUSES, SIMULATORS
from .run.picture import drawing, verdict_lines

__all__ = ["HELP", "add_arguments", "add_simulation", "images_of", "run"]

HELP = "simulate a core: every value against the golden model"
DRAWN = 5  # digits that are drawn


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add NET, the images, the simulation, the goal and the folder."""
    add_net(parser)
    add_data_arguments(
        parser,
        "your own images: .npz (images, labels), .npy, IDX, or a folder of PNG and JPEG with a "
        "sub-folder for each class; N of them, evenly spaced, are simulated",
    )
    add_simulation(parser)
    parser.add_argument(
        "--seed",
        type=natural,
        default=1,
        metavar="S",
        help="seed of all random numbers (default: %(default)s)",
    )
    add_goal(parser)
    add_output(parser, "the core, and the simulation in sim/")


def add_simulation(parser: argparse.ArgumentParser) -> None:
    """Add the simulator, the number of images, and the pauses."""
    parser.add_argument(
        "--simulator",
        choices=SIMULATORS,
        default=SIMULATORS[0],
        help="default: verilator, which compiles more slowly and runs faster",
    )
    parser.add_argument(
        "-n",
        "--images",
        type=positive,
        default=20,
        metavar="N",
        help="images to simulate (default: %(default)s)",
    )
    parser.add_argument(
        "--pauses",
        choices=PAUSES,
        default="none",
        help="ports that pause at random (default: none, which also measures cycles)",
    )


def run(args: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Simulate, show the recognized digits, and print a one-line summary."""
    from .run.simulate import closing_line, simulate
    from .run.simulators import require_simulator

    require_simulator(args.simulator)
    goal, network = goal_of(args), network_of(args.net)
    images, labels, source, digits = images_of(network, args)
    out = console()
    with output_folder(args.output or Path("build") / network.name) as folder:
        manifest = write_core(network, folder, goal, row_aligned=args.row_aligned)
        say_of_plan(out, manifest)
        how = {"simulator": args.simulator, "pauses": args.pauses, "seed": args.seed}
        facts = simulate(out, network, manifest, images, folder, **how)
    facts |= {"source": source, "labels": labels}
    if digits is not None and out.encoding.lower().startswith("utf"):
        for line in drawing(digits.images[:DRAWN]):
            out.print(line, soft_wrap=True)
    if labels is not None:
        _show(out, labels, facts["predictions"])
    style = "green" if facts["failure"] is None else "red"
    if facts["failure"] is not None:
        out.print(f"FAILED: {facts['failure']}", style=style, soft_wrap=True)
    out.print(closing_line(facts), style=style, soft_wrap=True)
    return facts, facts["failure"] is None and not manifest["shortfall"]


def images_of(
    network: QNetwork, args: argparse.Namespace
) -> tuple[npt.NDArray[Any], list[int] | None, str, Digits | None]:
    """The images (N, H, W, C), their labels, their source, and the digits if they are digits."""
    tensor = network.tensors[network.input]
    if args.data is not None:
        if str(tensor.dtype) != "uint8":
            raise DataError(
                f"Network {network.name!r} takes {tensor.dtype}, and --data has pixels; leave it "
                "out, and random images are simulated"
            )
        read = read_samples(args.data, tensor.shape, args.layout)
        read.require_labels_below(network.classes, network.name)
        samples = read.spread(args.images)
        labels = None if samples.labels is None else samples.labels.tolist()
        return samples.images, labels, f"images of {args.data}", None
    digits = _digits(network, args.images)
    if digits is None:
        return _random_images(network, args), None, f"random images of seed {args.seed}", None
    images = fit_to(digits.images, tensor.shape)
    return images, digits.labels.tolist(), digits.source, digits


def _digits(network: QNetwork, count: int) -> Digits | None:
    """Digits if they fit the network, else None."""
    tensor = network.tensors[network.input]
    if str(tensor.dtype) != "uint8":
        return None
    digits = digits_for_simulation(count)
    try:
        fit_to(digits.images[:1], tensor.shape)
    except DataError:
        return None
    return digits


def _random_images(network: QNetwork, args: argparse.Namespace) -> npt.NDArray[Any]:
    tensor = network.tensors[network.input]
    rng = np.random.default_rng(args.seed)
    shape = (args.images, *tensor.shape)
    return rng.integers(tensor.dtype.qmin, tensor.dtype.qmax, size=shape, endpoint=True)


def _show(out: Console, labels: list[int], predictions: list[Any]) -> None:
    """Print labels and predictions."""
    for line in verdict_lines(labels, predictions):
        out.print(line, soft_wrap=True)
    right = sum(int(a == b) for a, b in zip(labels, predictions, strict=False))
    out.print(f"{right} of {len(labels)} recognized", soft_wrap=True)

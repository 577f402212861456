"""`tercet sim NET`: simulate a core's Verilog; compare every layer with the golden model."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

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
from ..model.layers import Argmax
from ..model.samples import add_data_arguments, read_samples
from ..model.terminal import console
from .bench.options import PAUSES, SIMULATORS
from .run.picture import drawing, verdict_lines

if TYPE_CHECKING:
    from .run.job import Outcome

__all__ = ["HELP", "add_arguments", "run"]

HELP = "simulate a core: every value of every layer against the golden model"
DRAWN = 5  # digits that are drawn
MEASURED = {  # with the defaults if the bench never started
    "tensors_compared": 0,
    "values_compared": 0,
    "mismatches": 0,
    "first_mismatch": None,
    "cycles_per_image": None,
    "latency_cycles": None,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add NET, the simulator, the images, the pauses, the seed, the goal and the folder."""
    add_net(parser)
    parser.add_argument(
        "--simulator",
        choices=SIMULATORS,
        default=SIMULATORS[0],
        help="default: verilator, which compiles more slowly and runs faster",
    )
    parser.add_argument(
        "-n", "--images", type=positive, default=20, metavar="N", help="images (default: 20)"
    )
    add_data_arguments(
        parser,
        "your own images: .npz (images, labels), .npy, IDX, or a folder of PNG and JPEG with a "
        "sub-folder for each class; the first N are simulated",
    )
    parser.add_argument(
        "--pauses",
        choices=PAUSES,
        default="none",
        help="ports that pause at random (default: none, which also measures cycles)",
    )
    parser.add_argument(
        "--seed",
        type=natural,
        default=1,
        metavar="S",
        help="seed of all random numbers (default: 1)",
    )
    add_goal(parser)
    add_output(parser, "the core, and the simulation in sim/")


def run(args: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Simulate, show the recognized digits, and print a one-line summary."""
    from .run.simulators import require_simulator

    require_simulator(args.simulator)
    goal, network = goal_of(args), network_of(args.net)
    images, labels, source, digits = _images(network, args)
    out = console()
    with output_folder(args.output or Path("build") / network.name) as folder:
        manifest = write_core(network, folder, goal, row_aligned=args.row_aligned)
        say_of_plan(out, manifest)
        outcome = _simulate(out, network, manifest, images, folder, args)
    facts = {
        "network": network.name,
        "simulator": args.simulator,
        "source": source,
        "seed": args.seed,
        "pauses": args.pauses,
        "images": len(images),
        "labels": labels,
        "predictions": _predictions(network, outcome.facts),
        "failure": outcome.failure,
        **{name: outcome.facts.get(name, default) for name, default in MEASURED.items()},
    }
    if digits is not None and out.encoding.lower().startswith("utf"):
        for line in drawing(digits.images[:DRAWN]):
            out.print(line, soft_wrap=True)
    if labels is not None:
        _show(out, labels, facts["predictions"])
    _close(out, facts)
    return facts, outcome.failure is None


def _images(
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
        samples = read_samples(args.data, tensor.shape, args.layout).at(slice(args.images))
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


def _simulate(
    out: Console,
    network: QNetwork,
    manifest: dict[str, Any],
    images: npt.NDArray[Any],
    folder: Path,
    args: argparse.Namespace,
) -> Outcome:
    from .run.compile import compile_verilog
    from .run.job import run_frames

    target = folder / "sim" / args.simulator
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as bar:
        task = bar.add_task(f"{args.simulator}: compiling", total=len(images))
        verilog = folder / manifest["verilog"]
        compiled = compile_verilog(verilog, manifest["top"], args.simulator, target)
        bar.reset(task, description=f"{args.simulator}: simulating")
        (outcome,) = run_frames(
            network,
            manifest,
            images,
            compiled,
            tests=[f"frames/pauses={args.pauses}"],
            folder=target / "run",
            seed=args.seed,
            progress=lambda done: bar.update(task, completed=done),
        )
    return outcome


def _predictions(network: QNetwork, facts: Mapping[str, Any]) -> list[Any]:
    """The class of each image: from the hardware, or the index of its greatest score."""
    if isinstance(network.layers[-1], Argmax):
        return list(facts.get("classes", []))
    size = int(np.prod(network.tensors[network.output].shape))
    scores = facts.get("scores", [])
    whole = range(0, len(scores) - size + 1, size)
    return [int(np.argmax(scores[start : start + size])) for start in whole]


def _show(out: Console, labels: list[int], predictions: list[Any]) -> None:
    """Print labels and predictions."""
    for line in verdict_lines(labels, predictions):
        out.print(line, soft_wrap=True)
    right = sum(int(a == b) for a, b in zip(labels, predictions, strict=False))
    out.print(f"{right} of {len(labels)} recognized", soft_wrap=True)


def _close(out: Console, facts: Mapping[str, Any]) -> None:
    """Print the failure, if there is one, and a one-line summary of the run."""
    style = "green" if facts["failure"] is None else "red"
    if facts["failure"] is not None:
        out.print(f"FAILED: {facts['failure']}", style=style, soft_wrap=True)
    cycles, latency = facts["cycles_per_image"], facts["latency_cycles"]
    parts = [
        f"{_count_of('image', facts['images'])} ({facts['source']})",
        _count_of("tensor", facts["tensors_compared"]),
        f"{_count_of('value', facts['values_compared'])} compared",
        "1 mismatch" if facts["mismatches"] == 1 else f"{facts['mismatches']} mismatches",
        "cycles per image not measured" if cycles is None else f"{cycles} cycles per image",
        "latency not measured" if latency is None else f"latency {latency} cycles",
    ]
    line = f"{facts['network']} in {facts['simulator']}: {', '.join(parts)}"
    out.print(line, style=style, soft_wrap=True)


def _count_of(what: str, count: int) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"

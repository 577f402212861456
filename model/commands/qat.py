"""``tercet qat``: fine-tunes a float network with fake quantization, writes an integer network."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..float.nets.nets import net_of
from ..float.ptq.graph import Graph
from ..float.ptq.quantize import Options, calibration_images
from ..float.ptq.report import layer_facts
from ..float.training.recipe import QatRecipe, Training
from ..layers import NetworkError, Requantizing
from ..network import QNetwork
from ..terminal import console
from .options import CALIBRATING, add_data, add_scheme_arguments, chosen_schemes
from .own import MEASURED, graph_of, measured
from .quantize import (
    accuracies,
    add_file_arguments,
    calibration_of,
    checkpoint_of,
    images_of,
    own_format_of,
    require_checkpoint,
    require_seed,
    samples_of,
    written,
)
from .train import training_bar

if TYPE_CHECKING:
    from ..float.qat.train import Task

HELP = "fine-tune a float network with fake quantization"
MEASURING = 5  # one's own images: every fifth measures the accuracy


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add, usual = parser.add_argument, QatRecipe()
    add_file_arguments(parser, "a float ONNX model, a saved torch.export program, ")
    for name, what in (
        ("epochs", "passes over the training images"),
        ("rate", "Adam's initial learning rate"),
        ("distillation", "weight of the float network's probabilities in the loss, 0 to 1"),
    ):
        value = getattr(usual, name)
        add(f"--{name}", type=type(value), default=value, help=f"{what} (default: %(default)s)")
    add(
        "--augmentation",
        type=float,
        metavar="A",
        help="strength of rotation, scaling, shear and shift, 0 for none (default: "
        f"{usual.augmentation}, and 0 for a model of one's own)",
    )
    add(
        "--delay",
        type=int,
        default=0,
        metavar="STEPS",
        help="initial steps without fake quantization (default: %(default)s)",
    )
    add(
        "--freeze",
        type=int,
        metavar="STEP",
        help="step from which batch norm statistics and observed ranges are kept (default: never)",
    )
    add("--learned-steps", action="store_true", help="learn the quantization steps")
    add_scheme_arguments(parser)
    add_data(parser)


def run(args: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Fine-tune, write the network, print a report of each layer."""
    if args.net is not None:
        net_of(args.net)
    own = own_format_of(args.checkpoint)
    augmentation = QatRecipe().augmentation if own is None else 0.0
    recipe = QatRecipe(
        epochs=args.epochs,
        rate=args.rate,
        augmentation=augmentation if args.augmentation is None else args.augmentation,
        distillation=args.distillation,
    )
    training = Training(args.delay, args.freeze, args.learned_steps)
    options = replace(chosen_schemes(args), mean=args.mean, std=args.std)
    require_seed(args.seed)
    if args.output is not None and not args.output.parent.is_dir():
        raise NetworkError(
            f"The network {args.output} cannot be written: its folder does not exist"
        )
    work = _shipped(args, options) if own is None else _own(args, options, own)
    from ..float.qat.train import fine_tune

    name = work.task.graph.name
    with training_bar(name) as report:
        images = work.calibration
        tuned = fine_tune(work.task, images, options, training, recipe, args.seed, report)
    network = tuned.net.lower()
    layers, figures = work.measure(network, tuned.net.folded())
    facts = written(network, args.output or Path(f"{name}.json"), layers, figures)
    console().print(
        f"Epoch {tuned.epoch} of {recipe.epochs} was best on the validation images, "
        f"{tuned.validation_accuracy:.4f}; {_proven(network)}",
        soft_wrap=True,
    )
    facts |= {"seed": args.seed, "epoch": tuned.epoch, "recipe": asdict(recipe)}
    facts |= {"training": asdict(training), "unproven": unproven(network)}
    return {**facts, "validation_accuracy": tuned.validation_accuracy}, True


@dataclass(frozen=True, eq=False)
class _Work:
    """What is trained, the images for the first ranges, and the measurement of the result.

    measure : (integer network, its folded graph) -> facts of the layers, and accuracies
    """

    task: Task
    calibration: npt.NDArray[np.uint8]
    measure: Callable[[QNetwork, Graph], tuple[list[dict[str, Any]], dict[str, Any]]]


def _shipped(args: argparse.Namespace, options: Options) -> _Work:
    """A checkpoint of a shipped network, on MNIST."""
    from ..float.qat.train import Task

    if args.data is not None or options.normalizes:
        require_checkpoint(args.checkpoint)
        raise NetworkError(
            f"--data, --mean and --std are for a model of one's own, and {args.checkpoint} is a "
            "checkpoint that takes MNIST as it is; leave them out"
        )
    checkpoint = checkpoint_of(args)
    digits, test = images_of(args)
    images = calibration_of(args, checkpoint, digits)

    def measure(network: QNetwork, folded: Graph) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        layers = layer_facts(network, folded, images[:MEASURED])
        return layers, accuracies(network, checkpoint, test, options)

    return _Work(Task.of_checkpoint(checkpoint, digits), images, measure)


def _own(args: argparse.Namespace, options: Options, form: str) -> _Work:
    """A float model of one's own, on its own images: M of them measure, the others train."""
    from ..float.qat.train import Task

    graph = graph_of(args.checkpoint, form)
    samples = samples_of(args, graph)
    calibrating, measuring = args.split
    measuring = measuring or max(len(samples) // MEASURING, 1)
    training, others = samples.split(max(len(samples) - measuring, 1), measuring, args.seed)
    count = calibrating or min(CALIBRATING, len(training))
    images = calibration_images(training.images, count, args.seed)

    def measure(network: QNetwork, folded: Graph) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        layers = layer_facts(network, folded, images[:MEASURED])
        return layers, measured(network, graph, count, layers, others, options).figures()

    return _Work(Task.of_samples(graph, training, options, args.seed), images, measure)


def unproven(network: QNetwork) -> list[str]:
    """The layers whose multipliers only approximate exact arithmetic; see ``qat/rescale.py``."""
    layers = (layer for layer in network.layers if isinstance(layer, Requantizing))
    return [layer.name for layer in layers if not isinstance(layer.requant.reference, str)]


def _proven(network: QNetwork) -> str:
    if names := unproven(network):
        return (
            f"multipliers as good as the nearest of 31 bits in {', '.join(names)}, exact elsewhere"
        )
    return "all multipliers equal exact arithmetic"

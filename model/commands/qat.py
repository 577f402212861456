"""``tercet qat``: fine-tunes a checkpoint with fake quantization and writes an integer network."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..float.nets.nets import net_of
from ..float.ptq.report import layer_facts
from ..float.training.recipe import QatRecipe, Training
from ..layers import NetworkError, Requantizing
from ..network import QNetwork
from ..terminal import console
from .options import add_image_arguments, add_scheme_arguments, chosen_schemes
from .own import MEASURED
from .quantize import (
    accuracies,
    add_file_arguments,
    calibration_of,
    checkpoint_of,
    images_of,
    require_seed,
    written,
)
from .train import training_bar

HELP = "fine-tune a checkpoint with fake quantization"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add, usual = parser.add_argument, QatRecipe()
    add_file_arguments(parser)
    for name, what in (
        ("epochs", "passes over the 12,500 training images"),
        ("rate", "Adam's initial learning rate"),
        ("augmentation", "strength of rotation, scaling, shear and shift, 0 for none"),
        ("distillation", "weight of the float network's probabilities in the loss, 0 to 1"),
    ):
        value = getattr(usual, name)
        add(f"--{name}", type=type(value), default=value, help=f"{what} (default: %(default)s)")
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
    add_image_arguments(parser)


def run(args: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Fine-tune, write the network, print a report of each layer."""
    if args.net is not None:
        net_of(args.net)
    recipe = QatRecipe(
        epochs=args.epochs,
        rate=args.rate,
        augmentation=args.augmentation,
        distillation=args.distillation,
    )
    training = Training(args.delay, args.freeze, args.learned_steps)
    options = chosen_schemes(args)
    require_seed(args.seed)
    if args.output is not None and not args.output.parent.is_dir():
        raise NetworkError(
            f"The network {args.output} cannot be written: its folder does not exist"
        )
    checkpoint = checkpoint_of(args)
    output = args.output or Path(f"{checkpoint.network}.json")
    digits, test = images_of(args)
    images = calibration_of(args, checkpoint, digits)
    from ..float.qat.train import fine_tune

    with training_bar(checkpoint.network) as report:
        tuned = fine_tune(checkpoint, digits, images, options, training, recipe, args.seed, report)
    network, folded = tuned.net.lower(), tuned.net.folded()
    layers = layer_facts(network, folded, images[:MEASURED])
    facts = written(network, output, layers, accuracies(network, checkpoint, test, options))
    console().print(
        f"Epoch {tuned.epoch} of {recipe.epochs} was best on the validation images, "
        f"{tuned.validation_accuracy:.4f}; {_proven(network)}",
        soft_wrap=True,
    )
    facts |= {"seed": args.seed, "epoch": tuned.epoch, "recipe": asdict(recipe)}
    facts |= {"training": asdict(training), "unproven": unproven(network)}
    return {**facts, "validation_accuracy": tuned.validation_accuracy}, True


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

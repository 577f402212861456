"""``tercet quantize``: from a float network and images to an integer network.

    tercet quantize MODEL.onnx --data IMAGES.npz -o NET.json

takes a float ONNX model and its own images; a checkpoint of one of the networks that ship takes
MNIST. The shipped networks are made by

    tercet quantize NET --net NET -o NET.json

from the shipped checkpoints, byte for byte on any machine.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data import Digits, fit_to, mnist, training_digits
from ..float.nets.nets import NETS, SUFFIXES, Checkpoint, input_shape_of, load, net_of, shipped
from ..float.ptq.graph import Graph
from ..float.ptq.quantize import Options, accuracy, calibration_images, prepare
from ..float.ptq.report import COLUMNS, layer_facts, layer_row
from ..formats import json_file
from ..layers import NetworkError
from ..network import QNetwork
from ..samples import Samples, read_samples
from ..terminal import console, print_table
from .models import EXPORT, INTEGER, format_of
from .options import CALIBRATING, add_quantization, options_of
from .own import (
    MEASURED,
    graph_of,
    quantize_own,
    quantized,
    remarks_of,
    split,
    verdict_of,
)

HELP = "quantize a float network to an integer network"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_file_arguments(parser, "a float ONNX model, a saved torch.export program, ")
    add_quantization(parser)


def add_file_arguments(parser: argparse.ArgumentParser, models: str = "") -> None:
    """Declare the checkpoint and the network file; :func:`checkpoint_of` reads the first.

    models : what else the command takes, for the help
    """
    add = parser.add_argument
    add(
        "checkpoint",
        metavar="MODEL" if models else "CKPT",
        help=f"{models}a shipped checkpoint's name, or the path of an .npz or .pt file",
    )
    add("--net", metavar="NET", help=f"the network it must be, one of {', '.join(NETS)}")
    add("-o", "--output", type=Path, metavar="FILE", help="the network file (default: NET.json)")


def run(args: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Quantize, write the network, print a report of each layer."""
    if args.net is not None:
        net_of(args.net)
    options = options_of(args)
    require_seed(args.seed)
    if own_format_of(args.checkpoint) is not None:
        return _own(args, options), True
    if args.data is not None:
        require_checkpoint(args.checkpoint)
        raise NetworkError(
            f"--data is for a model of one's own, and {args.checkpoint} is a checkpoint that takes "
            "MNIST; leave --data out, or give a float ONNX model"
        )
    checkpoint = checkpoint_of(args)
    digits, test = images_of(args)
    images = calibration_of(args, checkpoint, digits)
    graph = checkpoint.graph()
    network = quantized(graph, images, options)
    output = args.output or Path(f"{network.name}.json")
    folded, _ = prepare(graph, options)
    layers = layer_facts(network, folded, images[:MEASURED])
    figures = accuracies(network, checkpoint, test, options)
    return written(network, output, layers, figures), True


def own_format_of(model: str) -> str | None:
    """The format of a float model of one's own; None for a checkpoint of a shipped network.

    Raises NetworkError for an integer network.
    """
    form = "checkpoint" if model in shipped() else format_of(model)
    if form in INTEGER and Path(model).is_file():
        raise NetworkError(
            f"{model} is {INTEGER[form]}, and so quantized already; write its Verilog by tercet "
            f"verilog {shlex.quote(model)}"
        )
    return form if form in ("float-onnx", "pt2") else None


def require_checkpoint(model: str) -> None:
    """Refuse files that do not exist, and weights without their network."""
    if model in shipped():
        return
    if not Path(model).exists():
        raise NetworkError(f"The model {model} cannot be read: No such file or directory")
    if format_of(model) == "state-dict":
        raise NetworkError(f"The model {model} has weights without their network; {EXPORT}")


def _own(args: argparse.Namespace, options: Options) -> dict[str, Any]:
    """Quantize a float model of one's own on its own images."""
    graph = graph_of(args.checkpoint)
    samples = samples_of(args, graph)
    own = quantize_own(graph, *split(samples, args.split, args.seed), options)
    output = args.output or Path(f"{own.network.name}.json")
    return written(own.network, output, own.layers, own.figures())


def samples_of(args: argparse.Namespace, graph: Graph) -> Samples:
    """The images for a float graph, from --data. Raises DataError, and NetworkError without any."""
    channels, height, width = graph.shape
    if args.data is None:
        raise NetworkError(
            f"Network {graph.name!r} needs images to calibrate on; give them by --data DATA, an "
            f".npz with images (N, {height}, {width}, {channels}) and labels"
        )
    samples = read_samples(args.data, (height, width, channels), args.layout)
    samples.require_labels_below(graph.classes, graph.name)
    return samples


def require_seed(seed: int) -> None:
    """Raise NetworkError for a seed that numpy would not accept."""
    if not 0 <= seed < 1 << 32:
        raise NetworkError(f"seed must be 0 to {(1 << 32) - 1}, not {seed}")


def images_of(args: argparse.Namespace) -> tuple[Digits, Digits]:
    """The training images, and the images for measuring accuracy. Raises DataError."""
    digits, test = training_digits(), mnist("test")
    return digits, test if args.split[1] is None else test.first(args.split[1])


def calibration_of(
    args: argparse.Namespace, checkpoint: Checkpoint, digits: Digits
) -> npt.NDArray[np.uint8]:
    """The calibration images, (N, H, W, C). Raises NetworkError."""
    shape = input_shape_of(checkpoint.network)
    count = args.split[0] or CALIBRATING
    return fit_to(calibration_images(digits.images, count, args.seed), shape)


def written(
    network: QNetwork,
    output: Path,
    layers: list[dict[str, Any]],
    figures: dict[str, Any],
) -> dict[str, Any]:
    """Write the network, print a report of each layer and of the accuracy; return the facts.

    layers : its ``layer_facts``
    figures : the accuracies and the images on which they were measured, see :func:`accuracies`; of
        images without labels no accuracies
    """
    json_file.save(network, output)
    out = console()
    print_table(out, network.name, COLUMNS, map(layer_row, layers))
    remarks = remarks_of(network, layers, figures)
    for line in (f"{network.name}: {verdict_of(figures)} -> {output}", *remarks):
        out.print(line, soft_wrap=True)
    return {"network": network.name, "file": str(output), "layers": layers, **figures}


def checkpoint_of(args: argparse.Namespace) -> Checkpoint:
    """The checkpoint that the arguments name. Raises NetworkError."""
    if args.checkpoint.endswith(SUFFIXES):
        if args.net is None:
            raise NetworkError(
                f"The checkpoint {args.checkpoint} has weights without their network; of a network "
                f"of your own, {EXPORT}; of a shipped one, add --net, one of "
                f"{', '.join(NETS)}"
            )
        from ..float.nets.state_dicts import load_state_dict

        return load_state_dict(Path(args.checkpoint), args.net)
    checkpoint = load(args.checkpoint)
    if args.net not in (None, checkpoint.network):
        raise NetworkError(
            f"The checkpoint {args.checkpoint} holds {checkpoint.network}, not {args.net}; "
            f"give --net {checkpoint.network}"
        )
    return checkpoint


def accuracies(
    network: QNetwork, checkpoint: Checkpoint, digits: Digits, options: Options
) -> dict[str, Any]:
    """The accuracies of the integer network and of the float network from which it was made."""
    from ..float.training.common import accuracy_of

    images = fit_to(digits.images, network.tensors[network.input].shape)
    return {
        "int_accuracy": accuracy(network(images), digits.labels),
        "float_accuracy": accuracy_of(checkpoint, digits, options.mean, options.std),
        "images": len(digits),
        "source": digits.source,
    }

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
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data import Digits, fit_to, mnist, training_digits
from ..float.nets.nets import NETS, SUFFIXES, Checkpoint, input_shape_of, load, net_of, shipped
from ..float.ptq.graph import Graph
from ..float.ptq.normalize import NAME as NORMALIZE
from ..float.ptq.quantize import Options, Schemes, accuracy, calibration_images, prepare
from ..float.ptq.report import layer_facts, layer_table
from ..float.ptq.schemes import OBSERVERS, Scheme
from ..formats import json_file
from ..layers import NetworkError
from ..network import QNetwork
from ..requant import Rounding
from ..samples import Samples, add_data_arguments, read_samples
from ..terminal import console
from .models import INTEGER, format_of
from .own import CALIBRATING, MEASURED, graph_of, quantize_own, quantized

TABLE_WIDTH = 160  # characters; a narrower terminal wraps the lines instead of cutting numbers
MUCH = 0.02  # of the accuracy: a greater loss gets advice
HELP = "quantize a float network to an integer network"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add_file_arguments(parser, "a float ONNX model, ")
    add_data_arguments(
        parser,
        "images for a model of one's own: .npz (images, labels), .npy, IDX, or a folder of PNG and "
        "JPEG with a sub-folder for each class; pixels 0..255, or floats 0..1; see --split",
    )
    add_scheme_arguments(parser)
    add_image_arguments(parser)
    add(
        "--multiplier-bits",
        type=int,
        default=16,
        metavar="BITS",
        help="width of the largest multiplier, 1 to 31, which defines the outputs; the network "
        "gets the narrowest with the same outputs (default: %(default)s)",
    )
    add(
        "--rounding",
        choices=[rule.value for rule in Rounding],
        default=Rounding.HALF_UP.value,
        help="rounding of accumulator * multiplier / 2**shift (default: %(default)s)",
    )
    numbers: dict[str, Any] = {"type": float, "nargs": "+", "metavar": "X"}
    add("--mean", default=[0.0], help="mean that the network subtracts, pixels 0..1", **numbers)
    add("--std", default=[1.0], help="divisor after that; one number or one a channel", **numbers)


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


def add_image_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the choice of images; :func:`images_of` and :func:`calibration_of` read it."""
    add = parser.add_argument
    add(
        "--split",
        type=_split,
        default=(None, None),
        metavar="C[,M]",
        help=f"C images calibrate and M others measure the accuracy (default: {CALIBRATING}, but "
        "at most half of one's own, and all others)",
    )
    add("--seed", type=int, default=0, help="seed of all random choices (default: %(default)s)")


def _split(text: str) -> tuple[int, int | None]:
    """Parse C or C,M, for ``add_argument(type=...)``."""
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = []
    if len(counts) not in (1, 2) or min(counts) < 1:
        raise argparse.ArgumentTypeError(f"must be C or C,M, each at least 1, not {text!r}")
    return counts[0], counts[1] if counts[1:] else None


def add_scheme_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the quantization of weights and activations; :func:`schemes_of` reads it."""
    add = parser.add_argument
    add(
        "--bits-w", type=int, default=8, metavar="BITS", help="bits of weights, 2 to 8 (default: 8)"
    )
    add(
        "--bits-a",
        type=int,
        default=8,
        metavar="BITS",
        help="bits of activations, 2 to 16 (default: 8)",
    )
    add(
        "--layer",
        action="append",
        default=[],
        metavar="NAME=W,A",
        help="other bits for one layer; may be repeated",
    )
    add("--per-channel", action="store_true", help="a weight scale for each output channel")
    add("--affine-w", action="store_true", help="unsigned weights with a zero point")
    add("--symmetric-a", action="store_true", help="signed activations, zero point 0")
    add("--reduced", action="store_true", help="activation scales for one bit less than the type")
    for what, letter in (("activations", ""), ("weights", "-w")):
        add(
            f"--observer{letter}",
            choices=OBSERVERS,
            default="minmax",
            help=f"method for the ranges of {what} (default: %(default)s)",
        )
    add(
        "--percentile",
        type=float,
        default=99.99,
        metavar="P",
        help="percentile of the observer of this name (default: %(default)s)",
    )


def schemes_of(args: argparse.Namespace, bits_w: int, bits_a: int) -> Schemes:
    """The schemes from the arguments, with the given bits. Raises NetworkError."""
    return Schemes(
        weights=Scheme(
            bits=bits_w,
            symmetric=not args.affine_w,
            per_channel=args.per_channel,
            observer=args.observer_w,
            percentile=args.percentile,
        ),
        activations=Scheme(
            bits=bits_a,
            symmetric=args.symmetric_a,
            observer=args.observer,
            reduced=args.reduced,
            percentile=args.percentile,
        ),
    )


def options_of(args: argparse.Namespace) -> Options:
    """The options from the arguments. Raises NetworkError."""
    return replace(
        chosen_schemes(args),
        multiplier_bits=args.multiplier_bits,
        rounding=Rounding(args.rounding),
        mean=args.mean,
        std=args.std,
    )


def chosen_schemes(args: argparse.Namespace) -> Options:
    """The schemes from the arguments, with defaults for all other options. Raises NetworkError."""
    layers = {}
    for text in args.layer:
        name, _, bits = text.partition("=")
        try:
            bits_w, bits_a = (int(part) for part in bits.split(","))
        except ValueError:
            raise NetworkError(
                f"--layer must be NAME=W,A such as conv1=8,8, not {text!r}"
            ) from None
        layers[name] = schemes_of(args, bits_w, bits_a)
    return Options(schemes=schemes_of(args, args.bits_w, args.bits_a), layers=layers)


def run(args: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Quantize, write the network, print a report of each layer."""
    if args.net is not None:
        net_of(args.net)
    options = options_of(args)
    require_seed(args.seed)
    form = "checkpoint" if args.checkpoint in shipped() else format_of(args.checkpoint)
    if form == "float-onnx":
        return _own(args, options), True
    if form in INTEGER and Path(args.checkpoint).is_file():
        raise NetworkError(
            f"{args.checkpoint} is {INTEGER[form]}, and so quantized already; write its Verilog by "
            f"tercet verilog {shlex.quote(args.checkpoint)}"
        )
    if args.data is not None:
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
    return written(network, output, folded, layers, figures), True


def _own(args: argparse.Namespace, options: Options) -> dict[str, Any]:
    """Quantize a float model of one's own on its own images."""
    graph = graph_of(args.checkpoint)
    samples = samples_of(args, graph)
    own = quantize_own(graph, samples, options, args.split, args.seed)
    output = args.output or Path(f"{own.network.name}.json")
    return written(own.network, output, own.graph, own.layers, own.figures())


def samples_of(args: argparse.Namespace, graph: Graph) -> Samples:
    """The images for a float graph, from --data. Raises DataError, and NetworkError without any."""
    channels, height, width = graph.shape
    if args.data is None:
        raise NetworkError(
            f"Network {graph.name!r} needs images to calibrate on; give them by --data DATA, an "
            f".npz with images (N, {height}, {width}, {channels}) and labels"
        )
    return read_samples(args.data, (height, width, channels), args.layout)


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
    graph: Graph,
    layers: list[dict[str, Any]],
    figures: dict[str, Any],
) -> dict[str, Any]:
    """Write the network, print a report of each layer and of the accuracy; return the facts.

    graph : the folded graph from which the network was made
    layers : its ``layer_facts``
    figures : the accuracies and the images on which they were measured, see :func:`accuracies`; of
        images without labels no accuracies
    """
    json_file.save(network, output)
    out = console(width=TABLE_WIDTH)
    out.print(layer_table(layers))
    remarks = remarks_of(graph, layers, figures)
    for line in (f"{network.name}: {verdict_of(figures)} -> {output}", *remarks):
        out.print(line, soft_wrap=True)
    return {"network": network.name, "file": str(output), "layers": layers, **figures}


def remarks_of(graph: Graph, layers: list[dict[str, Any]], figures: dict[str, Any]) -> list[str]:
    """What a user should know of a quantization: a layer that was added, a loss of accuracy."""
    remarks = []
    if any(node.name == NORMALIZE for node in graph.nodes):
        remarks.append(
            f"Layer {NORMALIZE!r} was added: it normalizes the pixels, since no convolution after "
            "it can do so exactly"
        )
    if figures.get("float_accuracy", 0) - figures.get("int_accuracy", 0) > MUCH:
        remarks.append(_advice(layers))
    return remarks


def verdict_of(figures: dict[str, Any]) -> str:
    """The accuracies in a sentence."""
    if "int_accuracy" not in figures:
        return "no accuracy, since the images have no labels"
    lost = 100 * (figures["float_accuracy"] - figures["int_accuracy"])
    return (
        f"integers {figures['int_accuracy']:.4f}, float {figures['float_accuracy']:.4f}, lost "
        f"{lost:.2f} points on the {figures['images']} {figures['source']}"
    )


def _advice(layers: list[dict[str, Any]]) -> str:
    """The layers that lose most, and what to try."""
    noisy = [facts for facts in layers if facts["activation_sqnr_db"] is not None]
    worst = sorted(noisy, key=lambda facts: float(facts["activation_sqnr_db"]))[:3]
    named = ", ".join(f"{each['layer']} ({each['activation_sqnr_db']:.1f} dB)" for each in worst)
    return (
        f"More than {100 * MUCH:.0f} points are lost; the signal-to-noise ratios are lowest after "
        f"{named}. Try --per-channel, --observer mse, or more bits for them by --layer NAME=8,10"
    )


def checkpoint_of(args: argparse.Namespace) -> Checkpoint:
    """The checkpoint that the arguments name. Raises NetworkError."""
    if args.checkpoint.endswith(SUFFIXES):
        if args.net is None:
            raise NetworkError(
                f"The checkpoint {args.checkpoint} does not state its network; add --net, one of "
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

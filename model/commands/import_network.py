"""``tercet import``: reads a network from another tool and writes an integer network."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..formats import json_file
from ..formats.json_fields import Fields, decode, integer, items
from ..layers import NetworkError
from ..layers.conv import Conv2d
from ..names import identifier
from ..network import QNetwork
from ..terminal import console
from .models import FLOAT, format_of, network_of

__all__ = ["FORMATS", "HELP", "add_arguments", "run"]

HELP = "read a network from another tool"

# The module of each format. Its ``read(source, name=None)`` makes the network, and its optional
# ``compare(source, network, inexact)`` reports the equality with the source. It is imported on use,
# since it may need additional packages.
FORMATS = {
    "onnx": "..frontends.onnx",
    "scale-shift": "..frontends.scale_shift",
    "text": "..formats.text_file",
}
OPTIONS = {  # of a single format, by their names in ``read``; ``layer`` becomes ``triples``
    "onnx": ("inexact",),
    "scale-shift": ("layer", "gain", "size", "paddings", "relus", "pools", "max_bits"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("file", metavar="FILE", type=Path, help="the network to read")
    parser.add_argument(
        "--format",
        metavar="NAME",
        help=f"one of {', '.join(FORMATS)} (default: told from the content; scale-shift must be "
        "given)",
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="NET", help="the network file (default: NAME.json)"
    )
    parser.add_argument("--name", help="the network's name (default: from the model, or the file)")
    group = parser.add_argument_group("onnx", "a model quantized for ONNX Runtime")
    group.add_argument(
        "--inexact",
        action="store_true",
        default=None,
        help="accept pools and additions whose ties depend on ONNX Runtime's rounding errors",
    )
    group = parser.add_argument_group(
        "scale-shift", "an .npz or .pt state dict of uint8 weights and float biases"
    )
    group.add_argument(
        "--layer",
        type=_triple,
        action="append",
        metavar="NAME=m,n,Z",
        help="a layer's scale m / 2**n and zero point; one for each layer (default: read from "
        'x.layers.json in the folder of FILE x.npz: {"NAME": [m, n, Z], ...})',
    )
    group.add_argument("--gain", type=float, help="an integer q represents q / GAIN (default: 256)")
    group.add_argument(
        "--size", type=_integers, metavar="H,W", help="of the images (default: 28,28)"
    )
    group.add_argument(
        "--paddings",
        type=_integers,
        metavar="N,...",
        help="paddings of the first convolutions, 0 for the others (default: 2)",
    )
    group.add_argument("--relus", type=int, help="how many layers have a ReLU (default: 2)")
    group.add_argument(
        "--pools", type=int, help="how many convolutions have a 2x2 average pool (default: 2)"
    )
    group.add_argument(
        "--max-bits",
        type=int,
        help="the most bits of an activation, which saturates (default: as many as it needs)",
    )


def run(args: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Read the network, write its file, and print a summary."""
    args.format = args.format or _told(args.file)
    if args.format not in FORMATS:
        raise UserError(
            f"There is no format {args.format!r} to import; there are {', '.join(FORMATS)}"
        )
    front_end = import_module(FORMATS[args.format], __package__)
    network = _read(args, front_end.read)
    facts = _facts(network, args.format)
    compare = getattr(front_end, "compare", None)
    equality = compare(args.file, network, inexact=args.inexact) if compare else ""
    if equality:
        facts["equality"] = equality
    output = args.output or Path(f"{network.name}.json")
    json_file.save(network, output)
    shape, dtype = facts["input"]["shape"], facts["input"]["type"]
    console().print(
        f"{output}: {network.name}, {len(network.layers)} layers, {facts['weights']} weights, "
        f"reads {' x '.join(map(str, shape))} of {dtype}",
        soft_wrap=True,
    )
    if equality:
        console().print(f"{equality[0].upper()}{equality[1:]}.", soft_wrap=True)
    return facts, True


def _told(file: Path) -> str:
    """The format of a file, from its content. Raises NetworkError if it cannot be imported."""
    form = format_of(os.fspath(file))
    if form == "network" and file.is_file():
        raise NetworkError(f"{file} is a network file already; use it as it is")
    if form == "state-dict":
        raise NetworkError(
            f"{file} is {FLOAT[form]}; quantize that of a shipped network by tercet quantize "
            f"{shlex.quote(os.fspath(file))} --net NET; read a hand-made integer LeNet by "
            "--format scale-shift"
        )
    if form in FLOAT:
        network_of(os.fspath(file), form)  # says which command quantizes it
    return "text" if form == "network" else form  # a file that does not exist


def _read(args: argparse.Namespace, read: Callable[..., QNetwork]) -> QNetwork:
    options: dict[str, Any] = {}
    for form, names in OPTIONS.items():
        given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
        if given and form != args.format:
            raise UserError(
                f"--{next(iter(given)).replace('_', '-')} belongs to --format {form} alone"
            )
        options |= given
    name = args.name
    if args.format == "scale-shift":
        triples = options.pop("layer", None)
        options["triples"] = _beside(args.file) if triples is None else _unique(triples)
        name = name or identifier(args.file.stem)
    made: QNetwork = read(args.file, name=name, **options)
    return made


def _unique(given: list[tuple[str, list[int]]]) -> dict[str, list[int]]:
    names = [name for name, _ in given]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"--layer {name}=... stands twice")
    return dict(given)


def _beside(path: Path) -> dict[str, list[int]]:
    """The layers' m, n and Z from the file next to ``path``. Raises NetworkError."""
    beside = path.parent / f"{path.stem}.layers.json"
    try:
        content = beside.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise NetworkError(
            f"The layers' m, n and Z are missing: {beside} cannot be read ({reason}); "
            "write it, or give --layer NAME=m,n,Z for each"
        ) from None
    try:
        fields = Fields("The file", decode(content))
        return {name: fields.take(name, items(integer, 3)) for name in list(fields.left)}
    except NetworkError as error:
        raise NetworkError(f"{os.fspath(beside)}: {error}") from None


def _triple(text: str) -> tuple[str, list[int]]:
    """Parse NAME=m,n,Z, for ``add_argument(type=...)``."""
    name, _, numbers = text.partition("=")
    triple = _integers(numbers) if numbers else []
    if not name or len(triple) != 3:
        raise argparse.ArgumentTypeError(f"must be NAME=m,n,Z, not {text!r}")
    return name, triple


def _integers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be integers and commas, not {text!r}") from None


def _facts(network: QNetwork, form: str) -> dict[str, Any]:
    image = network.tensors[network.input]
    return {
        "network": network.name,
        "format": form,
        "input": {"shape": list(image.shape), "type": str(image.dtype), "scale": image.scale},
        "weights": sum(
            layer.weights.values.size for layer in network.layers if isinstance(layer, Conv2d)
        ),
        "layers": [
            {
                "name": layer.name,
                "kind": layer.kind,
                "type": str(network.tensors[layer.output].dtype),
            }
            for layer in network.layers
        ],
    }

"""The options of quantization, and the choice of images, for several commands."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

from ..float.ptq.quantize import Options, Schemes
from ..float.ptq.schemes import OBSERVERS, Scheme
from ..layers import NetworkError
from ..requant import Rounding
from ..samples import add_data_arguments

__all__ = [
    "CALIBRATING",
    "add_data",
    "add_quantization",
    "add_scheme_arguments",
    "chosen_schemes",
    "options_of",
]

CALIBRATING = 1000  # images, by default


def add_quantization(parser: argparse.ArgumentParser) -> None:
    """Declare the data and all options; :func:`options_of` reads the options."""
    add_data(parser)
    add_scheme_arguments(parser)
    add = parser.add_argument
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


def add_data(parser: argparse.ArgumentParser) -> None:
    """Declare the images of a model of one's own, their normalization and their choice."""
    add = parser.add_argument
    add_data_arguments(
        parser,
        "images for a model of one's own, which have not trained it: .npz (images, labels), .npy, "
        "IDX, or a folder of PNG and JPEG with a sub-folder for each class; pixels 0..255, or "
        "floats 0..1; see --split",
    )
    numbers: dict[str, Any] = {"type": float, "nargs": "+", "metavar": "X"}
    add("--mean", default=[0.0], help="mean that the network subtracts, pixels 0..1", **numbers)
    add("--std", default=[1.0], help="divisor after that; one number or one a channel", **numbers)
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

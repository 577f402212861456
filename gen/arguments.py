"""Arguments that several commands take."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_net", "add_output", "natural", "positive"]


def add_net(parser: argparse.ArgumentParser) -> None:
    """NET, as ``model.load`` takes it."""
    parser.add_argument("net", metavar="NET", help="a shipped network's name, or a network file")


def add_output(parser: argparse.ArgumentParser, holds: str) -> None:
    """-o DIR; ``holds`` names what the folder receives."""
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="DIR",
        help=f"the folder that receives {holds} (default: build/NET)",
    )


def positive(text: str) -> int:
    """An integer of at least 1, for ``add_argument(type=...)``."""
    return _at_least(1, text)


def natural(text: str) -> int:
    """An integer of at least 0, as seeds are, for ``add_argument(type=...)``."""
    return _at_least(0, text)


def _at_least(least: int, text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be an integer, not {text!r}") from None
    if value < least:
        raise argparse.ArgumentTypeError(f"must be at least {least}, not {value}")
    return value

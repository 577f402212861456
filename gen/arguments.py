"""Arguments that several commands take."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_net", "add_output", "positive"]


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
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value

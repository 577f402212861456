"""Arguments that several commands take."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_net", "add_output"]


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

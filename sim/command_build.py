"""`tercet build MODEL`: from a model file and images to RTL, checks and a report."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..gen.commands.arguments import add_goal, goal_of
from ..gen.flow.synth import TARGETS
from ..model.commands.models import FORMATS
from ..model.commands.options import add_quantization
from ..model.names import identifier
from ..model.terminal import console
from .command_sim import add_simulation

__all__ = ["HELP", "add_arguments", "run"]

HELP = "from a model file and images to RTL, checks and a report"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add MODEL, the data, and the options of each step."""
    add = parser.add_argument
    add(
        "model",
        metavar="MODEL",
        help="a float or quantized ONNX model, a checkpoint, a network file, or the name of a "
        "shipped network",
    )
    add("--format", choices=FORMATS, help="the model's format (default: told from its content)")
    add("--name", type=_name, help="the network's name (default: from the model)")
    add(
        "-o",
        "--output",
        type=Path,
        metavar="DIR",
        help="folder for network, RTL, manifest and report (default: build/NAME)",
    )
    add_quantization(parser)
    add_simulation(parser)
    add(
        "--target",
        choices=list(TARGETS),
        action="append",
        default=[],
        help="also synthesize for this family with Yosys; may be repeated",
    )
    add_goal(parser, clock_alone=True)


def _name(text: str) -> str:
    """A network's name, for ``add_argument(type=...)``."""
    if text != identifier(text):
        raise argparse.ArgumentTypeError(
            f"must be letters, digits and underscores, not {text!r}; try {identifier(text)}"
        )
    return text


def run(args: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Run the steps that are not up to date, and print a line for each."""
    from .build.build import Build, Source
    from .run.simulators import require_simulator

    require_simulator(args.simulator)
    goal, out = goal_of(args), console()
    build = Build(args, Source.of(args), goal, lambda line: out.print(line, soft_wrap=True))
    facts = build.run()
    done, manifest = facts["simulation"], facts["core"]["manifest"]
    if done["failure"] is not None:
        out.print(f"FAILED: {done['failure']}", style="red", soft_wrap=True)
        return facts, False
    out.print(
        f"{facts['network']}: the RTL equals the integer network in all "
        f"{done['values_compared']:,} values of {done['images']} images, at "
        f"{manifest['cycles_per_image']} cycles per image; all files are in {build.folder}",
        style="green",
        soft_wrap=True,
    )
    return facts, not manifest["shortfall"]

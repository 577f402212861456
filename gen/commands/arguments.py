"""Arguments of several commands."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from rich.console import Console

from ...model.errors import UsageError
from ..cost.devices import DEVICES
from ..plan.device_goal import DeviceGoal
from ..plan.folding import FoldingGoal
from ..plan.goals import CycleGoal, Goal, LatencyGoal, MultiplierGoal, RateGoal
from ..verilog.readable import module_name

__all__ = [
    "add_goal",
    "add_net",
    "add_output",
    "goal_of",
    "natural",
    "positive",
    "prefix",
    "say_of_plan",
]


def add_net(parser: argparse.ArgumentParser) -> None:
    """Add NET, as ``network_of`` takes it."""
    parser.add_argument(
        "net",
        metavar="NET",
        help="name of a shipped network, a network file, or a quantized ONNX model",
    )


def add_output(parser: argparse.ArgumentParser, holds: str) -> None:
    """Add -o DIR; ``holds`` describes the contents of the folder."""
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="DIR",
        help=f"folder for {holds} (default: build/NET)",
    )


def add_goal(parser: argparse.ArgumentParser, *, clock_alone: bool = False) -> None:
    """Add the goal of the plan, which ``goal_of`` reads, and the option --row-aligned.

    clock_alone : whether a clock is useful without --fps
    """
    parser.set_defaults(clock_alone=clock_alone)
    group = parser.add_argument_group(
        "the plan's goal",
        "one of these, alone or with --device; by default one input value per cycle",
    )
    goals = group.add_mutually_exclusive_group()
    goals.add_argument(
        "--fps",
        type=above_0,
        metavar="F",
        help="at least F images/s at the clock, with the fewest multipliers",
    )
    goals.add_argument(
        "--cycles",
        type=positive,
        metavar="N",
        help="at most N cycles between images, with the fewest multipliers",
    )
    goals.add_argument(
        "--multipliers",
        type=positive,
        metavar="N",
        help="the fewest cycles with N multipliers, requantizers not counted",
    )
    goals.add_argument(
        "--latency",
        type=positive,
        metavar="N",
        help="at most N cycles from an image's first value in to its last result out, with the "
        "fewest multipliers",
    )
    group.add_argument(
        "--device",
        choices=DEVICES,
        metavar="NAME",
        help="alone: the fewest cycles within its DSP blocks, block RAMs and (estimated) LUTs; "
        f"with another goal: the core must fit it too; one of {', '.join(DEVICES)}",
    )
    goals.add_argument(
        "--folding",
        type=Path,
        metavar="FILE",
        help='P, S and R of each layer by hand: JSON like {"conv1": {"P": 3, "S": 1, "R": 1}}, or '
        "the manifest.json of a core",
    )
    use = "the clock, for --fps and to print images/s" if clock_alone else "the clock, for --fps"
    group.add_argument("--clock", type=above_0, metavar="MHZ", help=use)
    parser.add_argument(
        "--row-aligned",
        action="store_true",
        help="input beats as wide as the first layer's, even if this width does not divide a row; "
        "each row then begins with a new beat, and its last beat is padded (default: beats that "
        "divide a row, so that images come without gaps)",
    )


def goal_of(args: argparse.Namespace) -> Goal | None:
    """The goal from the arguments of ``add_goal``; None for the default.

    Raises UsageError for --fps without a clock, or a clock that nothing uses.
    """
    other = _other_goal(args)
    return other if args.device is None else DeviceGoal(DEVICES[args.device], other=other)


def _other_goal(args: argparse.Namespace) -> Goal | None:
    """The goal beside --device."""
    if args.fps is not None:
        if args.clock is None:
            raise UsageError("--fps needs a clock; add --clock MHZ")
        return RateGoal.of(args.fps, args.clock)
    if args.clock is not None and not args.clock_alone:
        raise UsageError("--clock is for --fps alone; add --fps F or leave --clock out")
    if args.cycles is not None:
        return CycleGoal(args.cycles)
    if args.latency is not None:
        return LatencyGoal(args.latency)
    if args.folding is not None:
        return FoldingGoal.read(args.folding)
    return None if args.multipliers is None else MultiplierGoal(args.multipliers)


def say_of_plan(out: Console, manifest: Mapping[str, Any]) -> None:
    """Print which layers have no hardware, and why the plan misses its goal if it does."""
    for name in manifest["left_out"]:
        out.print(f"Layer {name!r} changes no value, and is left out.", markup=False)
    if manifest["shortfall"]:
        out.print(f"{manifest['shortfall']}.", soft_wrap=not out.is_terminal)


def positive(text: str) -> int:
    """An integer above 0, for ``add_argument(type=...)``."""
    return _at_least(1, text)


def natural(text: str) -> int:
    """An integer of at least 0, such as a seed, for ``add_argument(type=...)``."""
    return _at_least(0, text)


def prefix(text: str) -> str:
    """A name for modules, for ``add_argument(type=...)``."""
    try:
        return module_name(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def above_0(text: str) -> Fraction:
    """A number above 0, exactly as written, for ``add_argument(type=...)``."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, not {text!r}") from None
    if not (0 < value < math.inf):
        raise argparse.ArgumentTypeError(f"must be above 0 and finite, not {text}")
    return Fraction(text)


def _at_least(least: int, text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be an integer, not {text!r}") from None
    if value < least:
        raise argparse.ArgumentTypeError(f"must be at least {least}, not {value}")
    return value

"""`tercet fuzz`: random networks over all operators; compares RTL and golden model bit for bit."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..gen.commands.arguments import natural, positive
from ..model import save
from ..model.files import output_folder
from ..model.processes import in_parallel
from ..model.terminal import console, print_table
from .bench.options import SIMULATORS

if TYPE_CHECKING:
    from .fuzz import Verdict

__all__ = ["HELP", "add_arguments", "run"]

HELP = "check RTL and plans of random networks over all operators"
FOLDER = Path("build") / "fuzz"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the number of networks, the seed, the jobs, the simulator and the folder."""
    parser.add_argument(
        "-n", "--networks", type=positive, default=20, metavar="N", help="networks (default: 20)"
    )
    parser.add_argument(
        "--seed",
        type=natural,
        default=0,
        metavar="S",
        help="seed of the first network; the others have the next seeds (default: 0)",
    )
    parser.add_argument(
        "-j",
        "--jobs",
        type=positive,
        default=os.cpu_count() or 1,
        metavar="J",
        help="networks at once (default: the number of processor cores)",
    )
    parser.add_argument(
        "--simulator",
        choices=SIMULATORS,
        default=SIMULATORS[0],
        help="the simulator for the Verilog (default: %(default)s)",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=FOLDER,
        metavar="DIR",
        help=f"folder for cores and simulations (default: {FOLDER})",
    )


def run(args: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Run the networks of N seeds; keep networks that fail, and print how to repeat them."""
    from .run.simulators import require_simulator

    require_simulator(args.simulator)
    out = console()
    seeds = range(args.seed, args.seed + args.networks)
    with output_folder(args.output):
        verdicts = _run_all(out, seeds, args)
    failed = [verdict for verdict in verdicts if verdict.failure is not None]
    covered = sum((_features(verdict) for verdict in verdicts), Counter())
    _show(out, covered)
    values = sum(verdict.values_compared for verdict in verdicts)
    out.print(
        f"{len(verdicts)} networks (seeds {seeds[0]} to {seeds[-1]}) in {args.simulator}: "
        f"{values} values compared, "
        f"{len(failed)} {'network' if len(failed) == 1 else 'networks'} failed",
        style="red" if failed else "green",
        soft_wrap=True,
    )
    facts = {
        "simulator": args.simulator,
        "networks": len(verdicts),
        "seeds": [seeds[0], seeds[-1]],
        "values_compared": values,
        "cycles": sum(verdict.cycles for verdict in verdicts),
        "failures": {str(verdict.seed): verdict.failure for verdict in failed},
        "covered": dict(sorted(covered.items())),
    }
    return facts, not failed


def _run_all(out: Console, seeds: range, args: argparse.Namespace) -> list[Verdict]:
    """The verdicts, sorted by seed; a failure is printed at once, with the command to repeat it.

    The first network compiles the simulator's library, and the others reuse it.
    """
    from .fuzz import fuzz_seed

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeRemainingColumn(), console=out, transient=True, disable=not out.is_terminal
    ) as bar:
        task = bar.add_task("fuzzing", total=len(seeds))
        folder: Path = args.output

        def done(verdict: Verdict) -> None:
            bar.advance(task)
            if verdict.failure is not None:
                _complain(out, verdict, args)

        first = fuzz_seed(seeds[0], folder / "first", args.simulator, keep=True)
        done(first)
        verdicts = [first]
        calls = [(seed, folder / f"{seed}", args.simulator, first.compiled) for seed in seeds[1:]]
        with closing(in_parallel(fuzz_seed, calls, min(args.jobs, len(seeds)))) as others:
            for verdict in others:
                verdicts.append(verdict)
                done(verdict)
    return sorted(verdicts, key=lambda verdict: verdict.seed)


def _complain(out: Console, verdict: Verdict, args: argparse.Namespace) -> None:
    """Print the failure, save the network, and print the command that repeats the run."""
    path = args.output / f"{verdict.network.name}.json"
    save(verdict.network, path)
    out.print(f"seed {verdict.seed}: {verdict.failure}", style="red", soft_wrap=True)
    out.print(
        f"  the network: {path}; again: tercet fuzz -n 1 --seed {verdict.seed} "
        f"--simulator {args.simulator}",
        soft_wrap=True,
    )


def _features(verdict: Verdict) -> Counter[str]:
    from .fuzz import features

    return features(verdict.network)


def _show(out: Console, covered: Counter[str]) -> None:
    """Print the features of the networks, with their counts."""
    rows = sorted(covered.items(), key=_by_group)
    print_table(out, "Covered", ("layers, rules and widths", "in all>"), rows)


def _by_group(item: tuple[str, int]) -> tuple[str, int, str]:
    """The sort key of a feature: its group, then widths by number and kinds by name."""
    words = item[0].split()
    return words[0], int(words[1]) if words[-1] == "bits" else 0, item[0]

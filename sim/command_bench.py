"""`tercet bench`: measure on this machine, and write docs/performance.md.

Of timed values, only ratios within one run are meaningful, because machines differ and are shared.
Cycles, cells and clocks come from the tools and are the same on every machine.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

from rich.progress import Progress

from ..gen.commands.arguments import positive
from ..model.errors import UserError
from ..model.files import output_folder
from ..model.studies.document import add_study, prepare, write
from ..model.studies.rows import Store
from ..model.terminal import console
from .measure.document import markdown
from .measure.plans import NETS
from .measure.tasks import PARTS, Rows, Task, measure, tasks

__all__ = ["HELP", "add_arguments", "run"]

HELP = "measure cells, clocks and speeds: docs/performance.md"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the networks, the parts, the time limit, the document and the work folder."""
    add_study(parser, "docs/performance.md", "build/bench")
    add = parser.add_argument
    add(
        "nets",
        metavar="NET",
        nargs="*",
        help=f"measure only these; rows of others do not change (default: {' '.join(NETS)})",
    )
    add("--part", nargs="+", choices=PARTS, default=PARTS, help="measure only these (default: all)")
    add(
        "--minutes",
        type=positive,
        metavar="N",
        help="start no row after N minutes; the document lists missing rows (default: no limit)",
    )


def run(args: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Measure the rows that are not stored yet, then write the document."""
    unknown = sorted(set(args.nets) - set(NETS))
    if unknown:
        raise UserError(
            f"The bench knows no network {unknown[0]!r}; it measures the shipped ones: "
            f"{', '.join(NETS)}"
        )
    prepare(args.output)
    with output_folder(args.work, "--work"):
        rows = _measured(args)
    write(args.output, markdown(rows))
    missing = sum("reason" in row for row in rows.values())
    console().print(
        f"{len(rows) - missing} rows measured, {missing} not, with the reasons -> {args.output}",
        soft_wrap=True,
    )
    return {" ".join(key): row for key, row in rows.items()}, True


def _measured(args: argparse.Namespace) -> Rows:
    """All rows; shows a progress bar meanwhile."""
    refusal = _refusal(args)
    store, rows, wanted = Store(args.work), Rows(), tasks()
    with Progress(console=console(), transient=True) as progress:
        bar = progress.add_task("", total=len(wanted))
        for task in wanted:
            progress.update(bar, description=" ".join(task.key))
            store.refusal = refusal(task)
            rows[task.key] = measure(task, rows, store)
            progress.advance(bar)
    return rows


def _refusal(args: argparse.Namespace) -> Callable[[Task], str | None]:
    """A function that returns why a row must not be measured, or None."""
    end = None if args.minutes is None else time.monotonic() + 60 * args.minutes

    def refusal(task: Task) -> str | None:
        if task.part not in args.part or (args.nets and task.net not in args.nets):
            return "left out of this run"
        if end is not None and time.monotonic() > end:
            return f"the {args.minutes} minutes given were over"
        return None

    return refusal

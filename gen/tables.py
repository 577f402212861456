"""How the commands print: tables without frames, as wide as they need."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

__all__ = ["console", "table"]

PIPED_WIDTH = 160  # columns where the output is no terminal


def console() -> Console:
    """A console as wide as the terminal; a file or a pipe takes ``PIPED_WIDTH`` columns."""
    return Console(width=None if sys.stdout.isatty() else PIPED_WIDTH, highlight=False)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A table; columns whose heading ends in ``>`` are numbers and stand to the right."""
    result = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        right = column.endswith(">")
        result.add_column(column.rstrip(">"), justify="right" if right else "left", no_wrap=True)
    for row in rows:
        result.add_row(*map(str, row))
    return result

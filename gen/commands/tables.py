"""The tables that commands print: without frames, and never wrapped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

__all__ = ["table"]


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A table; a column whose heading ends in ``>`` is aligned to the right, for numbers."""
    result = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        right = column.endswith(">")
        result.add_column(column.rstrip(">"), justify="right" if right else "left", no_wrap=True)
    for row in rows:
        result.add_row(*map(str, row))
    return result

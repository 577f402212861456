"""The console of the commands, safe for any output encoding and any text."""

from __future__ import annotations

import codecs
import io
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["console", "encodable", "print_table", "progress", "table", "width_of"]

PIPED_WIDTH = 160  # columns if the output is no terminal
BRAILLE = range(0x2800, 0x2900)

# Replacements for characters that the output's encoding lacks; all others become question marks.
ASCII = dict(zip("█▒░●│└─…µ→", "#+.*|+-~u>", strict=True))


def console(*, stderr: bool = False) -> Console:
    """A console as wide as the terminal; for a file or a pipe, ``PIPED_WIDTH`` columns.

    Text is printed unchanged, even if a name or path has brackets or colons; in a notebook too.
    """
    from rich.console import Console

    piped = not (sys.stderr if stderr else sys.stdout).isatty()
    wide = PIPED_WIDTH if piped else None
    return Console(
        stderr=stderr,
        width=wide,
        highlight=False,
        markup=False,
        emoji=False,
        force_jupyter=False,  # else each line is HTML, and progress bars need ipywidgets
        force_terminal=False if piped else None,  # even with FORCE_COLOR, which notebooks set
    )


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, removed at its end; yields a function that takes how many are done.

    There is no bar if stderr is no terminal.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    out = console(stderr=True)
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A table without frames, whose cells are never wrapped.

    A column whose heading ends in ``>`` is aligned to the right, for numbers.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    made = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        right = column.endswith(">")
        made.add_column(column.rstrip(">"), justify="right" if right else "left", no_wrap=True)
    for row in rows:
        made.add_row(*map(str, row))
    return made


def width_of(out: Console, shown: Table) -> int:
    """The columns that a table takes on a console that is wide enough."""
    from rich.measure import Measurement

    return Measurement.get(out, out.options.update(max_width=10_000), shown).maximum


def print_table(
    out: Console, title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]
) -> None:
    """Print a table, in parts below each other if it is wider than the terminal.

    Each part begins with the first column. A single column that is wider still is not cut.
    """
    cells = [list(row) for row in rows]
    left = list(range(1, len(columns)))
    while True:
        for count in range(len(left), 0, -1):
            chosen = [0, *left[:count]]
            part = table(
                title, [columns[at] for at in chosen], [[row[at] for at in chosen] for row in cells]
            )
            if count == 1 or width_of(out, part) <= out.width:
                break
        width, out.width = out.width, max(out.width, width_of(out, part))
        out.print(part)
        out.width = width
        left = left[count:]
        if not left:
            return
        title = ""


def encodable() -> None:
    """Let stdout accept every character; ASCII replaces each one that it cannot encode."""
    codecs.register_error("tercet", _in_ascii)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="tercet")


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    shown = (ASCII.get(char, "." if ord(char) in BRAILLE else "?") for char in lacking)
    return "".join(shown), error.end

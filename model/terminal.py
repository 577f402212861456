"""The console of the commands, safe for any output encoding and any text."""

from __future__ import annotations

import codecs
import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["console", "encodable", "progress"]

PIPED_WIDTH = 160  # columns if the output is no terminal
BRAILLE = range(0x2800, 0x2900)

# Replacements for characters that the output's encoding lacks; all others become question marks.
ASCII = dict(zip("█▒░●│└─…µ→", "#+.*|+-~u>", strict=True))


def console(*, stderr: bool = False, width: int = 0) -> Console:
    """A console as wide as the terminal; for a file or a pipe, ``PIPED_WIDTH`` columns.

    Text is printed unchanged, even if a name or path has brackets or colons.

    width : the fewest columns
    """
    from rich.console import Console

    piped = not (sys.stderr if stderr else sys.stdout).isatty()
    wide = PIPED_WIDTH if piped else None
    made = Console(stderr=stderr, width=wide, highlight=False, markup=False, emoji=False)
    made.width = max(made.width, width)
    return made


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

"""What commands print to: any encoding, any text."""

from __future__ import annotations

import codecs
import io
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["console", "encodable"]

PIPED_WIDTH = 160  # columns where the output is no terminal
BRAILLE = range(0x2800, 0x2900)

# What stands for a character that the output's encoding lacks; for any other a question mark.
ASCII = dict(zip("█▒░●│└─…µ→", "#+.*|+-~u>", strict=True))


def console(*, stderr: bool = False, width: int = 0) -> Console:
    """A console as wide as the terminal; a file or a pipe takes ``PIPED_WIDTH`` columns.

    Text is printed as it is, whatever brackets and colons a name or a path has.

    width : the fewest columns
    """
    from rich.console import Console

    piped = not (sys.stderr if stderr else sys.stdout).isatty()
    wide = PIPED_WIDTH if piped else None
    made = Console(stderr=stderr, width=wide, highlight=False, markup=False, emoji=False)
    made.width = max(made.width, width)
    return made


def encodable() -> None:
    """Let stdout take every character, with one of ASCII in place of each that it cannot encode."""
    codecs.register_error("tercet", _in_ascii)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="tercet")


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    shown = (ASCII.get(char, "." if ord(char) in BRAILLE else "?") for char in lacking)
    return "".join(shown), error.end

"""The document of a study: a template, tables and notes in Markdown."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import TextWrapper

from ..errors import UserError
from ..files import write_all

__all__ = ["add_study", "filled", "number", "prepare", "reasons", "table", "write"]

FILLER = TextWrapper(100, break_long_words=False, break_on_hyphens=False)


def add_study(parser: argparse.ArgumentParser, document: str, work: str) -> None:
    """Add the document and the folder of rows of a study."""
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path(document),
        metavar="FILE",
        help="the document (default: %(default)s)",
    )
    parser.add_argument(
        "--work",
        type=Path,
        default=Path(work),
        metavar="DIR",
        help="folder of measured rows; a row is measured again only if an input of it changes, "
        "so an interrupted run resumes (default: %(default)s)",
    )


def prepare(document: Path) -> None:
    """Make the folder of a document, before the work. Raises UserError if that fails."""
    with _naming(document):
        document.parent.mkdir(parents=True, exist_ok=True)


def write(document: Path, text: str, beside: Mapping[Path, str] | None = None) -> None:
    """Write a document, and files beside it. Raises UserError if that fails."""
    with _naming(document):
        write_all({document: text, **(beside or {})})


@contextmanager
def _naming(document: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"The document {document} cannot be written: {error.strerror}") from None


def filled(template: Path, **values: str) -> str:
    """A template with each ``{name}`` replaced by a value.

    Blank lines divide a template into blocks. A block that is only a name is left out if its value
    is empty. A paragraph with a name in it is wrapped again.
    """
    blocks = []
    for block in template.read_text(encoding="utf-8").strip().split("\n\n"):
        text = block.format(**values).strip("\n")
        if "{" in block and not re.match(r"\{\w+\}$|[-#| ]", block):
            text = FILLER.fill(" ".join(text.split()))
        blocks.append(text)
    return "\n\n".join(filter(None, blocks)) + "\n"


def table(columns: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    """A table; if it has no lines, a sentence that says so.

    A column whose heading ends in ``>`` is aligned to the right.
    """
    body = [f"| {' | '.join(map(str, line))} |\n" for line in lines]
    if not body:
        return "Nothing was measured.\n"
    rule = " | ".join("---:" if column.endswith(">") else "---" for column in columns)
    heading = " | ".join(column.removesuffix(">") for column in columns)
    return f"| {heading} |\n| {rule} |\n{''.join(body)}"


def number(value: float | None) -> str:
    """A rounded number with thousands separators; a dash for None."""
    return "-" if value is None else f"{value:,.0f}"


def reasons(
    rows: Iterable[tuple[str, str, str]], whole: int = 0, heading: str = "Not measured"
) -> str:
    """A list of reasons, after ``heading``; rows with the same reason share a line.

    rows : (name, detail or "", reason)
    whole : the number of details that a name can have; if all share a reason, none is listed
    """
    together: dict[str, dict[str, list[str]]] = {}
    for name, detail, why in rows:
        together.setdefault(why, {}).setdefault(name, []).append(detail)
    notes = [
        f"- {'; '.join(_row(name, details, whole) for name, details in names.items())}: {why}\n"
        for why, names in together.items()
    ]
    return f"\n{heading}:\n\n" + "".join(notes) if notes else ""


def _row(name: str, details: Sequence[str], whole: int) -> str:
    shown = "" if len(details) == whole else ", ".join(filter(None, details))
    return f"{name} ({shown})" if shown else name

"""Tables and notes in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import TextWrapper

__all__ = ["number", "paragraphs", "reasons", "table"]

WIDTH = 100  # characters per line of paragraphs


def table(columns: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table; if it has no lines, a sentence that says so."""
    body = [f"| {' | '.join(line)} |\n" for line in lines]
    if not body:
        return "Nothing was measured.\n"
    rule = "| --- " * len(columns) + "|\n"
    return f"| {' | '.join(columns)} |\n{rule}{''.join(body)}"


def paragraphs(text: str) -> str:
    """Text with each paragraph wrapped again; headings do not change."""
    filler = TextWrapper(WIDTH, break_long_words=False, break_on_hyphens=False)
    filled = [
        block if block.startswith("#") else filler.fill(" ".join(block.split()))
        for block in text.strip().split("\n\n")
    ]
    return "\n\n".join(filled) + "\n"


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

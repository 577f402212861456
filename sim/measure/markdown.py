"""Tables and notes in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import TextWrapper

__all__ = ["number", "paragraphs", "reasons", "table"]

WIDTH = 100  # columns of running text


def table(columns: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table; nothing where it has no lines."""
    body = [f"| {' | '.join(line)} |\n" for line in lines]
    if not body:
        return "Nothing was measured.\n"
    rule = "| --- " * len(columns) + "|\n"
    return f"| {' | '.join(columns)} |\n{rule}{''.join(body)}"


def paragraphs(text: str) -> str:
    """Text with each paragraph filled anew; headings stay as they are."""
    filler = TextWrapper(WIDTH, break_long_words=False, break_on_hyphens=False)
    filled = [
        block if block.startswith("#") else filler.fill(" ".join(block.split()))
        for block in text.strip().split("\n\n")
    ]
    return "\n\n".join(filled) + "\n"


def number(value: float | None) -> str:
    """A count or a rounded figure with thousands apart; a dash where there is none."""
    return "-" if value is None else f"{value:,.0f}"


def reasons(
    rows: Iterable[tuple[str, str, str]], whole: int = 0, heading: str = "Not measured"
) -> str:
    """A list of why rows are empty, or what ``heading`` says, rows of the same reason together.

    rows : (name, detail or "", why)
    whole : details of a name that are all of them, and need no list
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

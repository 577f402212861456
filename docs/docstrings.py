"""The docstrings of tercet as Markdown, for the reference of the documentation site.

Docstrings state names without types, since the signatures have the types: lines ``name : meaning``,
in a section ``Parameters`` or alone, become a list. Examples become code, and a role such as
:class:`Line` too.
"""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension

TITLE = re.compile(r"^Parameters\n-+\n", re.MULTILINE)
NAMED = re.compile(r"^([\w*][\w*, ]*) : ")
ROLE = re.compile(r":\w+:(`[^`]+`)")


def markdown(text: str) -> str:
    """A docstring as Markdown."""
    text = ROLE.sub(r"\1", TITLE.sub("**Parameters**\n\n", text))
    return "\n\n".join(map(_paragraph, text.split("\n\n")))


def _paragraph(text: str) -> str:
    lines = text.splitlines()
    if lines and lines[0].startswith(">>> "):
        return "\n".join(["```pycon", *lines, "```"])
    if lines and all(NAMED.match(line) or line[:1].isspace() for line in lines):
        return "\n".join(NAMED.sub(_item, line) for line in lines)
    return text


def _item(named: re.Match[str]) -> str:
    return f"- {', '.join(f'`{name}`' for name in named[1].split(', '))}: "


class Docstrings(Extension):
    """Rewrites every docstring that the site reads."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = markdown(obj.docstring.value)

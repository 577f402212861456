"""Readable Verilog text, from the text that Yosys writes.

Yosys's ``autoname`` names a wire without a name in Python by its path to a named wire, through
cells and their ports: ``\\index_$sdffe_Q_EN`` is the enable of the register ``index``. It becomes
``index_enable`` here. Repeated bits become replications. The comment of each module, an attribute
in Yosys's text, is written above the module.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from textwrap import fill, indent

from ...model.names import distinct
from ..keywords import KEYWORDS

__all__ = ["prose"]

MODULE = re.compile(r"^module (\w+)\(.*?^endmodule$", re.MULTILINE | re.DOTALL)
ESCAPED = re.compile(r"\\(\S+) ")
READ = re.compile(r"\b_(\d+)_\b")  # the register at a memory's output
DECLARED = re.compile(
    r"^ +(?:input|output|wire|reg)\b[^;=]*?([A-Za-z_]\w*)(?: \[\d+:0\])?(?: = .*)?;", re.MULTILINE
)
INSTANCE = re.compile(r"^  \w+ (\w+) \($", re.MULTILINE)
STEP = re.compile(
    r"_\$(?P<cell>[a-z_]+?)(?:_v2)?_(?P<by>[A-Z_]+?)(?:_(?P<number>\d+))?(?:_(?P<to>[A-Z]+))?"
    r"(?=_\d|_\$|$)"
)
PORTS = {  # of a register or a multiplexer, by their function
    ("dff", "D"): "next",
    ("dff", "EN"): "enable",
    ("dff", "SRST"): "reset",
    ("dff", "Q"): "register",
    ("mux", "S"): "if",
    ("mux", "A"): "else",
    ("mux", "B"): "then",
}
REPEATED = re.compile(r"\{ ([^{}]+) \}")
ATTRIBUTES = re.compile(r"^ *\(\* (?:init|generator|top) = .* \*\)\n", re.MULTILINE)
COMMENT = re.compile(r'^\(\* comment = "(.*)" \*\)$', re.MULTILINE)


def prose(verilog: str) -> str:
    """Rewrite Verilog with plain names, and with a comment above each module."""
    text = MODULE.sub(lambda match: _named(match[0]), ATTRIBUTES.sub("", verilog))
    text = REPEATED.sub(lambda match: "{ " + ", ".join(_runs(match[1].split(", "))) + " }", text)
    return COMMENT.sub(lambda match: indent(fill(match[1], 97), "// "), text)


def _named(module: str) -> str:
    """The text of a module with plain names instead of escaped ones."""
    escaped = dict.fromkeys(ESCAPED.findall(module))
    taken = {*DECLARED.findall(module), *INSTANCE.findall(module), *KEYWORDS}
    read = dict.fromkeys(READ.findall(module))
    wanted = [*((name, _plain(name)) for name in escaped), *((number, "read") for number in read)]
    names = distinct(wanted, taken)
    module = ESCAPED.sub(lambda match: names[match[1]], module)
    return READ.sub(lambda match: names[match[1]], module)


def _plain(name: str) -> str:
    return re.sub(r"\W+", "_", STEP.sub(_word, name)).strip("_")


def _word(step: re.Match[str]) -> str:
    """A word for one step of a path, through a cell to one of its ports."""
    cell = step["cell"].removeprefix("reduce_").removeprefix("logic_")
    kind = "dff" if "dff" in cell else "mux" if "mux" in cell else cell
    to = step["to"] or step["by"]
    number = f"_{step['number']}" if step["number"] else ""
    if to == "Y":
        return f"_{cell}{number}"
    return f"_{PORTS.get((kind, to), to.lower())}{number}"


def _runs(items: list[str]) -> Iterator[str]:
    """The items of a concatenation; three or more equal items in a row become a replication."""
    start = 0
    for end in range(1, len(items) + 1):
        if end == len(items) or items[end] != items[start]:
            count = end - start
            yield from [f"{{{count}{{{items[start]}}}}}"] if count > 2 else items[start:end]
            start = end

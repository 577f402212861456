"""Formulas, tables and drawings of a Markdown page, so that tests can hold them to the code."""

import ast
import re
from functools import lru_cache

ALLOWED = (
    *(ast.Expression, ast.Constant, ast.Name, ast.Load, ast.Call, ast.IfExp),
    *(ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Pow),
    *(ast.Compare, ast.LtE, ast.Lt, ast.Gt, ast.Eq, ast.BoolOp, ast.And),
)
FUNCTIONS = {"max": max, "min": min, "round": round}


def evaluated(expression, names):
    """The value of simple arithmetic: names, integers, and the operators and functions above."""
    return eval(_compiled(expression), {"__builtins__": FUNCTIONS}, names)


@lru_cache
def _compiled(expression):
    tree = ast.parse(expression, mode="eval")
    for node in ast.walk(tree):
        if not isinstance(node, ALLOWED):
            raise ValueError(f"{expression} is no simple arithmetic: {ast.dump(node)}")
    return compile(tree, "page", "eval")


def sections(text):
    """{title: text} of a page's second and third level headings, in order."""
    _, *parts = re.split(r"^###? (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def formulas(section):
    """[(name, expression)] of the Python blocks of a section, in order."""
    blocks = re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).splitlines()
    return [(name, expression) for name, expression in (line.split(" = ", 1) for line in lines)]


def tables(section):
    """The tables of a section, each a list of rows, each a list of cells; rulers left out."""
    blocks = re.findall(r"(?:^\|.*\|\n)+", section, re.MULTILINE)
    rows = [[line.strip("|\n") for line in block.splitlines()] for block in blocks]
    return [
        [[cell.strip() for cell in row.split("|")] for row in table if not set(row) <= set("|- ")]
        for table in rows
    ]


def code(cell):
    """What stands in backticks in a cell, in order."""
    return re.findall(r"`([^`]+)`", cell)

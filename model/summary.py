"""Networks and plans as short text and as HTML tables, for interactive use and notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from .layers import Runnable
from .layers.conv import Conv2d

__all__ = ["COLUMNS", "html_table", "rows_of", "short", "text_table"]

COLUMNS = ("layer", "kind", "output>", "type", "weights>")


def short(name: str, network: Runnable) -> str:
    """A network in one line: its name and sizes, and what goes in and out."""
    x, y = network.tensors[network.input], network.tensors[network.output]
    weights = sum(
        layer.weights.values.size for layer in network.layers if isinstance(layer, Conv2d)
    )
    return (
        f"QNetwork({name!r}: {len(network.layers)} layers, {weights:,} weights, "
        f"{_by(x.shape)} {x.dtype} -> {_by(y.shape)} {y.dtype})"
    )


def rows_of(network: Runnable) -> list[list[str]]:
    """The cells below COLUMNS, a row for the input and for each layer."""
    x = network.tensors[network.input]
    rows = [[network.input, "input", _by(x.shape), str(x.dtype), ""]]
    for layer in network.layers:
        y = network.tensors[layer.output]
        weights = f"{layer.weights.values.size:,}" if isinstance(layer, Conv2d) else ""
        rows.append([layer.name, layer.kind, _by(y.shape), str(y.dtype), weights])
    return rows


def text_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table as lines; a column whose heading ends in ``>`` is aligned to the right."""
    cells = [[column.rstrip(">") for column in columns], *([*map(str, row)] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    right = [column.endswith(">") for column in columns]
    lines = [
        "  ".join(
            cell.rjust(width) if numbers else cell.ljust(width)
            for cell, width, numbers in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in cells
    ]
    return "\n".join([title, lines[0], "-" * max(map(len, lines)), *lines[1:]])


def html_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in HTML, for ``_repr_html_``; the headings are as in ``text_table``."""
    styles = [
        ' style="text-align: right"' if column.endswith(">") else ' style="text-align: left"'
        for column in columns
    ]

    def line(tag: str, cells: Iterable[object]) -> str:
        made = zip(styles, cells, strict=True)
        return "".join(f"<{tag}{style}>{escape(str(cell))}</{tag}>" for style, cell in made)

    body = "".join(f"<tr>{line('td', row)}</tr>" for row in rows)
    head = line("th", (column.rstrip(">") for column in columns))
    return (
        f"<table><caption>{escape(title)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table>"
    )


def _by(shape: Iterable[int]) -> str:
    return " x ".join(map(str, shape))

"""The results of the accuracy cells as Markdown and as a picture (SVG)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..studies.document import filled, table
from .accuracy_cells import Cell

__all__ = ["markdown", "svg"]

Facts = Mapping[str, Any]
Made = Sequence[tuple[Cell, Facts]]

# (description, networks, bits, command, the most points that may be lost)
FIVE = ("mnist_cnn", "mnist_cnn_bn", "lenet_avg", "lenet_max", "mobilenet")
TARGETS = (
    ("8 bits after training: at most 0.2 points lost", FIVE, 8, "quantize", 0.2),
    ("8 bits in training: at most 0.1 points lost", FIVE, 8, "qat", 0.1),
    ("8 bits in training: at most 0.1 points lost", ("plain", "separable"), 8, "qat", 0.1),
    ("4 bits in training: at most 1 point lost", ("lenet_avg", "lenet_max"), 4, "qat", 1.0),
)

TEMPLATE = Path(__file__).with_name("accuracy.md")


def lost(facts: Facts) -> float:
    """Percentage points lost against the float network; negative if points were gained."""
    return 100 * float(facts["float_accuracy"] - facts["int_accuracy"])


def markdown(made: Made, picture: str) -> str:
    """The document; ``picture`` is the path of the SVG from there."""
    images = sorted({facts["images"] for _, facts in made})
    return filled(
        TEMPLATE,
        images=" or ".join(f"{count:,}" for count in images),
        figures=_figures(made),
        picture=picture,
        targets=_targets(made),
        commands=_commands(made),
    )


def _figures(made: Made) -> str:
    widths = sorted({cell.bits for cell, _ in made}, reverse=True)
    by_place = {(cell.net, cell.bits, cell.method): facts for cell, facts in made}
    lines = []
    for net in dict.fromkeys(cell.net for cell, _ in made):
        row = [by_place[net, bits, method] for bits in widths for method in ("quantize", "qat")]
        # adding 0.0 turns a gain of -0.0 into 0.0
        shown = [
            f"{100 * facts['int_accuracy']:.2f} ({round(-lost(facts), 2) + 0.0:+.2f})"
            for facts in row
        ]
        lines.append([f"`{net}`", f"{100 * row[0]['float_accuracy']:.2f}", *shown])
    titles = [f"{bits} bits, {name}>" for bits in widths for name in ("PTQ", "QAT")]
    return table(["network", "float>", *titles], lines)


def _targets(made: Made) -> str:
    lines = []
    for what, nets, bits, method, most in TARGETS:
        for cell, facts in made:
            if (cell.net in nets, cell.bits, cell.method) == (True, bits, method):
                # accuracies are multiples of 1/images; the margin covers float rounding errors
                met = "yes" if lost(facts) <= most + 1e-9 else "no"
                lines.append([what, f"`{cell.net}`", f"{lost(facts):.2f}", met])
    return table(["target", "network", "lost, points>", "met"], lines)


def _commands(made: Made) -> str:
    lines = []
    for cell, facts in made:
        epoch = f"{facts['epoch']} of {facts['recipe']['epochs']}" if "epoch" in facts else ""
        chosen = facts.get("validation_accuracy")
        validation = "" if chosen is None else f"{100 * chosen:.2f}"
        lines.append([f"`{cell.command}`", epoch, validation, f"{100 * facts['int_accuracy']:.2f}"])
    return table(["command", "best epoch>", "validation, %>", "test, %>"], lines)


ROW, LEFT, WIDE, HEAD = 26, 190, 520, 52  # pixels
LIMIT = 4.0  # points at the right end; greater losses are drawn there, with their number
COLOURS = {8: "#1b7f79", 7: "#3f6fb5", 4: "#c2571a"}


def svg(made: Made) -> str:
    """The picture of points lost, a row for each network and width: a ring is PTQ, a disc QAT."""
    rows = list(dict.fromkeys((cell.net, cell.bits) for cell, _ in made))
    height = HEAD + ROW * len(rows) + 30
    by_place = {(cell.net, cell.bits, cell.method): lost(facts) for cell, facts in made}
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDE + 80} {height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{LEFT + WIDE + 80}" height="{height}" fill="white"/>',
        '<text x="10" y="20" font-size="13">Points lost against the float network; '
        "ring: after training (PTQ), disc: in training (QAT)</text>",
    ]
    for tick in (-0.5, 0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, LIMIT):
        x = _x(tick)
        lines.append(f'<path d="M{x} {HEAD - 8}V{height - 22}" stroke="#ddd"/>')
        lines.append(f'<text x="{x}" y="{height - 8}" text-anchor="middle">{tick:g}</text>')
    for index, (net, bits) in enumerate(rows):
        y = HEAD + ROW * index + 6
        lines.append(f'<text x="10" y="{y + 4}">{net}</text>')
        lines.append(f'<text x="{LEFT - 26}" y="{y + 4}" text-anchor="end">{bits} bits</text>')
        for method, fill in (("quantize", "none"), ("qat", COLOURS.get(bits, "black"))):
            points = by_place[net, bits, method]
            lines.append(
                f'<circle cx="{_x(points)}" cy="{y}" r="5" fill="{fill}" stroke-width="2" '
                f'stroke="{COLOURS.get(bits, "black")}"/>'
            )
        beyond = [by_place[net, bits, method] for method in ("quantize", "qat")]
        shown = ", ".join(f"{points:.2f}" for points in beyond if points > LIMIT)
        lines.append(f'<text x="{_x(LIMIT) + 12}" y="{y + 4}">{shown}</text>')
    return "\n".join([*lines, "</svg>", ""])


def _x(points: float) -> float:
    """The x coordinate of a loss; the axis ranges from -0.5 to LIMIT."""
    return round(LEFT + WIDE * (min(max(points, -0.5), LIMIT) + 0.5) / (LIMIT + 0.5), 1)

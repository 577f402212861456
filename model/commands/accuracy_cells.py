"""The cells of docs/accuracy.md: every network at several widths.

A cell of the table is a command, ``tercet quantize ...`` or ``tercet qat ...``, so each figure can
be reproduced by this command. The options were chosen on the validation images (``common.split``).
The test images are used for the measurement only.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..float.nets.nets import NETS, ZOO
from ..studies.rows import Facts, Store
from . import qat as command_qat
from . import quantize as command_quantize

__all__ = ["WIDTHS", "Cell", "cells", "facts_of"]

WIDTHS = (8, 7, 4)  # bits of weights and activations; pixels and scores have 8
COMMANDS = {"quantize": command_quantize, "qat": command_qat}

# The options of each width; the options of ``qat`` that depend on the network follow.
WIDTH_OPTIONS = {
    8: "",
    7: "--bits-w 7 --bits-a 7",
    4: "--bits-w 4 --bits-a 4 --per-channel --observer mse --observer-w mse",
}


# The options of ``qat`` in addition to those of the width. At 4 bits the steps are learned,
# starting from ranges of least squared error. The reason is the best validation accuracy in three
# epochs at rate 1e-3, in percent, with observed ranges (minmax), with steps learned from these, and
# with steps learned from ``mse``: plain 91.3, 91.9, 92.5; separable 76.4, 77.5, 78.3; lenet_avg
# 98.9, 99.0, 98.9.
BRIEF, LONGER = "--epochs 2 --rate 1e-4", "--epochs 6 --rate 3e-4 --distillation 1"
TINY = "--learned-steps --epochs 12 --rate 2e-3 --distillation 1"
QAT = {
    "plain": {8: LONGER, 7: LONGER, 4: TINY},
    "separable": {8: "--epochs 30 --rate 1e-3 --distillation 1", 7: LONGER, 4: TINY},
    "mnist_cnn": {8: BRIEF, 7: BRIEF, 4: "--learned-steps --epochs 4 --rate 3e-4"},
    "mnist_cnn_bn": {8: BRIEF, 7: BRIEF, 4: "--learned-steps --epochs 4 --rate 3e-4"},
    "lenet_avg": {8: BRIEF, 7: BRIEF, 4: "--learned-steps --epochs 4 --rate 1e-3"},
    "lenet_max": {8: BRIEF, 7: BRIEF, 4: "--learned-steps --epochs 4 --rate 3e-4"},
    "mobilenet": {
        **dict.fromkeys((8, 7), "--epochs 1 --rate 1e-4 --freeze 0"),
        4: "--learned-steps --epochs 2 --rate 3e-4 --freeze 0",
    },
}


@dataclass(frozen=True)
class Cell:
    """One figure: a network, a width, and the command that makes it."""

    net: str
    bits: int
    words: tuple[str, ...]  # of the command line, without ``tercet`` and ``-o``

    @property
    def method(self) -> str:
        """quantize or qat."""
        return self.words[0]

    @property
    def command(self) -> str:
        """The command line."""
        return f"tercet {' '.join(self.words)}"

    @property
    def key(self) -> str:
        """A hash of the inputs of the figure: the command and the checkpoint's bytes."""
        content = (ZOO / f"{self.net}.npz").read_bytes()
        return hashlib.sha256(f"{self.words}".encode() + content).hexdigest()


def cells(nets: Iterable[str] = NETS, widths: Iterable[int] = WIDTHS) -> list[Cell]:
    """All cells of these networks at these widths, network by network."""
    made = []
    for net in nets:
        for bits in widths:
            common = WIDTH_OPTIONS[bits].split()
            made.append(Cell(net, bits, ("quantize", net, *common)))
            made.append(Cell(net, bits, ("qat", net, *common, *QAT[net][bits].split())))
    return made


def facts_of(cell: Cell, store: Store) -> Facts:
    """The result of a cell's command, kept in ``store``."""
    name = f"{cell.net}-{cell.bits}-{cell.method}"
    output = store.folder / f"{name}.json"
    return store.kept(f"{name}.facts.json", cell.key, lambda: _run(cell, output))


def _run(cell: Cell, output: Path) -> Facts:
    command = COMMANDS[cell.method]
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    args = parser.parse_args([*cell.words[1:], "-o", str(output)])
    with contextlib.redirect_stdout(io.StringIO()):  # the table of each layer
        facts, _ = command.run(args)
    return {**facts, "command": cell.command, "bits": cell.bits}

"""Yosys, from its wheel, in a process of its own: an internal error there stays there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from ...model.errors import UserError

__all__ = ["FlowError", "run_yosys", "tail"]

PROGRAM = """
import sys
from pyosys import libyosys
design = libyosys.Design()
for command in sys.argv[1:]:
    libyosys.run_pass(command, design)
"""


class FlowError(UserError, RuntimeError):
    """A tool of the flow failed; the message holds its name and the end of its log."""


def run_yosys(commands: Sequence[str]) -> str:
    """Run Yosys commands on one design.

    Returns the log. Raises FlowError where a command fails.
    """
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, *commands],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise FlowError(f"Yosys failed with exit code {result.returncode}: {tail(result.stdout)}")
    return result.stdout


def tail(log: str) -> str:
    """The last lines of a log as one."""
    return " | ".join(log.strip().splitlines()[-3:])

"""Yosys, from its wheel, in a process of its own: an internal error there stays there."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ...model import processes
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


def run_yosys(commands: Sequence[str], folder: Path) -> str:
    """Run Yosys commands on one design.

    folder : where the commands' files are, so that no path with blanks stands in a command, and
        where Yosys and ABC have their temporary files

    Returns the log. Raises FlowError where a command fails.
    """
    command = [sys.executable, "-c", PROGRAM, *commands]
    env = {**os.environ, "TMPDIR": os.path.realpath(folder)}
    result = processes.run(command, cwd=folder, env=env)
    if result.returncode != 0:
        raise FlowError(f"Yosys failed with exit code {result.returncode}: {tail(result.stdout)}")
    return result.stdout


def tail(log: str) -> str:
    """The last lines of a log as one."""
    return " | ".join(log.strip().splitlines()[-3:])

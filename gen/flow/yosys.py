"""Yosys, from its wheel, in a separate process: a crash of Yosys does not end tercet."""

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
    """A tool of the flow failed; the message has its name and the end of its log."""


def run_yosys(commands: Sequence[str], folder: Path) -> str:
    """Run Yosys commands on one design.

    folder : the working folder. The commands' files are in it, so that no command has a path with
        blanks; Yosys and ABC have their temporary files there too

    Returns the log. Raises FlowError if a command fails.
    """
    command = [sys.executable, "-c", PROGRAM, *commands]
    env = {**os.environ, "TMPDIR": os.path.realpath(folder)}
    result = processes.run(command, cwd=folder, env=env)
    if result.returncode != 0:
        raise FlowError(f"Yosys failed with exit code {result.returncode}: {tail(result.stdout)}")
    return result.stdout


def tail(log: str) -> str:
    """The last three lines of a log, joined to one."""
    return " | ".join(log.strip().splitlines()[-3:])

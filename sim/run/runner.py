"""Run cocotb tests on a compiled design, without output.

The environment is that of cocotb's own flow. Source: cocotb 2.1 documentation, Custom Flows.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

import cocotb.simulator

from ...model import processes
from .compile import Compiled
from .simulators import SimulatorError, libpython, linked, require_simulator, tail

__all__ = ["run_tests"]

RUN_ENVIRONMENT = {
    # Inputs are written only when nothing else happens, so writes may take effect immediately.
    "COCOTB_TRUST_INERTIAL_WRITES": "1",
    "COCOTB_REWRITE_ASSERTION_FILES": "",  # else the simulation waits for pytest's import
    "COCOTB_ANSI_OUTPUT": "0",
    "TOPLEVEL_LANG": "verilog",
}


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
    """Run cocotb tests of ``module`` by their full names, such as ``frames/pauses=none``.

    Parameters
    ----------
    folder : for run.log and results.xml
    environment : additional variables for the simulation's environment
    watch : called about ten times a second during the run, from another thread

    Returns each test's failure, or None. Raises SimulatorError if the run ends without results.
    """
    require_simulator(compiled.simulator)
    log, results = folder / "run.log", (folder / "results.xml").resolve()
    results.unlink(missing_ok=True)
    asked = {
        "COCOTB_TOPLEVEL": compiled.top,
        "COCOTB_TEST_MODULES": module,
        "COCOTB_TEST_FILTER": _filter(module, tests),
        "COCOTB_RANDOM_SEED": str(seed),
        "COCOTB_RESULTS_FILE": str(results),
    }
    with linked() as links, _watching(watch):
        processes.run(
            _command(compiled, links),
            cwd=folder,
            env={**os.environ, **RUN_ENVIRONMENT, **_python(links), **asked, **environment},
            log=log,
        )  # failed tests set an exit code too, so only the results count
    if results.is_file():
        return _outcomes(results, tests)
    raise SimulatorError(f"{compiled.simulator} gave no results: {tail(log)} (all in {log})")


def _command(compiled: Compiled, links: Path) -> list[str | Path]:
    program = compiled.program.resolve()
    if compiled.simulator == "icarus":
        return ["vvp", "-m", links / "cocotb/libs/libcocotbvpi_icarus.so", program, "-none"]
    return [program]


def _python(links: Path) -> dict[str, str]:
    """The variables with the paths of cocotb's libraries, of this Python and of its packages."""
    entry = links / "cocotb" / Path(cocotb.simulator.__file__).name
    paths = [f"{links / 'cocotb/libs'}", os.environ.get("LD_LIBRARY_PATH", "")]
    return {
        "GPI_USERS": f"{links / 'libpython' / libpython().name};{entry},initialize",
        "LD_LIBRARY_PATH": os.pathsep.join(filter(None, paths)),
        "PYGPI_PYTHON_BIN": sys.executable,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if os.pathsep not in path),
    }


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
    """The failure of each test, or None; a test without a result counts as failed."""
    outcomes: dict[str, str | None] = {test: "it was not run" for test in tests}
    for case in ElementTree.parse(results).iter("testcase"):
        trouble = next(
            (case.find(tag) for tag in ("failure", "error") if case.find(tag) is not None), None
        )
        text = None if trouble is None else trouble.get("message") or trouble.text or "it failed"
        outcomes[case.get("name", "")] = text
    return outcomes

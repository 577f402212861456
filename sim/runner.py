"""Run cocotb tests over a compiled design, on ``cocotb_tools.runner``, quietly."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from xml.etree import ElementTree

from .compile import Compiled
from .simulators import SimulatorError, runner_of, simulator_environment, tail

__all__ = ["run_tests"]

RUN_ENVIRONMENT = {
    # Inputs are written only where nothing else happens, so the write may go straight through.
    "COCOTB_TRUST_INERTIAL_WRITES": "1",
    "COCOTB_REWRITE_ASSERTION_FILES": "",  # else the simulation waits for pytest's import
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
    runner = runner_of(compiled.simulator)
    quietly = suppress(RuntimeError, SystemExit)  # how failed tests end it; the results tell
    with simulator_environment(compiled.simulator), _watching(watch), quietly:
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
    raise SimulatorError(f"{compiled.simulator} gave no results: {tail(log)} (all in {log})")


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

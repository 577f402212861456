"""Place and route with nextpnr, from its WebAssembly wheels: the maximum clock of a core.

Notes on these wheels: the first start on a machine compiles for some seconds and stores the result
in the user's cache. A program in them sees a private folder as /tmp, so files are named relative to
the working folder.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from ...model import processes
from .pnr_report import Routed, read_report
from .yosys import FlowError, tail

__all__ = [
    "PNR_TARGETS",
    "SEEDS",
    "DoesNotFitError",
    "PnrTarget",
    "Timing",
    "pack",
    "place_and_route",
]

SEEDS = (1, 2, 3)


class DoesNotFitError(FlowError):
    """A core needs more cells of a kind than the device has; the message names the kind."""


@dataclass(frozen=True)
class PnrTarget:
    """A device for place and route.

    name : for messages and tables
    program : the end of the program's name, such as "ecp5" in "nextpnr-ecp5"
    options : the device, its package, and the treatment of the core's ports
    """

    name: str
    program: str
    options: tuple[str, ...]


# By the family of ``synth.TARGETS``. On ECP5 the core is placed out of context: its ports are not
# connected to pads, so neither number nor place of pads matters, and the clock has no buffer.
# nextpnr-ice40 has no such option; its ports go to pads that nextpnr chooses.
PNR_TARGETS = {
    "ecp5": PnrTarget(
        "ECP5-85F, speed grade 6",
        "ecp5",
        ("--85k", "--package", "CABGA756", "--speed", "6", "--out-of-context"),
    ),
    "ice40": PnrTarget(
        "iCE40 UP5K, sg48", "ice40", ("--up5k", "--package", "sg48", "--pcf-allow-unconstrained")
    ),
}


@dataclass(frozen=True)
class Timing:
    """A core on a device: one run for each seed, slowest first."""

    device: str
    runs: tuple[Routed, ...]

    @property
    def median(self) -> Routed:
        """The run with the median clock; of an even number of runs the slower of the middle two."""
        return self.runs[(len(self.runs) - 1) // 2]

    def facts(self) -> dict[str, Any]:
        """The median run, and the clock of each seed, as plain data."""
        by_seed = {str(run.seed): run.fmax_mhz for run in self.runs}
        return {"device": self.device, **self.median.facts(), "fmax_mhz_by_seed": by_seed}


def place_and_route(
    netlist: Path,
    target: str,
    seeds: Sequence[int] = SEEDS,
    done: Callable[[], object] = lambda: None,
) -> Timing:
    """Place and route a netlist, once for each seed, and read the reports.

    Parameters
    ----------
    netlist : written by ``synthesize(..., netlist=...)`` for the same target; the reports go to
        the same folder
    target : a family of ``PNR_TARGETS``
    done : called after each run

    Raises DoesNotFitError if the device has too few cells of a kind, FlowError if nextpnr fails
    for another reason, and ModuleNotFoundError if it is not installed.
    """
    device = PNR_TARGETS[target]
    runs = []
    for seed in seeds:
        runs.append(read_report(_report(netlist, device, seed), seed))
        done()
    return Timing(device.name, tuple(sorted(runs, key=lambda run: run.fmax_mhz)))


def pack(netlist: Path, target: str) -> dict[str, int]:
    """Cells of a netlist by kind, as nextpnr packs it, even if the device has fewer of them.

    Parameters and errors as for :func:`place_and_route`; nothing is placed.
    """
    device = PNR_TARGETS[target]
    options = [*device.options, "--pack-only"]
    result = _run(netlist, device, options)
    if result.returncode:
        raise _error(result.stdout, result.returncode, device, options)
    return {cell: used for cell, used, _ in _utilization(result.stdout)}


def _report(netlist: Path, device: PnrTarget, seed: int) -> dict[str, Any]:
    """Place and route once; return nextpnr's report."""
    options = [*device.options, "--seed", str(seed), "--timing-allow-fail"]
    report = netlist.with_suffix(f".seed{seed}.json")
    report.unlink(missing_ok=True)
    result = _run(netlist, device, [*options, "--report", report.name])
    if result.returncode == 0 and report.is_file():
        return dict(json.loads(report.read_text(encoding="utf-8")))
    raise _error(result.stdout, result.returncode, device, options)


def _run(netlist: Path, device: PnrTarget, options: Sequence[str]) -> CompletedProcess[str]:
    """Run nextpnr on a netlist, in its folder."""
    package = f"yowasp_nextpnr_{device.program}"
    import_module(package)  # raises an error with the wheel's name if it is missing
    start = f"run_nextpnr_{device.program}"
    program = f"import sys; from {package} import {start}; sys.exit({start}(sys.argv[1:]))"
    command = [sys.executable, "-c", program, *options, "--json", netlist.name]
    return processes.run(command, cwd=netlist.parent)


def _error(log: str, code: int, device: PnrTarget, options: Sequence[str]) -> FlowError:
    """The error of a failed run."""
    used = _utilization(log)
    over = [f"{n} {cell}, of which it has {most}" for cell, n, most in used if n > most]
    if over:
        return DoesNotFitError(f"The core does not fit {device.name}: it needs {'; '.join(over)}")
    command = " ".join((f"nextpnr-{device.program}", *options))
    return FlowError(f"{command} failed with exit code {code}: {tail(log)}")


def _utilization(log: str) -> list[tuple[str, int, int]]:
    """From a log, for each kind of cell: (kind, number in the core, number in the device)."""
    found = re.findall(r"^Info:\s+(\w+):\s*(\d+)/\s*(\d+)\s+\d+%$", log, re.MULTILINE)
    return [(cell, int(used), int(most)) for cell, used, most in found]

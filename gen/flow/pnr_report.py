"""The results of place and route, read from nextpnr's JSON report; the same for all devices.

Source: nextpnr, common/kernel/report.cc (``fmax``, ``utilization``, ``critical_paths``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from .yosys import FlowError

__all__ = ["CriticalPath", "Routed", "read_report"]

# An instance in the name of a cell: "conv1.engine" in "conv1.engine.s2_product0_TRELLIS_FF_Q_5".
INSTANCE = re.compile(r"[A-Za-z]\w*(?=\.)")


@dataclass(frozen=True)
class CriticalPath:
    """The slowest path from register to register.

    start, end : "cell.port"
    through : the instances of its cells, in order, by their paths from the top
    logic_ns, routing_ns : the delay in ns, of cells (including clock-to-output and setup) and wires
    """

    start: str
    end: str
    through: tuple[str, ...]
    logic_ns: float
    routing_ns: float

    def __str__(self) -> str:
        return (
            f"{self.start} to {self.end}, {self.logic_ns:.1f} ns of logic and "
            f"{self.routing_ns:.1f} ns of routing, through {', '.join(self.through)}"
        )


@dataclass(frozen=True)
class Routed:
    """One run of place and route.

    fmax_mhz : of the only clock, register to register; paths from and to pads do not count
    cells : the number of used cells, by the device's name for their kind
    """

    seed: int
    fmax_mhz: float
    cells: Mapping[str, int]
    path: CriticalPath

    def facts(self) -> dict[str, Any]:
        """The run as plain data."""
        return asdict(self)


def read_report(report: Mapping[str, Any], seed: int) -> Routed:
    """Read the JSON report of a core with one clock.

    Raises FlowError if it has no clock or more than one.
    """
    clocks = report["fmax"]
    if len(clocks) != 1:
        names = ", ".join(sorted(clocks)) or "none"
        raise FlowError(f"nextpnr must report one clock, not {len(clocks)} ({names})")
    (clock,) = clocks
    used = {name: int(cells["used"]) for name, cells in sorted(report["utilization"].items())}
    return Routed(
        seed=seed,
        fmax_mhz=clocks[clock]["achieved"],
        cells={name: count for name, count in used.items() if count},
        path=_path(report["critical_paths"], clock),
    )


def _path(paths: list[dict[str, Any]], clock: str) -> CriticalPath:
    """The slowest path from the clock to the same clock; other paths begin or end at pads."""
    own = [
        path["path"]
        for path in paths
        if path["from"].split()[-1] == clock == path["to"].split()[-1]
    ]
    steps = max(own, key=lambda steps: sum(step["delay"] for step in steps))
    places = [_instance(step[end]["cell"]) for step in steps for end in ("from", "to")]
    routing = sum(step["delay"] for step in steps if step["type"] == "routing")
    return CriticalPath(
        start=_pin(steps[0]["from"]),
        end=_pin(steps[-1]["to"]),
        through=tuple(place for place, _ in groupby(places)),
        logic_ns=round(sum(step["delay"] for step in steps) - routing, 3),
        routing_ns=round(routing, 3),
    )


def _pin(end: Mapping[str, str]) -> str:
    return f"{end['cell']}.{end['port']}"


def _instance(cell: str) -> str:
    """The path of the instance that contains a cell; "top" for cells of the top module."""
    names: list[str] = []
    while found := INSTANCE.match(cell):
        names.append(found[0])
        cell = cell[found.end() + 1 :]
    return ".".join(names) or "top"

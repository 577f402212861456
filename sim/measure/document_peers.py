"""The section of docs/performance.md on other generators."""

from __future__ import annotations

from collections.abc import Iterable

from ...model.studies.document import number, reasons, table
from ...model.studies.rows import Facts
from .peer_rows import NET, PEER_TARGETS
from .plans import PLANS
from .tasks import Rows

__all__ = ["peers_sections"]

FAMILY_NAMES = {"ecp5": "ECP5", "xilinx": "7-series"}


def peers_sections(rows: Rows, peers: Iterable[str]) -> dict[str, str]:
    """Cells and clocks of each peer's core of `plain`, beside our cores at every plan; by name."""
    names = list(peers)
    ours = [
        (
            f"tercet, {plan.title}",
            rows["emission", NET, key],
            {target: rows["cells", NET, key, target] for target in PEER_TARGETS},
        )
        for key, plan in PLANS.items()
    ]
    others = [
        (
            _title(peer, rows),
            rows["peers", peer],
            {target: rows["peers", peer, target] for target in PEER_TARGETS},
        )
        for peer in names
    ]
    every = ours + others
    columns = ["core", "cycles per image", "ROM bits", "target", "LUTs", "FFs", "DSPs"]
    columns += ["block RAMs", "LUT RAMs", "Fmax, MHz", "images/s", "images/s per LUT"]
    lines = [
        _line(name, core, target, cells[target])
        for target in PEER_TARGETS
        for name, core, cells in every
    ]
    return {
        "settings": _settings(rows, names),
        "peers": table(columns, lines) + reasons(_missing(every)),
        "peers_emission": _emission(every),
    }


def _title(peer: str, rows: Rows) -> str:
    return " ".join([peer, *filter(None, [rows["peers", peer].get("version")])])


def _line(name: str, core: Facts, target: str, cells: Facts) -> list[str]:
    kinds = ("luts", "flip_flops", "dsps", "block_rams", "lut_rams")
    fmax = cells.get("pnr", {}).get("fmax_mhz")
    rate = 1e6 * fmax / core["cycles_per_image"] if fmax else None
    return [
        name,
        number(core.get("cycles_per_image")),
        number(core.get("rom_bits")),
        FAMILY_NAMES[target],
        *(number(cells.get(kind)) for kind in kinds),
        "-" if fmax is None else f"{fmax:.1f}",
        number(rate),
        "-" if rate is None else f"{rate / cells['luts']:.1f}",
    ]


def _settings(rows: Rows, peers: Iterable[str]) -> str:
    """The settings of each peer, and whether its core is bit-exact."""
    text = ""
    for peer in peers:
        facts = rows["peers", peer]
        if "reason" in facts:
            continue
        text += (
            f"- {_title(peer, rows)}: {facts['settings']}. Its Verilog in Icarus, "
            f"{facts['images']} digits ({facts['digits']}): {facts['mismatches']} of "
            f"{facts['values_compared']} scores differ from the golden model's.\n"
        )
    return text


def _missing(every: list[tuple[str, Facts, dict[str, Facts]]]) -> Iterable[tuple[str, str, str]]:
    for name, _, cells in every:
        for target, row in cells.items():
            why = row.get("reason") or row.get("pnr", {}).get("does_not_fit")
            if why:
                yield name, FAMILY_NAMES[target], why


def _emission(every: list[tuple[str, Facts, dict[str, Facts]]]) -> str:
    """CPU time and memory of writing the Verilog; CPU time relative to our first plan."""
    measured = [(name, core) for name, core, _ in every if "reason" not in core]
    first = measured[0][1]["emission_cpu_s"] if measured else None
    sizes = [[number(core[name]) for name in ("peak_mib", "verilog_lines")] for _, core in measured]
    lines = [
        [name, f"{core['emission_cpu_s'] / first:.2f}", *size]
        for (name, core), size in zip(measured, sizes, strict=True)
    ]
    return table(["core", "CPU time relative to the first", "peak MiB", "lines of Verilog"], lines)

"""Write a core in a separate process, and measure the CPU time and the memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from ...gen.flow.yosys import FlowError, tail
from ...gen.verilog.build import write_core
from ...model import load, processes
from ...model.studies.rows import Facts, Store, fingerprint, sources
from .plans import PLANS, BenchPlan
from .stopwatch import Stopwatch

__all__ = ["core_facts"]

SOURCES = (
    *("model/*.py", "model/layers/*.py", "model/requant/*.py"),
    *("model/formats/*.py", "model/zoo/*.json", "hw/*.py", "gen/**/*.py"),
)
OF_MANIFEST = ("cycles_per_image", "latency_cycles", "multipliers", "rom_bits")


def core_facts(net: str, plan: BenchPlan, store: Store) -> Facts:
    """The facts of a core's plan, the cost of emission, and the path of the Verilog."""
    folder = store.folder / "cores" / f"{net}-{plan.key}"
    name = f"cores/{net}-{plan.key}/core.json"
    return store.kept(name, _key(net, plan), lambda: _emit(net, plan, folder))


def _key(net: str, plan: BenchPlan) -> str:
    """A hash of everything that a core's Verilog and the cost of writing it depend on."""
    tools = (metadata.version("amaranth"), metadata.version("pyosys"))
    return fingerprint(net, plan.key, str(plan.goal), *tools, sources(*SOURCES))


def _emit(net: str, plan: BenchPlan, folder: Path) -> Facts:
    command = [sys.executable, "-m", __spec__.name, net, plan.key, str(folder)]
    done = processes.run(command, merged=False)
    if done.returncode != 0:
        raise FlowError(f"Emission of {net} failed: {tail(done.stderr)}")
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    verilog = folder / "rtl" / f"{net}.v"
    return {
        **{name: manifest[name] for name in OF_MANIFEST},
        "requantizer_multipliers": sum(
            layer["requantizer_multipliers"] for layer in manifest["layers"]
        ),
        "verilog": str(verilog),
        "verilog_lines": verilog.read_text(encoding="utf-8").count("\n"),
        **json.loads(done.stdout),
    }


def main(words: Sequence[str]) -> dict[str, Any]:
    """NET PLAN FOLDER: write the core and return the cost; the time is without imports."""
    net, plan, folder = words
    network = load(net)
    watch = Stopwatch()
    write_core(network, Path(folder), PLANS[plan].goal)
    seconds, peak = watch.read()
    return {"emission_cpu_s": seconds, "peak_mib": peak}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1:])))

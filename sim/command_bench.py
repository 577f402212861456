"""`tercet bench`: how fast the golden model, the emission and the simulations are on this machine.

Only ratios within one run mean something: machines differ, and are shared.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt

from ..gen.build import write_core
from ..gen.tables import console, table
from ..model import QNetwork, load

__all__ = ["HELP", "add_arguments", "run"]

HELP = "measure the golden model beside PyTorch's int8 engine, emission and simulation"
NETWORKS = ("plain", "separable")
BATCH = 5000  # images of one timed call
ROUNDS = 7  # calls, of which the median counts
FEW, MANY = 5, 45  # images simulated; the difference leaves out the start


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The networks."""
    parser.add_argument(
        "nets", metavar="NET", nargs="*", default=NETWORKS, help="default: %(default)s"
    )


def run(args: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Measure each network and print a table of speeds and a table of ratios."""
    out = console()
    facts = {}
    for name in args.nets:
        with out.status(f"measuring {name}"):
            facts[name] = _measure(name)
    columns = ["network", "golden images/s>", "PyTorch int8 images/s>", "ratio>"]
    columns += ["emission CPU s>", "Icarus cycles/s>", "Verilator cycles/s>"]
    rows = (
        (
            name,
            f"{row['golden_images_per_s']:,.0f}",
            f"{row['torch_images_per_s']:,.0f}",
            f"{row['golden_over_torch']:.2f}",
            f"{row['emission_cpu_s']:.2f}",
            f"{row['icarus_cycles_per_s']:,.0f}",
            f"{row['verilator_cycles_per_s']:,.0f}",
        )
        for name, row in facts.items()
    )
    out.print(
        table("one thread each, CPU time but for simulation, medians of one run", columns, rows)
    )
    return facts, True


def _measure(name: str) -> dict[str, float]:
    network = load(name)
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (BATCH, 28, 28), dtype=np.uint8)
    golden, torch = _golden_and_torch(network, images)
    with tempfile.TemporaryDirectory() as folder:
        emission, facts = _emission(network, Path(folder))
        return {
            "golden_images_per_s": BATCH / golden,
            "torch_images_per_s": BATCH / torch,
            "golden_over_torch": torch / golden,
            "emission_cpu_s": emission,
            **{
                f"{simulator}_cycles_per_s": _cycles_per_s(
                    network, facts, images, simulator, Path(folder)
                )
                for simulator in ("icarus", "verilator")
            },
        }


def _golden_and_torch(network: QNetwork, images: npt.NDArray[np.uint8]) -> tuple[float, float]:
    """CPU seconds per batch of the golden model and of PyTorch's engine, in turn, one thread."""
    import torch
    from threadpoolctl import threadpool_limits

    from ..model.float.nets import build
    from ..model.frontends.torch_ao import convert, pixels

    torch.set_num_threads(1)
    with warnings.catch_warnings(action="ignore"):  # torch.ao says at every step that it is old
        module = convert(build(network.name), images[:500])
    tensor = pixels(images)

    def golden() -> None:
        network(images)

    def engine() -> None:
        with torch.no_grad():
            module(tensor)

    with threadpool_limits(1):
        seconds = [
            (_seconds(golden, time.process_time), _seconds(engine, time.process_time))
            for _ in range(ROUNDS)
        ]
    return median(ours for ours, _ in seconds), median(other for _, other in seconds)


def _seconds(call: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    call()
    return clock() - start


def _emission(network: QNetwork, folder: Path) -> tuple[float, dict[str, Any]]:
    """CPU seconds to write the core, Yosys's among them, and the manifest."""
    import resource

    def used() -> float:
        kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        return sum(sum(resource.getrusage(kind)[:2]) for kind in kinds)

    start = used()
    facts = write_core(network, folder)
    return used() - start, facts


def _cycles_per_s(
    network: QNetwork,
    facts: dict[str, Any],
    images: npt.NDArray[np.uint8],
    simulator: str,
    folder: Path,
) -> float:
    """Simulated cycles per second, every stream compared; start and compilation left out."""
    from .job import run_frames
    from .runner import compile_verilog

    verilog = folder / "rtl" / f"{network.name}.v"
    compiled = compile_verilog(verilog, network.name, simulator, folder / simulator)

    def simulate(count: int) -> None:
        run_frames(
            network,
            facts,
            images[:count],
            compiled,
            tests=["frames/pauses=none"],
            folder=folder / simulator / "run",
            seed=1,
        )

    few, many = (_seconds(partial(simulate, count), time.perf_counter) for count in (FEW, MANY))
    return (MANY - FEW) * int(facts["cycles_per_image"]) / (many - few)

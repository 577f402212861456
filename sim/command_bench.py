"""`tercet bench`: how fast the golden model, the emission and the simulations are on this machine.

Only ratios within one run mean something: machines differ, and are shared.
"""

from __future__ import annotations

import argparse
import tempfile
import time
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
from .engines import ENGINES, Floats

__all__ = ["HELP", "add_arguments", "run"]

HELP = "measure the golden model beside PyTorch's and ONNX Runtime's int8, emission and simulation"
NETWORKS = ("plain", "separable", "lenet_max", "mnist_cnn_bn")
IMAGES = 10_000  # of one timed round
CALIBRATION = 500  # images
BATCHES = (100, 500, 5000)  # images that an engine takes at once: each gets what suits it best
ROUNDS = 7  # of which the median counts
FEW, MANY = 5, 45  # images simulated; the difference leaves out the start
MOST_CYCLES = 2_000  # of an image that is simulated: others would take minutes

Facts = dict[str, float | None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The networks."""
    parser.add_argument(
        "nets", metavar="NET", nargs="*", default=NETWORKS, help="default: %(default)s"
    )


def run(args: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Measure each network and print a table of speeds and ratios."""
    out = console()
    facts = {}
    for name in args.nets:
        with out.status(f"measuring {name}"):
            facts[name] = _measure(name)
    columns = {
        "golden images/s>": ("golden_images_per_s", ",.0f"),
        "PyTorch int8 images/s>": ("torch_images_per_s", ",.0f"),
        "ratio>": ("golden_over_torch", ".2f"),
        "ONNX Runtime int8 images/s>": ("onnxruntime_images_per_s", ",.0f"),
        "ratio >": ("golden_over_onnxruntime", ".2f"),
        "emission CPU s>": ("emission_cpu_s", ".2f"),
        "Icarus cycles/s>": ("icarus_cycles_per_s", ",.0f"),
        "Verilator cycles/s>": ("verilator_cycles_per_s", ",.0f"),
    }
    rows = (
        (name, *(_text(row[fact], form) for fact, form in columns.values()))
        for name, row in facts.items()
    )
    title = "one thread each, CPU time but for simulation, medians of one run"
    out.print(table(title, ["network", *columns], rows))
    return facts, True


def _text(value: float | None, form: str) -> str:
    """A figure, or a dash where an image takes too long to simulate."""
    return "-" if value is None else format(value, form)


def _measure(name: str) -> Facts:
    network = load(name)
    rng = np.random.default_rng(1)
    shape = network.tensors[network.input].shape
    images = rng.integers(0, 256, (IMAGES, *shape), dtype=np.uint8)
    facts = _beside_engines(network, images)
    with tempfile.TemporaryDirectory() as folder:
        facts["emission_cpu_s"], manifest = _emission(network, Path(folder))
        for simulator in ("icarus", "verilator"):
            short = manifest["cycles_per_image"] <= MOST_CYCLES
            facts[f"{simulator}_cycles_per_s"] = (
                _cycles_per_s(network, manifest, images, simulator, Path(folder)) if short else None
            )
    return facts


def _beside_engines(network: QNetwork, images: npt.NDArray[np.uint8]) -> Facts:
    """Images per CPU second of the golden model and of each engine, in turn, one thread."""
    from threadpoolctl import threadpool_limits

    from ..model.float.nets import load as load_float

    pixels = np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32)
    pixels /= 255
    calls: dict[str, Callable[[], object]] = {"golden": lambda: network(images)}
    facts: Facts = {}
    with threadpool_limits(1):
        for name, make in ENGINES.items():
            engine = make(load_float(network.name).module(), pixels[:CALIBRATION])
            ways = {size: partial(_in_batches, engine, pixels, size) for size in BATCHES}
            best = min(BATCHES, key=lambda size: _seconds(ways[size], time.process_time))
            calls[name], facts[f"{name}_batch"] = ways[best], best
        rounds = [
            {name: _seconds(call, time.process_time) for name, call in calls.items()}
            for _ in range(ROUNDS)
        ]
    seconds = {name: median(times[name] for times in rounds) for name in calls}
    facts |= {f"{name}_images_per_s": IMAGES / spent for name, spent in seconds.items()}
    return facts | {f"golden_over_{name}": seconds[name] / seconds["golden"] for name in ENGINES}


def _in_batches(engine: Callable[[Floats], Floats], pixels: Floats, size: int) -> None:
    for start in range(0, len(pixels), size):
        engine(pixels[start : start + size])


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
    from .compile import compile_verilog
    from .job import run_frames

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

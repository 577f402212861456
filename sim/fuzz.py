"""Fuzzing of one random network: from its seed to Verilog, simulated against the golden model."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from traceback import extract_tb

import numpy as np

from ..gen.verilog.build import write_core
from ..model import QNetwork
from ..model.dtypes import Array
from ..model.errors import UserError
from ..model.fuzz.draws import random_images
from ..model.fuzz.networks import network_of_seed
from ..model.golden import trace_loop
from .run.compile import Compiled, compile_verilog
from .run.job import Outcome, run_frames

__all__ = ["Verdict", "features", "fuzz_network", "fuzz_seed"]

IMAGES = 4  # all minimum, all maximum, noise
TESTS = ("frames/pauses=none", "frames/pauses=both")  # the first measures cycles too
SLOWEST = 4  # cycles per value of an image in the slowest goal


@dataclass(frozen=True)
class Verdict:
    """The result for a network.

    failure : a sentence; None if everything was equal
    compiled : the compiled design, or None if there is none
    """

    seed: int
    network: QNetwork
    failure: str | None
    values_compared: int = 0
    cycles: int = 0
    compiled: Compiled | None = None


def fuzz_seed(
    seed: int, folder: Path, simulator: str, like: Compiled | None = None, *, keep: bool = False
) -> Verdict:
    """Draw the network of a seed and run it, see :func:`fuzz_network`.

    ``folder`` is deleted first, and again after a run without failure unless ``keep`` is set.
    """
    shutil.rmtree(folder, ignore_errors=True)
    verdict = fuzz_network(network_of_seed(seed), seed, folder, simulator, like)
    if verdict.failure is None and not keep:
        shutil.rmtree(folder)
    return verdict


def fuzz_network(
    network: QNetwork, seed: int, folder: Path, simulator: str, like: Compiled | None = None
) -> Verdict:
    """Run a network with images and a goal of cycles drawn from ``seed``.

    The plain loops compute the golden values, and the fast forms must give the same values. Every
    value of every layer is compared, without pauses and with random pauses. Without pauses, the
    cycles must equal the plan. Any exception counts as a failure of the network.

    Parameters
    ----------
    folder : for the core and the simulation
    like : a design compiled before, whose Verilator library is reused
    """
    try:
        return _verdict(network, seed, folder, simulator, like)
    except UserError as error:
        return Verdict(seed, network, str(error))
    except Exception as error:  # a bug: report its seed, and continue with the other networks
        place = extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}, line {place.lineno}"
        return Verdict(seed, network, f"{type(error).__name__} in {where}: {error}")


def _verdict(
    network: QNetwork, seed: int, folder: Path, simulator: str, like: Compiled | None
) -> Verdict:
    rng = np.random.default_rng([seed, 1])
    images = random_images(rng, network.tensors[network.input], IMAGES)
    failure = golden_difference(network, images)
    if failure is not None:
        return Verdict(seed, network, failure)
    manifest = write_core(network, folder, _goal(rng, network))
    verilog = folder / "rtl" / f"{network.name}.v"
    compiled = compile_verilog(
        verilog, network.name, simulator, folder / simulator, optimize=False, like=like
    )
    outcomes = run_frames(
        network, manifest, images, compiled, tests=TESTS, folder=folder / "run", seed=seed
    )
    return Verdict(
        seed,
        network,
        _first_failure(outcomes),
        sum(outcome.facts.get("values_compared", 0) for outcome in outcomes),
        sum(outcome.facts.get("cycles", 0) for outcome in outcomes),
        compiled,
    )


def golden_difference(network: QNetwork, images: Array) -> str | None:
    """A sentence about the first difference of the golden model's fast forms and loops, or None."""
    fast, slow = network.trace(images), trace_loop(network, network.images(images))
    for name, values in slow.items():
        wrong = np.argwhere(fast[name] != values)
        if len(wrong):
            return f"The golden forms of {name!r} differ at {wrong[0].tolist()}"
    return None


def features(network: QNetwork) -> Counter[str]:
    """Counts of a network's kinds of layers, rounding rules and types, for the coverage table."""
    found = Counter(layer.kind for layer in network.layers)
    for layer in network.layers:
        if hasattr(layer, "requant"):
            found[f"rounding {layer.requant.rounding.value}"] += 1
        if hasattr(layer, "weights"):
            found[f"weights {layer.weights.dtype.bits} bits"] += 1
    for tensor in network.tensors.values():
        found[f"activations {tensor.dtype.bits} bits"] += 1
    return found


def _goal(rng: np.random.Generator, network: QNetwork) -> int | None:
    """A goal of cycles per image: one value per cycle, several, the fastest plan, or a slow one."""
    height, width, channels = network.tensors[network.input].shape
    values = height * width * channels
    goals = [None, 1, SLOWEST * values]
    goal = goals[rng.integers(len(goals))]
    return goal if goal != 1 else int(rng.choice([1, values // 8 + 1, values // 3 + 1]))


def _first_failure(outcomes: list[Outcome]) -> str | None:
    for outcome in outcomes:
        if outcome.failure is not None:
            return f"{outcome.test}: {outcome.failure}"
    return None

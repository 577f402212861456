"""Compile and simulate a core on images, with a progress bar; the result as facts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ...model.layers import Argmax
from ...model.network import QNetwork
from .compile import compile_verilog
from .job import run_frames

__all__ = ["closing_line", "simulate"]

MEASURED = {  # with the defaults if the bench never started
    "tensors_compared": 0,
    "values_compared": 0,
    "mismatches": 0,
    "first_mismatch": None,
    "cycles_per_image": None,
    "latency_cycles": None,
}


def simulate(
    out: Console,
    network: QNetwork,
    manifest: Mapping[str, Any],
    images: npt.NDArray[Any],
    folder: Path,
    *,
    simulator: str,
    pauses: str,
    seed: int,
) -> dict[str, Any]:
    """Simulate a core in ``folder`` and compare every value of every layer.

    Parameters
    ----------
    out : for the progress bar, which is shown in a terminal alone
    images : integers (N, H, W, C) of the network's input
    folder : holds the core; the simulation is kept in sim/SIMULATOR below it

    Returns facts: what was run, the class of each image in ``predictions``, ``failure`` (a
    sentence, or None), and the counts and cycles of the bench. Raises SimulatorError.
    """
    target = folder / "sim" / simulator
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as bar:
        task = bar.add_task(f"{simulator}: compiling", total=len(images))
        verilog = folder / manifest["verilog"]
        compiled = compile_verilog(verilog, manifest["top"], simulator, target)
        bar.reset(task, description=f"{simulator}: simulating")
        (outcome,) = run_frames(
            network,
            manifest,
            images,
            compiled,
            tests=[f"frames/pauses={pauses}"],
            folder=target / "run",
            seed=seed,
            progress=lambda done: bar.update(task, completed=done),
        )
    return {
        "network": network.name,
        "simulator": simulator,
        "seed": seed,
        "pauses": pauses,
        "images": len(images),
        "predictions": _predictions(network, outcome.facts),
        "failure": outcome.failure,
        **{name: outcome.facts.get(name, default) for name, default in MEASURED.items()},
    }


def _predictions(network: QNetwork, facts: Mapping[str, Any]) -> list[Any]:
    """The class of each image: from the hardware, or the index of its greatest score."""
    if isinstance(network.layers[-1], Argmax):
        return list(facts.get("classes", []))
    size = int(np.prod(network.tensors[network.output].shape))
    scores = facts.get("scores", [])
    whole = range(0, len(scores) - size + 1, size)
    return [int(np.argmax(scores[start : start + size])) for start in whole]


def closing_line(facts: Mapping[str, Any]) -> str:
    """A one-line summary of a simulation's facts, with the ``source`` of its images."""
    cycles, latency = facts["cycles_per_image"], facts["latency_cycles"]
    parts = [
        f"{_count_of('image', facts['images'])} ({facts['source']})",
        _count_of("tensor", facts["tensors_compared"]),
        f"{_count_of('value', facts['values_compared'])} compared",
        "1 mismatch" if facts["mismatches"] == 1 else f"{facts['mismatches']} mismatches",
        "cycles per image not measured" if cycles is None else f"{cycles} cycles per image",
        "latency not measured" if latency is None else f"latency {latency} cycles",
    ]
    return f"{facts['network']} in {facts['simulator']}: {', '.join(parts)}"


def _count_of(what: str, count: int) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"

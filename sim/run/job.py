"""The host's side of a bench run: write golden values, run the simulator, read the facts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...model.dtypes import Array
from ...model.network import QNetwork
from ..bench.options import PAUSES
from ..bench.vectors import SETTINGS, write_vectors
from .compile import Compiled
from .runner import run_tests
from .simulators import SimulatorError

__all__ = ["TESTS", "Outcome", "run_frames"]

MODULE = "tercet.sim.bench.tb_frames"
TESTS = (
    *(f"frames/pauses={pauses}" for pauses in PAUSES),
    "patient_sink",
    *(f"resets/pauses={pauses}" for pauses in ("none", "both")),
    *(f"wrong_frames/pauses={pauses}" for pauses in ("none", "both")),
)


@dataclass(frozen=True)
class Outcome:
    """The outcome of one test.

    Parameters
    ----------
    failure : why the test failed, as a sentence or the last line of a traceback; None if it passed
    facts : the counts of the bench, see ``Bench.reporting``; empty if the bench never started
    """

    test: str
    failure: str | None
    facts: Mapping[str, Any] = field(default_factory=dict)


def run_frames(
    network: QNetwork,
    manifest: Mapping[str, Any],
    images: Array,
    compiled: Compiled,
    *,
    tests: Sequence[str],
    folder: Path,
    seed: int,
    progress: Callable[[int], None] | None = None,
) -> list[Outcome]:
    """Run tests of ``tb_frames`` with ``images`` on a compiled core.

    Parameters
    ----------
    tests : some of TESTS
    folder : for vectors, log, results and facts
    progress : called with the number of images done, from another thread

    Raises SimulatorError if ``folder`` cannot be written or the simulation ends without results.
    """
    try:
        settings = write_vectors(network, manifest, images, folder, seed)
    except OSError as error:
        raise SimulatorError(f"The folder {folder} cannot be written: {error.strerror}") from None

    failures = run_tests(
        compiled,
        module=MODULE,
        tests=tests,
        folder=folder,
        seed=seed,
        environment={SETTINGS: str(settings.resolve())},
        watch=progress and (lambda: progress(_count(folder / "progress"))),
    )
    facts = _facts(folder / "facts.jsonl")
    return [
        Outcome(test, facts.get(test, {}).get("failure") or failures[test], facts.get(test, {}))
        for test in tests
    ]


def _count(path: Path) -> int:
    """The number in a progress file; 0 if the file is absent or incomplete."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def _facts(path: Path) -> dict[str, dict[str, Any]]:
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    return {facts["test"]: facts for facts in map(json.loads, lines)}

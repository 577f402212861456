"""A network's core on the simulators: compiled once, run with any of the bench's tests."""

import fcntl
import re
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tercet.model import QNetwork
from tercet.model.data import digits_for_simulation
from tercet.sim.run.compile import Compiled, compile_verilog
from tercet.sim.run.job import run_frames

IMAGES = 6
FRAMES, OUTPUT = "frames/pauses=none", "frames/pauses=output"
PAUSED, PAUSED_RESETS = "frames/pauses=both", "resets/pauses=both"
RESETS, WRONG = "resets/pauses=none", "wrong_frames/pauses=none"

SIMULATORS = [
    pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("icarus", "verilator")
]


@contextmanager
def alone(folder):
    """Let one process at a time work in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True)
class Core:
    """A network's Verilog, and what simulators made of it."""

    network: QNetwork
    manifest: dict[str, Any]
    folder: Path
    seed: int

    @property
    def verilog(self) -> Path:
        return self.folder / "rtl" / f"{self.network.name}.v"

    def compiled(self, simulator: str, verilog: Path | None = None) -> Compiled:
        """Compile once per simulator, by whichever xdist worker comes first; a mutant apart."""
        source = self.verilog if verilog is None else verilog
        with alone(source.parent):
            return compile_verilog(source, self.network.name, simulator, source.parent / simulator)

    def run(self, compiled: Compiled, tests, images=None):
        """The outcome of one test, or a list of those of several."""
        if images is None:
            images = digits_for_simulation(IMAGES).images
        outcomes = self.outcomes(compiled, tests, images)
        return outcomes[0] if len(outcomes) == 1 else outcomes

    def outcomes(self, compiled: Compiled, tests, images):
        return run_frames(
            self.network,
            self.manifest,
            images,
            compiled,
            tests=tests,
            folder=compiled.folder / re.sub(r"\W", "_", tests[0]),
            seed=self.seed,
        )

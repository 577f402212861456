"""The request to a peer's process and its answer: two JSON files."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ....model import QNetwork, load

__all__ = ["Facts", "Request", "answer"]


@dataclass(frozen=True)
class Request:
    """A network, images int64 (N, H, W, C), and a folder for all written files."""

    network: QNetwork
    images: npt.NDArray[np.int64]
    folder: Path


@dataclass(frozen=True)
class Facts:
    """The results of a peer.

    top : the top module in ``folder/core.v``
    settings : a description of the peer's settings
    emission_cpu_s, peak_mib : for building the design and writing its Verilog
    cycles_per_image, latency_cycles : measured in simulation
    scores : (N, classes), from the Verilog in a simulator
    """

    top: str
    settings: str
    emission_cpu_s: float
    peak_mib: float
    cycles_per_image: int
    latency_cycles: int
    scores: list[list[int]]


def answer(run: Callable[[Request], Facts], words: Sequence[str] = ()) -> None:
    """Run a peer on the request file of the command line; write the facts to the same folder."""
    path = Path((words or sys.argv[1:])[0]).resolve()
    asked: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    images = np.array(asked["images"], dtype=np.int64)
    facts = run(Request(load(asked["network"]), images, path.parent))
    (path.parent / "facts.json").write_text(json.dumps(asdict(facts)), encoding="utf-8")

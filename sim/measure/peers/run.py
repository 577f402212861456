"""Run a peer on a network in a separate process; compare its scores with the golden model."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ....model import QNetwork, processes, save
from .chain import PeerError, chain_of

__all__ = ["PEERS", "run_peer", "version_of"]

# For each peer, by the name of its distribution: the module to run.
PEERS = {
    "nngen": "tercet.sim.measure.peers.nngen_core",
    "da4ml": "tercet.sim.measure.peers.da4ml_core",
}


def version_of(peer: str) -> str:
    """The installed version. Raises PeerError if there is none."""
    try:
        return metadata.version(peer)
    except metadata.PackageNotFoundError:
        raise PeerError(
            f"needs the package {peer!r}, which is not installed; "
            "get it with: pip install 'tercet[peers]'"
        ) from None


def run_peer(
    peer: str, network: QNetwork, images: npt.NDArray[np.uint8], folder: Path
) -> dict[str, Any]:
    """Run a peer: it writes folder/core.v and simulates images.

    Parameters
    ----------
    peer : a key of ``PEERS``
    images : uint8 (N, H, W, C)

    Returns the fields of ``request.Facts``, and ``images``, ``values_compared`` and ``mismatches``
    from the comparison of scores with the golden model. Raises PeerError if the peer is absent,
    cannot express the network, or fails.
    """
    version_of(peer)
    chain_of(network)  # raises before the process starts
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    save(network, folder / "network.json")
    asked = {"network": str(folder / "network.json"), "images": images.tolist()}
    request, answer = folder / "request.json", folder / "facts.json"
    request.write_text(json.dumps(asked), encoding="utf-8")
    answer.unlink(missing_ok=True)
    command = [sys.executable, "-m", PEERS[peer], str(request)]
    done = processes.run(command, cwd=folder, merged=False)
    if done.returncode != 0 or not answer.is_file():
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise PeerError(f"{peer} failed with exit code {done.returncode}: {last}")
    facts: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    return {**facts, **_compared(network, images, facts)}


def _compared(
    network: QNetwork, images: npt.NDArray[np.uint8], facts: Mapping[str, Any]
) -> dict[str, int]:
    expected, found = network(images), np.array(facts["scores"])
    if expected.shape != found.shape:
        raise PeerError(f"gave scores of shape {found.shape}, not {expected.shape}")
    different = int((expected != found).sum())
    return {"images": len(images), "values_compared": expected.size, "mismatches": different}

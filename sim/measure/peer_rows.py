"""Rows of the peers' cores of `plain`: cycles, cells, clock, and whether they are bit-exact."""

from __future__ import annotations

import shutil
from pathlib import Path

from ...gen.flow.synth import TARGETS
from ...model import load
from ...model.data import digits_for_simulation, fit_to
from ...model.studies.rows import Facts, Store, fingerprint, sources
from .peers.run import run_peer, version_of

__all__ = ["PEER_TARGETS", "peer_facts"]

NET = "plain"
IMAGES = 20  # digits in the simulation of a peer's Verilog
PEER_TARGETS = [target for target in TARGETS if target != "ice40"]  # UP5K is too small for peers


def peer_facts(peer: str, store: Store) -> Facts:
    """The facts of a peer; its core's Verilog is in the store's folder.

    Raises PeerError if the peer is absent or fails.
    """
    version = version_of(peer)
    folder = store.folder / "peers" / peer
    network = fingerprint((Path(__file__).parents[2] / "model/zoo" / f"{NET}.json").read_bytes())
    key = fingerprint(peer, version, network, sources("sim/measure/peers/*.py"), str(IMAGES))
    return store.kept(f"peers/{peer}.json", key, lambda: _run(peer, version, folder))


def _run(peer: str, version: str, folder: Path) -> Facts:
    network = load(NET)
    digits = digits_for_simulation(IMAGES)
    images = fit_to(digits.images, network.tensors[network.input].shape)
    shutil.rmtree(folder, ignore_errors=True)
    facts = run_peer(peer, network, images, folder)
    del facts["scores"]
    lines = (folder / "core.v").read_text(encoding="utf-8").count("\n")
    return {**facts, "version": version, "digits": digits.source, "verilog_lines": lines}

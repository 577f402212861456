"""The rows that the bench measures, as a list of tasks; fast and important rows come first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...gen.flow.synth import TARGETS
from ...gen.studies.cells import cells_of
from ...model.errors import UserError
from ...model.studies.rows import Facts, NotMeasuredError, Store
from .emission import core_facts
from .peer_rows import NET, PEER_TARGETS, peer_facts
from .peers.run import PEERS
from .plans import NETS, PLANS
from .speed import SIMULATED, golden_facts, simulation_facts

__all__ = ["PARTS", "Key", "Rows", "Task", "measure", "tasks"]

PARTS = ("emission", "cells", "peers", "golden", "simulation")
Key = tuple[str, ...]  # the part, then the rest of the row's name
Rows = dict[Key, Facts]  # each is a measurement, or a ``reason`` why there is none


@dataclass(frozen=True)
class Task:
    """One row.

    key : (part, network or peer, ...)
    run : (the needed row, store) -> the row
    after : key of the row that it needs; if that row has a ``reason``, this one has the same
    """

    key: Key
    run: Callable[[Facts, Store], Facts]
    after: Key | None = None

    @property
    def part(self) -> str:
        """The part of the row."""
        return self.key[0]

    @property
    def net(self) -> str:
        """The network of the row."""
        return NET if self.part == "peers" else self.key[1]


def tasks() -> list[Task]:
    """All rows: the cores at the first plan, then speeds and peers, then the other plans."""
    first, *others = PLANS
    speeds = [_golden(net) for net in NETS] + [_simulation(net) for net in NETS]
    peers = [task for peer in PEERS for task in _peer(peer)]
    return [*_cores(first), *speeds, *peers, *(task for plan in others for task in _cores(plan))]


def _cores(plan: str) -> list[Task]:
    """The rows of every network's core at a plan, then the rows of their cells."""
    cells = [_cells(net, plan, target) for net in NETS for target in TARGETS]
    return [_emission(net, plan) for net in NETS] + cells


def _emission(net: str, plan: str) -> Task:
    return Task(("emission", net, plan), lambda _, store: core_facts(net, PLANS[plan], store))


def _golden(net: str) -> Task:
    return Task(("golden", net), lambda _, store: golden_facts(net, store))


def _simulation(net: str) -> Task:
    def run(core: Facts, store: Store) -> Facts:
        cycles = core["cycles_per_image"]
        if cycles > SIMULATED:
            raise NotMeasuredError(f"an image takes {cycles} cycles, minutes of simulation")
        return simulation_facts(net, core, store)

    return Task(("simulation", net), run, after=("emission", net, "default"))


def _cells(net: str, plan: str, target: str) -> Task:
    return Task(
        ("cells", net, plan, target),
        lambda core, store: cells_of(Path(core["verilog"]), net, target, store),
        after=("emission", net, plan),
    )


def _peer(peer: str) -> list[Task]:
    """The row of a peer's core, then the rows of its cells."""
    core = Task(("peers", peer), lambda _, store: peer_facts(peer, store))
    return [core, *(_peer_cells(peer, target) for target in PEER_TARGETS)]


def _peer_cells(peer: str, target: str) -> Task:
    def run(core: Facts, store: Store) -> Facts:
        verilog = store.folder / "peers" / peer / "core.v"
        return cells_of(verilog, core["top"], target, store)

    return Task(("peers", peer, target), run, after=("peers", peer))


def measure(task: Task, rows: Rows, store: Store) -> Facts:
    """The row of a task: measured, from the store, or with the reason why there is none."""
    needed: Facts = {} if task.after is None else rows[task.after]
    if "reason" in needed:
        return {"reason": needed["reason"]}
    try:
        return task.run(needed, store)
    except UserError as error:
        return {"reason": str(error)}

"""Write a core: its Verilog and its manifest. Both are written or neither."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...model.errors import UserError
from ...model.files import OutputError, write_all
from ...model.formats.json_file import dumps
from ...model.names import distinct
from ...model.network import QNetwork
from ...model.studies.rows import Facts
from ...model.studies.steps import Steps
from ...model.terminal import console
from ..keywords import KEYWORDS
from ..plan import Plan, make_plan
from ..plan.device_goal import DeviceGoal
from ..plan.goals import Goal
from .core import Core
from .emit import to_verilog
from .manifest import header, manifest
from .readable import module_name

__all__ = ["core_facts", "write_core"]


def write_core(
    network: QNetwork,
    directory: Path,
    goal: Goal | int | None = None,
    *,
    row_aligned: bool = False,
    prefix: str | None = None,
) -> dict[str, Any]:
    """Write directory/rtl/NET.v and directory/manifest.json; return the manifest.

    Parameters
    ----------
    goal, row_aligned : of the plan, see ``make_plan``
    prefix : name of the file and the top module; the names of all other modules begin with it. By
        default the top module has the network's name (with a number after it if it is a Verilog
        keyword), and the other names begin with this name and, if the plan has a goal, its digest.

    The same network, options and tools give the same bytes. A core that the folder holds already is
    not planned and written again. Raises NetworkError for a layer that the hardware does not cover,
    before anything is written; OutputError if the folder cannot be written; ValueError for a prefix
    that is no Verilog name.
    """
    facts = core_facts(network, directory, goal, row_aligned=row_aligned, prefix=prefix)
    manifest: dict[str, Any] = facts["manifest"]
    return manifest


def core_facts(
    network: QNetwork,
    directory: Path,
    goal: Goal | int | None = None,
    *,
    row_aligned: bool = False,
    prefix: str | None = None,
    steps: Steps | None = None,
) -> Facts:
    """Write a core as :func:`write_core` does, and return more of its facts.

    steps : records whether the core was written anew

    Returns ``manifest``; ``spans``, for each layer the first and the last cycle of the first image,
    see ``LayerPlan``; and with a device as the goal ``device``, for each kind of resource ``used``
    and ``there``.
    """
    name = module_name(prefix) if prefix is not None else network.name
    files = "manifest.json", f"rtl/{name}.v"
    parts = [dumps(network), repr(goal), str(row_aligned), str(prefix)]

    def make() -> Facts:
        with console(stderr=True).status(f"planning {network.name}"):
            plan = make_plan(network, goal, row_aligned=row_aligned)
        with console(stderr=True).status(f"writing the Verilog of {network.name}"):
            facts: Facts = {"manifest": _write(plan, directory, prefix)}
        facts["spans"] = {layer.name: list(layer.span) for layer in plan.layers}
        if isinstance(goal, DeviceGoal):
            used = goal.used(plan).items()
            facts["device"] = {kind: {"used": n, "there": there} for kind, (n, there) in used}
        return facts

    try:
        return (steps or Steps(directory)).run("verilog", parts, files, make)
    except UserError:  # such as no room for temporary files
        raise
    except OSError as error:
        raise OutputError(directory, error) from None


def _write(plan: Plan, directory: Path, prefix: str | None) -> dict[str, Any]:
    """Write the Verilog and the manifest of a plan; return the manifest. Raises OSError."""
    top, inner = _names(plan, prefix)
    verilog_file = Path("rtl") / f"{prefix or plan.network.name}.v"
    names = {"verilog": str(verilog_file), "top": top, "prefix": inner}
    facts = {**manifest(plan), **names}
    verilog = to_verilog(Core(plan=plan), top, header(facts), inner)
    (directory / verilog_file).parent.mkdir(parents=True, exist_ok=True)
    write_all(
        {
            directory / verilog_file: verilog,
            directory / "manifest.json": json.dumps(facts, indent=2) + "\n",
        }
    )
    return facts


def _names(plan: Plan, prefix: str | None) -> tuple[str, str]:
    """The name of the top module, and the start of all other modules' names."""
    if prefix is not None:
        return module_name(prefix), prefix
    name = plan.network.name
    top = distinct([(name, name)], KEYWORDS)[name]
    return top, f"{top}_{plan.digest}" if plan.digest else top

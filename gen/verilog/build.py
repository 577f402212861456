"""Write a core: its Verilog and its manifest. Both are written or neither."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...model.files import OutputError, write_all
from ...model.names import distinct
from ...model.network import QNetwork
from ..keywords import KEYWORDS
from ..plan import Plan, make_plan
from ..plan.goals import Goal
from .core import Core
from .emit import to_verilog
from .manifest import header, manifest
from .readable import module_name

__all__ = ["write_core", "write_plan"]


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

    The same network, options and tools give the same bytes. Raises NetworkError for a layer that
    the hardware does not cover, before anything is written; OutputError if the folder cannot be
    written; ValueError for a prefix that is no Verilog name.
    """
    return write_plan(make_plan(network, goal, row_aligned=row_aligned), directory, prefix)


def write_plan(plan: Plan, directory: Path, prefix: str | None = None) -> dict[str, Any]:
    """Write the core of a plan as :func:`write_core` does; return the manifest."""
    top, inner = _names(plan, prefix)
    verilog_file = Path("rtl") / f"{prefix or plan.network.name}.v"
    names = {"verilog": str(verilog_file), "top": top, "prefix": inner}
    facts = {**manifest(plan), **names}
    verilog = to_verilog(Core(plan=plan), top, header(facts), inner)
    try:
        (directory / verilog_file).parent.mkdir(parents=True, exist_ok=True)
        write_all(
            {
                directory / verilog_file: verilog,
                directory / "manifest.json": json.dumps(facts, indent=2) + "\n",
            }
        )
    except OSError as error:
        raise OutputError(directory, error) from None
    return facts


def _names(plan: Plan, prefix: str | None) -> tuple[str, str]:
    """The name of the top module, and the start of all other modules' names."""
    if prefix is not None:
        return module_name(prefix), prefix
    name = plan.network.name
    top = distinct([(name, name)], KEYWORDS)[name]
    return top, f"{top}_{plan.digest}" if plan.digest else top

"""Write a core: its Verilog and its manifest, both or neither."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..model.errors import UserError
from ..model.files import write_all
from ..model.network import QNetwork
from .assemble import Core
from .emit import to_verilog
from .goals import Goal
from .manifest import header, manifest
from .plan import make_plan

__all__ = ["OutputError", "write_core"]


class OutputError(UserError, OSError):
    """An output folder cannot be written."""

    def __init__(self, directory: Path, error: OSError) -> None:
        super().__init__(
            f"The output folder {directory} cannot be written: {error.strerror}; "
            "name another with -o"
        )


def write_core(
    network: QNetwork, directory: Path, goal: Goal | int | None = None
) -> dict[str, Any]:
    """Write directory/rtl/NAME.v and directory/manifest.json; return the manifest.

    ``goal`` is the plan's, see ``make_plan``. The same network, goal and tools give the same bytes.
    Raises NetworkError for a layer that the hardware does not cover, before anything is written,
    and OutputError where the folder cannot be written.
    """
    plan = make_plan(network, goal)
    core = Core(plan=plan)
    facts = manifest(plan, core)
    verilog = to_verilog(core, network.name, header(facts))
    try:
        (directory / "rtl").mkdir(parents=True, exist_ok=True)
        write_all(
            {
                directory / "rtl" / f"{network.name}.v": verilog,
                directory / "manifest.json": json.dumps(facts, indent=2) + "\n",
            }
        )
    except OSError as error:
        raise OutputError(directory, error) from None
    return facts

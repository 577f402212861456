"""Cells and clock of a Verilog file on one target, with the same tools and options for peers."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from ...model.files import temporary_folder
from ...model.studies.rows import Facts, Store, fingerprint, sources
from ..flow.nextpnr import PNR_TARGETS, SEEDS, DoesNotFitError, place_and_route
from ..flow.synth import TARGETS, synthesize

__all__ = ["cells_of"]

FLOW = "gen/flow/*.py"  # these files change cells between the tools


def cells_of(verilog: Path, top: str, target: str, store: Store, *, place: bool = True) -> Facts:
    """Counts after synthesis and, if the target has a device, the results of place and route.

    place : whether to place and route

    Raises FlowError if a tool fails.
    """
    place = place and target in PNR_TARGETS
    content = fingerprint(verilog.read_bytes())
    key = fingerprint(content, top, target, TARGETS[target], _tools(target, place), sources(FLOW))
    name = f"cells/{content[:16]}-{target}.json"
    return store.kept(name, key, lambda: _measure(verilog, top, target, place))


def _tools(target: str, place: bool) -> str:
    """The versions and options that determine the figures."""
    versions = [metadata.version("pyosys")]
    if place:
        device = PNR_TARGETS[target]
        versions += [metadata.version(f"yowasp-nextpnr-{device.program}"), *device.options]
    return f"{versions} {SEEDS}"


def _measure(verilog: Path, top: str, target: str, place: bool) -> Facts:
    with temporary_folder() as folder:
        netlist = folder / "netlist.json"
        facts: Facts = dict(synthesize(verilog, top, target, netlist).facts())
        if place:
            facts["pnr"] = _routed(netlist, target)
    return facts


def _routed(netlist: Path, target: str) -> Facts:
    try:
        return place_and_route(netlist, target).facts()
    except DoesNotFitError as error:  # other failures may be temporary, and are not stored
        return {"does_not_fit": str(error)}

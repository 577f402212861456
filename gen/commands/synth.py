"""`tercet synth NET`: the cells of a core by Yosys, and its maximum clock by nextpnr."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from ...model.commands.models import network_of
from ...model.files import output_folder, temporary_folder, write_whole
from ...model.terminal import console, print_table
from ..flow.nextpnr import PNR_TARGETS, DoesNotFitError, Timing, place_and_route
from ..flow.synth import LUT_RAM, TARGETS, Resources, synthesize
from ..verilog.build import write_core
from ..verilog.manifest import misplaced, stored_rom_bits
from .arguments import add_goal, add_net, add_output, goal_of, say_of_plan

__all__ = ["HELP", "add_arguments", "run"]

HELP = "synthesize a core with Yosys; place and route it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add NET, the families, the goal and the folder."""
    add_net(parser)
    parser.add_argument(
        "--target",
        choices=[*TARGETS, "all"],
        default="all",
        help="the family to synthesize for (default: %(default)s)",
    )
    parser.add_argument(
        "--pnr",
        action="store_true",
        help="also place and route, and show the maximum clock: the median of three seeds, on "
        + ", ".join(f"{device.name} ({target})" for target, device in PNR_TARGETS.items()),
    )
    add_goal(parser)
    add_output(parser, "the core")


def run(args: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    """Write the core, synthesize it, keep the netlists for nextpnr, print a row per family."""
    goal, network = goal_of(args), network_of(args.net)
    targets = list(TARGETS) if args.target == "all" else [args.target]
    out = console()
    with output_folder(args.output or Path("build") / network.name) as folder:
        manifest = write_core(network, folder, goal, row_aligned=args.row_aligned)
        say_of_plan(out, manifest)
        found, routed = _synthesized(out, manifest, folder, targets, args.pnr)
    _print_table(out, network.name, found, routed)
    netlists = [f"{network.name}.{target}.json" for target in targets if target in PNR_TARGETS]
    if netlists:
        out.print(f"Netlists for nextpnr in {folder}: {', '.join(netlists)}", soft_wrap=True)
    complaints = [
        f"{target}: {complaint}"
        for target, resources in found.items()
        for complaint in _complaints(manifest, resources, target)
    ]
    for line in [*map(_remark, routed.values()), *complaints]:
        out.print(line, soft_wrap=True)
    facts = {target: _facts(found[target], routed.get(target)) for target in targets}
    return {"network": network.name, "targets": facts}, not (complaints or manifest["shortfall"])


def _synthesized(
    out: Console, manifest: Mapping[str, Any], folder: Path, targets: Sequence[str], pnr: bool
) -> tuple[dict[str, Resources], dict[str, Timing | DoesNotFitError]]:
    """The cells and, if ``pnr`` is set, the clock on each target; netlists stay in the folder."""
    name, found, routed = manifest["network"], {}, {}
    with out.status("") as status, temporary_folder() as scratch:
        for target in targets:
            status.update(f"synthesizing {name} for {target}")
            verilog, netlist = folder / manifest["verilog"], scratch / "netlist.json"
            found[target] = synthesize(verilog, manifest["top"], target, netlist)
            if target in PNR_TARGETS:
                write_whole(folder / f"{name}.{target}.json", netlist.read_bytes())
            if pnr and target in PNR_TARGETS:
                status.update(f"placing and routing {name} for {target}")
                routed[target] = _routed(netlist, target)
    return found, routed


def _routed(netlist: Path, target: str) -> Timing | DoesNotFitError:
    """The maximum clocks, or the error if the core does not fit."""
    try:
        return place_and_route(netlist, target)
    except DoesNotFitError as error:
        return error


def _remark(routed: Timing | DoesNotFitError) -> str:
    """A line below the table: the critical path, or why there is none."""
    if isinstance(routed, DoesNotFitError):
        return str(routed)
    return f"{routed.device}: the critical path goes from {routed.median.path}"


def _facts(resources: Resources, routed: Timing | DoesNotFitError | None) -> dict[str, Any]:
    if routed is None:
        return resources.facts()
    pnr = routed.facts() if isinstance(routed, Timing) else {"does_not_fit": str(routed)}
    return {**resources.facts(), "pnr": pnr}


def _complaints(manifest: dict[str, Any], resources: Resources, target: str) -> list[str]:
    """The differences between synthesis and the manifest."""
    said, found = stored_rom_bits(manifest), resources.rom_bits
    bits = [] if found == said else [f"{found} ROM bits, but the manifest says {said}"]
    elsewhere = misplaced(manifest, resources.in_blocks, lut_ram=target in LUT_RAM)
    return bits + [
        f"{path} is in block RAM, but the manifest says it is not"
        if path in resources.in_blocks
        else f"{path} is not in block RAM, but the manifest says it is"
        for path in elsewhere
    ]


def _print_table(
    out: Console,
    name: str,
    found: dict[str, Resources],
    routed: dict[str, Timing | DoesNotFitError],
) -> None:
    kinds = next(iter(found.values())).facts()
    columns = ["target", *(f"{kind.replace('_', ' ')}>" for kind in kinds)]
    rows = [[target, *resources.facts().values()] for target, resources in found.items()]
    if routed:
        columns.append("Fmax MHz>")
        for row in rows:
            timing = routed.get(str(row[0]))
            row.append(f"{timing.median.fmax_mhz:.1f}" if isinstance(timing, Timing) else "-")
    title = f"{name}: cells after synthesis" + (", clock after place and route" if routed else "")
    print_table(out, title, columns, rows)

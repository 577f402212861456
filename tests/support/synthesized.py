"""What Yosys makes of a Verilog file, synthesized once for all tests of a run."""

import json
from dataclasses import asdict

from simcore import alone
from tercet.gen.flow.synth import Resources, synthesize
from tercet.model.studies.rows import fingerprint


def synthesized(folder, verilog, top, target):
    """The resources and the netlist, kept in ``folder`` under a hash of the Verilog."""
    kept = folder / fingerprint(verilog.read_bytes(), top, target)[:16]
    netlist, cells = kept / "netlist.json", kept / "cells.json"
    with alone(kept):
        if not cells.is_file():
            cells.write_text(json.dumps(to_json(synthesize(verilog, top, target, netlist))))
        return of_json(json.loads(cells.read_text())), netlist


def kept_resources(kept, verilog, make):
    """The resources that ``make`` returns, by the fixture ``kept``."""
    return of_json(kept(lambda: to_json(make()), verilog.read_bytes()))


def to_json(resources):
    return {**asdict(resources), "in_blocks": sorted(resources.in_blocks)}


def of_json(facts):
    return Resources(**{**facts, "in_blocks": frozenset(facts["in_blocks"])})

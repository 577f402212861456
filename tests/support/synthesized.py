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
            facts = asdict(synthesize(verilog, top, target, netlist))
            cells.write_text(json.dumps({**facts, "in_blocks": sorted(facts["in_blocks"])}))
        facts = json.loads(cells.read_text())
    return Resources(**{**facts, "in_blocks": frozenset(facts["in_blocks"])}), netlist

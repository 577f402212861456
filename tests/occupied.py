"""The LUTs that a synthesized core occupies in a device, for tests of what plans say of them."""

import json
import re
import subprocess
import sys
from collections import Counter

from tercet.gen.flow.nextpnr import DEVICES
from tercet.gen.flow.synth import synthesize

PACKED = {"ecp5": "TRELLIS_COMB", "ice40": "ICESTORM_LC"}  # a LUT4 each, as nextpnr counts them
# LUTs of 7-series that are RAM, AMD UG474, table 2-3, and shift registers.
LUT_RAMS = {"RAM32M": 4, "RAM64M": 4, "RAM32X1D": 2, "RAM64X1D": 2, "SRL16E": 1, "SRLC32E": 1}


def occupied(verilog, top, target):
    """What Yosys counts, and the LUTs that nextpnr packs it into, or on 7-series that its LUTs and
    LUT RAMs take."""
    netlist = verilog.with_suffix(f".{target}.json")
    found = synthesize(verilog, top, target, netlist)
    if target in PACKED:
        return found, packed(netlist, target)[PACKED[target]]
    cells = json.loads(netlist.read_text())["modules"][top]["cells"].values()
    kinds = Counter(cell["type"] for cell in cells if re.match(r"RAM\d+[MX]|SRL", cell["type"]))
    return found, found.luts + sum(LUT_RAMS[kind] * count for kind, count in kinds.items())


def packed(netlist, target):
    """Cells of a netlist by kind as nextpnr packs it, also where the device has fewer of them."""
    name, options = DEVICES[target].program, DEVICES[target].options
    start = f"run_nextpnr_{name}"
    program = (
        f"import sys; from yowasp_nextpnr_{name} import {start} as f; sys.exit(f(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", program, *options, "--pack-only", "--json", netlist.name]
    ran = subprocess.run(command, cwd=netlist.parent, capture_output=True, text=True, check=True)
    found = re.findall(r"^Info:\s+(\w+):\s*(\d+)/\s*\d+\s+\d+%$", ran.stdout + ran.stderr, re.M)
    return {cell: int(count) for cell, count in found}

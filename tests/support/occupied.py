"""The LUTs that a synthesized core occupies in a device, for tests of what plans say of them."""

import json
import re
from collections import Counter

from tercet.gen.flow.nextpnr import pack

PACKED = {"ecp5": "TRELLIS_COMB", "ice40": "ICESTORM_LC"}  # a LUT4 each, as nextpnr counts them
# LUTs of 7-series that are RAM, AMD UG474, table 2-3, and shift registers.
LUT_RAMS = {"RAM32M": 4, "RAM64M": 4, "RAM32X1D": 2, "RAM64X1D": 2, "SRL16E": 1, "SRLC32E": 1}


def occupied_luts(found, netlist, top, target):
    """The LUTs that nextpnr packs a synthesized core into; on 7-series its LUTs and LUT RAMs.

    found, netlist : the resources and the file of the same synthesis
    """
    if target in PACKED:
        return pack(netlist, target)[PACKED[target]]
    cells = json.loads(netlist.read_text())["modules"][top]["cells"].values()
    kinds = Counter(cell["type"] for cell in cells if re.match(r"RAM\d+[MX]|SRL", cell["type"]))
    return found.luts + sum(LUT_RAMS[kind] * count for kind, count in kinds.items())

"""What Verilator's lint says of Verilog, but for what is style and no fault."""

import re
import subprocess
import sys

# What lint -Wall says of Yosys's Verilog that is style and no fault.
WAIVED = {
    "DECLFILENAME": "one file holds all modules",
    "PROCASSINIT": "registers have power-up values, which FPGAs load",
    "UNUSEDSIGNAL": "a carry that nobody needs, the reset of a module without a register to reset",
    "WIDTHEXPAND": "Yosys leaves constants narrow and lets the language extend them",
    "WIDTHTRUNC": "Yosys writes !x for x == 0",
}


def lint(verilog):
    """The warnings and errors that matter, in a file of Verilog."""
    waivers = [f"-Wno-{code}" for code in WAIVED]
    result = subprocess.run(
        [sys.executable, "-m", "verilator", "--lint-only", "-Wall", *waivers, str(verilog)],
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.findall(r"%(?:Warning|Error).*", result.stderr)
    assert found or result.returncode == 0, result.stderr
    return found

"""The text of docs/performance.md."""

from __future__ import annotations

__all__ = [
    "AIMS",
    "CORES",
    "EMISSION",
    "FAMILIES",
    "INTRODUCTION",
    "PATHS",
    "PEERS_TEXT",
    "SEPARABLE",
    "SPEED",
]

INTRODUCTION = """# Performance

`make bench` (`tercet bench`) writes this page. It measures everything on the machine on which it
runs. Cycles are exact: the plan states them, and simulation measures the same. Cells and clocks
come from the tools ({tools}) with default options, and are the same on every machine. Timed values
(CPU seconds, images and cycles per second) are from one run on a shared machine; only ratios
within a table are meaningful.

Every network is as shipped, in int8, with argmax and AXI4-Stream shell, at these plans: {plans}.
Fmax is the maximum clock by nextpnr, register to register, the median of seeds {seeds}. On
{device_ecp5}, cores are placed out of context (`--out-of-context`): ports are not connected to
pads, so neither number nor place of a package's pads matters, and the clock has no global buffer.
nextpnr-ice40 has no such option; on {device_ice40}, ports go to pads.
"""

AIMS = """
## Aims

The aims of the design, each with the measured value. The other sections have all measurements.

"""

SEPARABLE = (
    "`separable` has six layers, each with its own walk, sums and requantizer; `plain` has three; "
    "both have the same number of multipliers"
)

CORES = """
## Cores

Multipliers are those of the layers plus those of the requantizers. Images per second are computed
with the maximum clock on the ECP5.

"""

# By target: the heading, and the kinds of cells with their names in this family.
FAMILIES = {
    "ecp5": (
        "\n## ECP5\n\nCells are counted before nextpnr packs LUTs. A CCU2C is a carry cell of two "
        "LUT4, which the column\nLUT4 does not include. Flip-flops around multipliers and after "
        "block RAMs are packed into these\nblocks (`gen/flow/ecp5_registers.py`) and are not "
        "counted. The same holds for the cores of other\ngenerators.\n\n",
        {
            "luts": "LUT4",
            "flip_flops": "FF",
            "carries": "CCU2C",
            "dsps": "MULT18X18D",
            "block_rams": "DP16KD",
            "lut_rams": "DPR16X4",
        },
    ),
    "xilinx": (
        "\n## 7-series\n\n",
        {
            "luts": "LUT",
            "flip_flops": "FF",
            "carries": "CARRY4",
            "dsps": "DSP48E1",
            "block_rams": "RAMB18, RAMB36",
            "lut_rams": "LUT RAM",
        },
    ),
    "ice40": (
        "\n## iCE40\n\n",
        {
            "luts": "LUT4",
            "flip_flops": "FF",
            "carries": "CARRY",
            "dsps": "MAC16",
            "block_rams": "RAM40_4K",
        },
    ),
}

PATHS = """
## Critical paths

The critical paths of the median runs, with the names of the Verilog. *through* lists the instances
that contain the cells of the path.

"""

PEERS_TEXT = """
## Beside other generators

All cores compute `plain` with the same integers. The same Yosys synthesizes them with the same
options, and the same nextpnr places them. da4ml rounds halves up, NNgen rounds halves away from
zero. If the network rounds differently, scores may differ at ties; the counts of differences would
show this. The cores of the other generators have no argmax.

"""

EMISSION = """
## Writing the Verilog

CPU time (with Yosys, without imports) and peak memory of writing the Verilog.

"""

SPEED = """
## Golden model and simulation

Images and cycles per CPU second. The golden model and the engines run 10,000 images (fewer for the
larger networks) with one thread, and each engine has the batch size with which it is fastest.
PyTorch is torch.ao's eager mode on its x86 engine. ONNX Runtime runs a statically quantized QDQ
model. The simulation also compares every value of every layer in Python, which takes most of its
time. It is measured only if an image takes at most 2,000 cycles.

"""

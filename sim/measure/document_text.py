"""The words of docs/performance.md."""

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

Written by `make bench` (`tercet bench`), which measures all of it on the machine that it runs on.
Cycles are exact: the plan states them and simulation measures the same. Cells and clocks are the
tools' ({tools}), default options, and come out the same on any machine. What is timed (CPU
seconds, images and cycles per second) is one run's on a shared machine: only ratios within a
table mean something.

Every network as shipped, in int8, argmax and AXI4-Stream shell included, at these plans: {plans}.
Fmax is nextpnr's, register to register, the median of seeds {seeds}. On {device_ecp5}, cores are
placed out of context (`--out-of-context`): ports end in nothing, so that neither the number of a
package's pads nor their place matters, and the clock has no global buffer. nextpnr-ice40 has no
such option: on {device_ice40}, ports go to pads.
"""

AIMS = """
## Aims

What the cores are built to reach; the rest of the document is what they do.

"""

SEPARABLE = (
    "`separable` has six layers, each with a walk, sums and a requantizer of its own, where "
    "`plain` has three; both take as many multipliers"
)

CORES = """
## Cores

Multipliers are those of the layers and, behind the plus, of the requantizers. Images per second
are those at the clock reached on the ECP5.

"""

# By target: the heading, and the kinds of cells under their names in that family.
FAMILIES = {
    "ecp5": (
        "\n## ECP5\n\nBefore nextpnr packs LUTs; a CCU2C is a carry of two LUT4, which are not "
        "among the LUT4. Flip-flops\naround multipliers and behind block RAMs are in those "
        "blocks (`gen/flow/ecp5_registers.py`) and not counted,\nin the other generators' cores "
        "as in ours.\n\n",
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

Of the median run. Names are those of the Verilog: the cells between, by the instances that they
stand in.

"""

PEERS_TEXT = """
## Beside other generators

`plain` with the same integers, synthesized by the same Yosys with the same options, placed by the
same nextpnr. da4ml rounds halves up, NNgen away from zero: where the network does otherwise, scores
may differ at ties, which the counts would show. The argmax is not in their cores.

"""

EMISSION = """
## Writing the Verilog

CPU time, Yosys's included and imports left out, and the peak of memory.

"""

SPEED = """
## Golden model and simulation

10,000 images (fewer of the larger networks), one thread each, CPU time; each engine with the
batch size that suits it best. PyTorch is torch.ao's eager mode on its x86 engine, ONNX Runtime a
statically quantized QDQ model. Simulation compares every value of every layer in Python
meanwhile, which is most of its time; it is measured where an image takes at most 2,000 cycles.

"""

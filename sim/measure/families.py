"""The names of cells in each family."""

from __future__ import annotations

__all__ = ["FAMILIES"]

# By family: the kinds of cells, with their names there.
FAMILIES = {
    "ecp5": {
        "luts": "LUT4",
        "flip_flops": "FF",
        "carries": "CCU2C",
        "dsps": "MULT18X18D",
        "block_rams": "DP16KD",
        "lut_rams": "DPR16X4",
    },
    "xilinx": {
        "luts": "LUT",
        "flip_flops": "FF",
        "carries": "CARRY4",
        "dsps": "DSP48E1",
        "block_rams": "RAMB18, RAMB36",
        "lut_rams": "LUT RAM",
    },
    "ice40": {
        "luts": "LUT4",
        "flip_flops": "FF",
        "carries": "CARRY",
        "dsps": "MAC16",
        "block_rams": "RAM40_4K",
    },
}

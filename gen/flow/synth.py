"""Synthesis with Yosys for three families; the results have the same form for all."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...model.files import temporary_folder, write_whole
from .ecp5_registers import pack_registers
from .yosys import FlowError, run_yosys

__all__ = ["LUT_RAM", "TARGETS", "Resources", "synthesize"]

# The synthesis command of each family, with the options that every core needs.
TARGETS = {
    "ecp5": "synth_ecp5",
    "ice40": "synth_ice40 -dsp",
    "xilinx": "synth_xilinx -family xc7 -flatten",
}

BLOCK_RAM = "BLOCKRAM|16KD|RAM4K"  # in memory_libmap's names of block RAMs
LUT_RAM = {"ecp5", "xilinx"}  # families with LUT RAM; iCE40 uses flip-flops or block RAM

# Kinds of cells, as regular expressions over the cell types of all families.
KINDS = {
    "luts": r"LUT[1-6]|SB_LUT4",
    "flip_flops": r"TRELLIS_FF|SB_DFF\w*|FD[CPRS]E",
    "carries": r"CCU2C|SB_CARRY|CARRY4",
    "dsps": r"MULT18X18D|SB_MAC16|DSP48E1",
    "block_rams": r"DP16KD|SB_RAM40_4K\w*|RAMB18E1|RAMB36E1",
    "lut_rams": r"TRELLIS_DPR16X4|RAM\d+[MXD]\w*|SRL\w+",
}


@dataclass(frozen=True)
class Resources:
    """Cells of a synthesized core by kind.

    rom_bits : bits of the memories without a write port in the synthesized Verilog
    in_blocks : the memories in block RAM, by their paths from the top
    """

    luts: int
    flip_flops: int
    carries: int
    dsps: int
    block_rams: int
    lut_rams: int
    rom_bits: int
    in_blocks: frozenset[str]

    def facts(self) -> dict[str, int]:
        """The counts, as a plain dict."""
        return {key: count for key, count in asdict(self).items() if key != "in_blocks"}


def synthesize(verilog: Path, top: str, target: str, netlist: Path | None = None) -> Resources:
    """Synthesize a Verilog file for a family of ``TARGETS``.

    netlist : file for the cells and their nets in Yosys's JSON, for place and route; for ECP5 with
        packed registers (``ecp5_registers.py``)

    Raises FlowError if Yosys fails, leaves no cells, or leaves cells that the family does not have.
    """
    with temporary_folder() as folder:
        source, cells_file, memories = f"{top}.v", folder / "netlist.json", folder / "memories.il"
        shutil.copyfile(verilog, folder / source)
        log = run_yosys(
            [
                f"read_verilog {source}",
                f"hierarchy -check -top {top}",
                "proc",
                "memory_collect",
                f"write_rtlil {memories.name}",
                "design -reset",  # the passes above would keep address registers out of block RAM
                f"read_verilog {source}",
                f"{TARGETS[target]} -top {top}",
                "check -assert",
                "delete t:$scopeinfo",  # records of flattened modules, not cells
                "check -mapped",
                "setattr -mod -unset src",
                "setattr -unset src a:src",
                f"write_json {cells_file.name}",
            ],
            folder,
        )
        _require_mapped(log, target)
        design = json.loads(cells_file.read_text(encoding="utf-8"))
        cells = _cell_counts(design["modules"][top], pack=target == "ecp5")
        rom_bits = _rom_bits(memories.read_text(encoding="utf-8"))
        if netlist is not None:
            write_whole(netlist, json.dumps(design))
    if not cells:
        raise FlowError(f"Yosys left no cells of {top} for {target}; that is a fault of the flow")
    counts = {
        kind: sum(count for cell, count in cells.items() if re.fullmatch(pattern, cell))
        for kind, pattern in KINDS.items()
    }
    return Resources(**counts, rom_bits=rom_bits, in_blocks=_in_blocks(log, top))


UNMAPPED = re.compile(
    r"^Warning: Cell (\S+) is an unmapped internal cell of type (\S+)\.$", re.MULTILINE
)


def _require_mapped(log: str, target: str) -> None:
    """Refuse unmapped cells of Yosys, such as a memory that the family cannot implement."""
    left = UNMAPPED.findall(log)
    for cell, kind in left[:1]:
        more = f" and {len(left) - 1} more" if len(left) > 1 else ""
        raise FlowError(
            f"Yosys left {cell}{more} for {target} as it was, a {kind}, which no device has; "
            "synthesize for another family, or a core with another plan"
        )


def _cell_counts(module: dict[str, Any], *, pack: bool) -> Counter[str]:
    """The number of cells of a module by type, after packing its registers if ``pack`` is set."""
    if pack:
        pack_registers(module)
    return Counter(cell["type"] for cell in module["cells"].values())


def _in_blocks(log: str, top: str) -> frozenset[str]:
    """The memories that ``memory_libmap`` mapped to block RAM, by the path of the submodule."""
    mapped = re.findall(r"^mapping memory (\S+) via (\S+)$", log, re.MULTILINE)
    return frozenset(
        path.removeprefix(f"{top}.").removesuffix(".memory")
        for path, cell in mapped
        if re.search(BLOCK_RAM, cell)
    )


def _rom_bits(rtlil: str) -> int:
    """Bits of memories without a write port in RTLIL text; each is one ``$mem_v2`` cell."""
    bits = 0
    for cell in re.findall(r"cell \$mem_v2 .*?\n  end", rtlil, flags=re.DOTALL):
        parameters = dict(
            re.findall(r"parameter (?:signed )?\\(\w+) (-?\d+)\s*$", cell, re.MULTILINE)
        )
        if int(parameters["WR_PORTS"]) == 0:
            bits += int(parameters["SIZE"]) * int(parameters["WIDTH"])
    return bits

"""Registers into the blocks of an ECP5 that have their own: multipliers and block RAMs.

MULT18X18D has registers at A, B and P (Lattice FPGA-TN-02205, sysDSP Usage Guide), DP16KD at its
outputs (FPGA-TN-02204, sysMEM Usage Guide). Yosys 0.70 leaves them all in slices, whose way to the
multiplier and through it is then as long as the clock. A flip-flop moves where it has no reset,
starts at 0 as the blocks do, and shares clock and enable with the others of its block.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["pack_registers"]

Bit = int | str  # a net, or "0", "1", "x"
FACTORS, PRODUCT = {"A": 18, "B": 18}, 36
DATA = 18  # of each port of a block RAM


@dataclass(frozen=True)
class _Control:
    """What moves registers: a clock, and an enable or "1"."""

    clock: Bit
    enable: Bit


def pack_registers(module: dict[str, Any]) -> None:
    """Move registers into the blocks of a module of Yosys's JSON, in place."""
    netlist = _Netlist(module)
    for name in netlist.of_type("MULT18X18D"):
        _pack_multiplier(netlist, netlist.cells[name])
    for name in netlist.of_type("DP16KD"):
        _pack_memory(netlist, netlist.cells[name])
    netlist.sweep()


class _Netlist:
    """The cells of a module, and who drives and reads each net."""

    def __init__(self, module: dict[str, Any]) -> None:
        self.cells: dict[str, dict[str, Any]] = module["cells"]
        self._outputs = [
            bit
            for port in module["ports"].values()
            if port["direction"] == "output"
            for bit in port["bits"]
        ]
        self._driver: dict[Bit, str] = {}
        self._readers: dict[Bit, list[tuple[str, str]]] = defaultdict(list)
        for name, cell in self.cells.items():
            for port, bits in cell["connections"].items():
                if cell["port_directions"][port] == "output":
                    self._driver |= dict.fromkeys(bits, name)
                else:
                    for bit in bits:
                        self._readers[bit].append((name, port))
        for bit in self._outputs:
            self._readers[bit].append(("", ""))

    def of_type(self, kind: str) -> list[str]:
        """The names of the cells of a type."""
        return [name for name, cell in self.cells.items() if cell["type"] == kind]

    def before(self, bit: Bit) -> tuple[_Control, Bit] | None:
        """The control and the input of the flip-flop that drives a net; None where none that may
        move does."""
        return self._register(self._driver.get(bit, ""))

    def behind(self, bits: Mapping[str, Bit]) -> tuple[_Control, dict[str, str]] | None:
        """By port, the flip-flops that alone read these nets, where those that are read have such,
        of one control."""
        flip_flops, controls = {}, set()
        for port, bit in bits.items():
            readers = self._readers[bit]
            if not readers:
                continue
            name, at = readers[0]
            register = self._register(name)
            if len(readers) > 1 or at != "DI" or register is None:
                return None
            flip_flops[port] = name
            controls.add(register[0])
        return (controls.pop(), flip_flops) if len(controls) == 1 else None

    def _register(self, name: str) -> tuple[_Control, Bit] | None:
        cell = self.cells.get(name)
        if cell is None or cell["type"] != "TRELLIS_FF":
            return None
        parameters, nets = cell["parameters"], cell["connections"]
        plain = parameters.get("REGSET", "RESET") == "RESET" and parameters["CLKMUX"] == "CLK"
        always = parameters.get("CEMUX", "1").strip() == "1"  # a space follows what looks binary
        enable = "1" if always else nets["CE"][0] if parameters["CEMUX"] == "CE" else None
        if not plain or enable is None or nets.get("LSR", ["0"])[0] != "0":
            return None
        return _Control(nets["CLK"][0], enable), nets["DI"][0]

    def take(self, cell: dict[str, Any], flip_flops: Mapping[str, str]) -> None:
        """Let a cell's outputs drive what the flip-flops behind them do, and drop those."""
        for port, name in flip_flops.items():
            cell["connections"][port] = self.cells.pop(name)["connections"]["Q"]

    def sweep(self) -> None:
        """Drop flip-flops that nobody reads any more, and those that only they read."""
        while True:
            read = set(self._outputs)
            for cell in self.cells.values():
                for port, bits in cell["connections"].items():
                    if cell["port_directions"][port] != "output":
                        read.update(bits)
            unread = [
                name
                for name in self.of_type("TRELLIS_FF")
                if self.cells[name]["connections"]["Q"][0] not in read
            ]
            if not unread:
                return
            for name in unread:
                del self.cells[name]


def _pack_multiplier(netlist: _Netlist, cell: dict[str, Any]) -> None:
    nets = cell["connections"]
    product = {f"P{at}": nets[f"P{at}"][0] for at in range(PRODUCT) if nets.get(f"P{at}")}
    behind, before = netlist.behind(product), _factors(netlist, nets)
    control = (behind or before or (None,))[0]
    if control is None:
        return
    registers = []
    if before is not None and before[0] == control:
        nets |= {port: [bit] for port, bit in before[1].items()}
        registers += [f"INPUT{side}" for side in FACTORS]
    if behind is not None:
        netlist.take(cell, behind[1])
        nets |= {port: [] for port in product if port not in behind[1]}
        registers.append("OUTPUT")
    for register in registers:
        cell["parameters"] |= {f"REG_{register}_CLK": "CLK0", f"REG_{register}_CE": "CE0"}
        cell["parameters"][f"REG_{register}_RST"] = "RST0"
    cell["parameters"]["GSR"] = "DISABLED"
    _connect(cell, CLK0=control.clock, CE0=control.enable, RST0="0")


def _factors(
    netlist: _Netlist, nets: Mapping[str, list[Bit]]
) -> tuple[_Control, dict[str, Bit]] | None:
    """What the registers at A and B take; None where not all of them have something to take. A
    constant may go through one: it is 0 before the first enable, but so is the other factor."""
    inputs: dict[str, Bit] = {}
    controls = set()
    for port in (f"{side}{at}" for side, width in FACTORS.items() for at in range(width)):
        bit = nets[port][0]
        register = netlist.before(bit)
        if register is None and not isinstance(bit, str):
            return None
        if register is not None:
            controls.add(register[0])
        inputs[port] = bit if register is None else register[1]
    ones = {port[0] for port, bit in inputs.items() if bit == "1"}
    return (controls.pop(), inputs) if len(controls) == 1 and len(ones) < len(FACTORS) else None


def _pack_memory(netlist: _Netlist, cell: dict[str, Any]) -> None:
    """Behind each port that reads. One written in 36 bits reads on both, by the clock of B."""
    wide = int(cell["parameters"]["DATA_WIDTH_A"], 2) == 2 * DATA
    for clock, sides in {"B": "AB"}.items() if wide else {"A": "A", "B": "B"}.items():
        nets = cell["connections"]
        data = _bits(nets, (f"DO{side}{at}" for side in sides for at in range(DATA)))
        behind = netlist.behind(data)
        if behind is None or nets.get(f"RST{clock}", ["0"])[0] != "0":
            continue
        control, flip_flops = behind
        if nets[f"CLK{clock}"][0] != control.clock:
            continue
        netlist.take(cell, flip_flops)
        nets |= {port: [] for port in data if port not in flip_flops}
        cell["parameters"] |= {f"REGMODE_{side}": "OUTREG" for side in sides}
        _connect(cell, **{f"OCE{clock}": control.enable})


def _bits(nets: Mapping[str, list[Bit]], ports: Iterable[str]) -> dict[str, Bit]:
    return {port: nets[port][0] for port in ports if nets.get(port)}


def _connect(cell: dict[str, Any], **inputs: Bit) -> None:
    for port, bit in inputs.items():
        cell["connections"][port] = [bit]
        cell["port_directions"][port] = "input"

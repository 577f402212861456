"""Register packing for ECP5: moves flip-flops into multipliers and block RAMs.

MULT18X18D has registers at A, B and P (Lattice FPGA-TN-02205, sysDSP Usage Guide). DP16KD has
registers at its outputs (FPGA-TN-02204, sysMEM Usage Guide). Yosys 0.70 leaves all registers in
slices, and the path to the multiplier and through it then limits the clock. A flip-flop can move if
it has no reset, starts at 0 like the registers of the blocks, and has the same clock and enable as
the other flip-flops of its block.

Flip-flops after a block move first; the block then drives their outputs. Flip-flops before a
multiplier move next, unless they have moved already.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .yosys import FlowError

__all__ = ["pack_registers"]

Bit = int | str  # a net, or "0", "1", "x"
FACTORS, PRODUCT = {"A": 18, "B": 18}, 36
DATA = 18  # bits of each port of a block RAM


@dataclass(frozen=True)
class _Control:
    """The control of a register: a clock, and an enable or "1"."""

    clock: Bit
    enable: Bit


def pack_registers(module: dict[str, Any]) -> None:
    """Pack the registers of a module of Yosys's JSON into its blocks, in place.

    Raises FlowError if a net that is read has lost its driver. That would be a bug in this file.
    """
    netlist = _Netlist(module)
    for cell in netlist.of_type("DP16KD"):
        _pack_memory(netlist, cell)
    multipliers = netlist.of_type("MULT18X18D")
    controls = [_pack_product(netlist, cell) for cell in multipliers]
    for cell, control in zip(multipliers, controls, strict=True):
        _pack_factors(netlist, cell, control)
    netlist.sweep()
    netlist.check()


class _Netlist:
    """The cells of a module, and the driver and the readers of each net."""

    def __init__(self, module: dict[str, Any]) -> None:
        self._cells: dict[str, dict[str, Any]] = module["cells"]
        self._ports = module["ports"].values()
        self._kept = {
            bit
            for net in module["netnames"].values()
            if "keep" in net["attributes"]
            for bit in net["bits"]
        }
        self._passed: set[str] = set()
        self._driver: dict[Bit, str] = {}
        self._readers: dict[Bit, list[tuple[str, str]]] = defaultdict(list)
        for name, port, bit in self._reads():
            self._readers[bit].append((name, port))
        for name, cell in self._cells.items():
            for port, bits in cell["connections"].items():
                if cell["port_directions"][port] == "output":
                    self._driver |= dict.fromkeys(bits, name)

    def _reads(self) -> Iterator[tuple[str, str, Bit]]:
        """(cell, port, net) of every read; for outputs of the module, cell and port are empty."""
        for port in self._ports:
            if port["direction"] != "input":
                yield from (("", "", bit) for bit in port["bits"])
        for name, cell in self._cells.items():
            for port, bits in cell["connections"].items():
                if cell["port_directions"][port] != "output":
                    yield from ((name, port, bit) for bit in bits)

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        """The cells of a type."""
        return [cell for cell in self._cells.values() if cell["type"] == kind]

    def before(self, bit: Bit) -> tuple[_Control, Bit] | None:
        """The control and the input of the flip-flop that drives a net.

        None if the driver is no flip-flop, or one that must not move.
        """
        return self._register(self._driver.get(bit, ""))

    def behind(self, bits: Mapping[str, Bit]) -> tuple[_Control, dict[str, str]] | None:
        """The control of the flip-flops after these nets, and their names by port.

        None unless each net that is read has a single reader, a flip-flop that can move, and all
        these flip-flops have the same control.
        """
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
        cell = self._cells.get(name)
        if cell is None or cell["type"] != "TRELLIS_FF" or "keep" in cell["attributes"]:
            return None
        parameters, nets = cell["parameters"], cell["connections"]
        plain = parameters.get("REGSET", "RESET") == "RESET" and parameters["CLKMUX"] == "CLK"
        always = parameters.get("CEMUX", "1").strip() == "1"  # Yosys may append a space
        enable = "1" if always else nets["CE"][0] if parameters["CEMUX"] == "CE" else None
        if not plain or enable is None or nets.get("LSR", ["0"])[0] != "0":
            return None
        return _Control(nets["CLK"][0], enable), nets["DI"][0]

    def take(self, cell: dict[str, Any], flip_flops: Mapping[str, str]) -> None:
        """Remove the flip-flops after a cell; its outputs drive their output nets instead."""
        for port, name in flip_flops.items():
            driven = self._cells.pop(name)["connections"]["Q"]
            cell["connections"][port] = driven
            del self._driver[driven[0]]  # its flip-flop is gone

    def replace(self, cell: dict[str, Any], inputs: Mapping[str, Bit]) -> None:
        """Connect inputs of a cell to the nets before the flip-flops that drive them."""
        self._passed |= {self._driver.get(cell["connections"][port][0], "") for port in inputs}
        cell["connections"] |= {port: [bit] for port, bit in inputs.items()}

    def sweep(self) -> None:
        """Remove bypassed flip-flops that have no other reader."""
        read = self._kept | {bit for _, _, bit in self._reads()}
        for name in self._passed & self._cells.keys():
            if self._cells[name]["connections"]["Q"][0] not in read:
                del self._cells[name]

    def check(self) -> None:
        """Raises FlowError if a net that is read has no driver."""
        driven = {
            bit for port in self._ports if port["direction"] != "output" for bit in port["bits"]
        }
        for cell in self._cells.values():
            for port, bits in cell["connections"].items():
                if cell["port_directions"][port] == "output":
                    driven.update(bits)
        for name, port, bit in self._reads():
            if not isinstance(bit, str) and bit not in driven:
                raise FlowError(
                    f"Packing registers left {name or 'an output'} {port} without a driver; "
                    "that is a fault of the flow"
                )


def _pack_memory(netlist: _Netlist, cell: dict[str, Any]) -> None:
    """Pack the flip-flops after each read port of a block RAM.

    A block RAM of 36 bits reads on both ports, with the clock of B.
    """
    parameters, nets = cell["parameters"], cell["connections"]
    wide = int(parameters["DATA_WIDTH_A"], 2) == 2 * DATA
    for side, read in {"B": "AB"}.items() if wide else {"A": "A", "B": "B"}.items():
        data = _bits(nets, (f"DO{each}{at}" for each in read for at in range(DATA)))
        behind = netlist.behind(data)
        if behind is None or nets.get(f"RST{side}", ["0"])[0] != "0":
            continue
        control, flip_flops = behind
        rising = parameters.get(f"CLK{side}MUX", f"CLK{side}") == f"CLK{side}"
        if not rising or nets[f"CLK{side}"][0] != control.clock:
            continue
        netlist.take(cell, flip_flops)
        nets |= {port: [] for port in data if port not in flip_flops}
        parameters |= {f"REGMODE_{each}": "OUTREG" for each in read}
        _connect(cell, **{f"OCE{side}": control.enable})


def _pack_product(netlist: _Netlist, cell: dict[str, Any]) -> _Control | None:
    """Pack the flip-flops after a multiplier; return their control, None if there are none."""
    product = _bits(cell["connections"], (f"P{at}" for at in range(PRODUCT)))
    behind = netlist.behind(product)
    if behind is None:
        return None
    control, flip_flops = behind
    netlist.take(cell, flip_flops)
    cell["connections"] |= {port: [] for port in product if port not in flip_flops}
    _use_registers(cell, control, "OUTPUT")
    return control


def _pack_factors(netlist: _Netlist, cell: dict[str, Any], control: _Control | None) -> None:
    """Pack the flip-flops before a multiplier.

    control : of its output register, None if it has none; the input registers must have the same
    """
    before = _factors(netlist, cell["connections"])
    if before is None or control not in (None, before[0]):
        return
    netlist.replace(cell, before[1])
    _use_registers(cell, before[0], *(f"INPUT{side}" for side in FACTORS))


def _factors(
    netlist: _Netlist, nets: Mapping[str, list[Bit]]
) -> tuple[_Control, dict[str, Bit]] | None:
    """The control and the inputs of the registers at A and B; None if not all bits can have one.

    A constant bit may pass through a register. The register is 0 before the first enable, but so is
    the other factor.
    """
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
    ones = {port[0] for port in inputs if nets[port][0] == "1"}
    return (controls.pop(), inputs) if len(controls) == 1 and len(ones) < len(FACTORS) else None


def _use_registers(cell: dict[str, Any], control: _Control, *names: str) -> None:
    for name in names:
        cell["parameters"] |= {f"REG_{name}_{kind}": f"{kind}0" for kind in ("CLK", "CE", "RST")}
    cell["parameters"]["GSR"] = "DISABLED"
    _connect(cell, CLK0=control.clock, CE0=control.enable, RST0="0")


def _bits(nets: Mapping[str, list[Bit]], ports: Iterable[str]) -> dict[str, Bit]:
    return {port: nets[port][0] for port in ports if nets.get(port)}


def _connect(cell: dict[str, Any], **inputs: Bit) -> None:
    for port, bit in inputs.items():
        cell["connections"][port] = [bit]
        cell["port_directions"][port] = "input"

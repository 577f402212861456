"""Readable names in the Verilog: the names of the Python code.

Amaranth appends numbers to signals of equal name (``o__valid$28``), and names a port by the first
of its aliases that it uses. Two steps repair this. Before conversion, each component's own ports
are used first, so they get the plain names. After it, in the RTLIL text, each wire between
submodules is named ``instance_port`` after its driver. Equal names, in a module or of modules, are
made distinct by numbers: ``a`` with a submodule ``engine``, and ``a__engine``, are two modules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from amaranth import Cat, Signal
from amaranth.hdl import Fragment, Value
from amaranth.lib import wiring

from ...model.names import distinct
from ..keywords import KEYWORDS

__all__ = ["module_name", "own_ports_first", "readable"]

WIRE = re.compile(r"\s+wire (?P<attributes>.*)(?P<name>\\\S+)\s*$")
CELL = re.compile(r"(?P<start>\s+cell )(?P<type>\S+) (?P<instance>\S+)\s*$")
CONNECTION = re.compile(r"\s+connect \\(?P<port>\S+) (?P<wire>\\\S+)( \[[0-9:]+\])?\s*$")
MODULE = re.compile(r"module (?P<name>\\\S+)\s*$")
NAME = re.compile(r"\\\S+")
NUMBER = re.compile(r"\$\d+(?=\.|$)")  # Amaranth's, if a submodule is named like a signal


def module_name(text: str) -> str:
    """The text, if it can name a module. Raises ValueError if it is no Verilog name."""
    if not (text.isidentifier() and text.isascii()) or text in KEYWORDS:
        raise ValueError(
            f"must be letters, digits and underscores, and no Verilog keyword, not {text!r}"
        )
    return text


def own_ports_first(fragment: Fragment) -> None:
    """Use each component's ports before everything else in its module; changes no logic.

    The added statement assigns zero bits of the ports to zero bits. Its only effect is the order.
    """
    for origin in fragment.origins or ():
        if isinstance(origin, wiring.Component):
            ports = [Value.cast(value) for _, _, value in origin.signature.flatten(origin)]
            others = fragment.statements
            fragment.statements = {}
            fragment.add_statements("comb", Signal(0).eq(Cat(ports)[:0]))
            for domain, statements in others.items():
                fragment.add_statements(domain, *statements)
    for child, _, _ in fragment.subfragments:
        own_ports_first(child)


@dataclass
class _Module:
    """A module of RTLIL text: its lines, each with the cell that contains it, and declarations."""

    name: str = ""
    lines: list[tuple[str, re.Match[str] | None]] = field(default_factory=list)
    ports: dict[str, bool] = field(default_factory=dict)  # name: whether it is an output
    wires: list[str] = field(default_factory=list)
    links: list[tuple[str, str, str, str]] = field(default_factory=list)  # of submodules' ports

    def add(self, line: str, cell: re.Match[str] | None) -> None:
        """Add a line and its declaration; a link is (module, instance, port, wire)."""
        self.lines.append((line, cell))
        if match := MODULE.match(line):
            self.name = match["name"]
        elif match := WIRE.match(line):
            self.wires.append(match["name"])
            if re.search(r"\b(input|output)\b", match["attributes"]):
                self.ports[match["name"]] = "output" in match["attributes"]
        elif cell and (match := CONNECTION.match(line)):
            self.links.append(
                (cell["type"], _instance(cell["instance"]), match["port"], match["wire"])
            )

    def number_ports(self) -> None:
        """Order the ports: clock and reset, then by name, which keeps a stream's ports together."""
        order = sorted(self.ports, key=lambda port: (port not in (r"\clk", r"\rst"), port))
        for index, (line, cell) in enumerate(self.lines):
            if (match := WIRE.match(line)) and match["name"] in self.ports:
                number = order.index(match["name"]) + 1  # in Yosys 0 means no port
                line = re.sub(r"\b(input|output) \d+", rf"\1 {number}", line)
                self.lines[index] = line, cell


def _split(text: str) -> Iterator[_Module]:
    """The modules of a text; lines between modules, such as attributes, belong to the next one."""
    module, cell = _Module(), None
    for line in text.splitlines():
        cell = CELL.match(line) or cell
        module.add(line, cell)
        if line.strip() == "end":
            cell = None
        if line == "end":
            yield module
            module = _Module()


def _instance(name: str) -> str:
    """The name of an instance in the Python code, without a backslash."""
    return NUMBER.sub("", name.removeprefix("\\"))


def _plain(name: str) -> str:
    """A name without characters that Verilog must escape."""
    return "\\" + re.sub(r"\W+", "_", name[1:].replace("]", ""))


def _renames(module: _Module, outputs: Mapping[str, Mapping[str, bool]]) -> dict[str, str]:
    """The new name of each wire of a module; instances and ports keep their names."""
    names: dict[str, str] = {}
    driven = [link for link in module.links if outputs.get(link[0], {}).get(f"\\{link[2]}")]
    others = [link for link in module.links if link[0] in outputs]
    for _, instance, port, wire in [*driven, *others]:
        if wire not in module.ports:
            names.setdefault(wire, f"\\{instance}_{port}")
    for wire in module.wires:
        # A remaining name with a number, an index or a member path is an alias of a wire named
        # above; with a private name, Yosys removes it.
        alias = "$" in wire or "[" in wire or "__" in wire
        if wire not in module.ports:
            names.setdefault(wire, "$" + wire[1:] if alias else wire)
    instances = (_instance(cell["instance"]) for _, cell in module.lines if cell)
    taken = {f"\\{name}" for name in (*KEYWORDS, *instances)}
    return distinct(
        ((old, new if new.startswith("$") else _plain(new)) for old, new in names.items()),
        taken | module.ports.keys(),
    )


def readable(text: str, prefix: str, comments: Mapping[str, str]) -> str:
    """RTLIL text with new names for wires between submodules and for all modules but the top.

    prefix : start of the modules' names; their paths in the hierarchy follow
    comments : by path in the hierarchy, joined by dots; they become attributes of the modules
    """
    modules = list(_split(text))
    for module in modules:
        module.number_ports()
    outputs = {module.name: module.ports for module in modules}
    types = _types(outputs, prefix)
    lines = []
    for module in modules:
        names = _renames(module, outputs)
        comment = comments.get(NUMBER.sub("", module.name)[1:])
        lines += [] if comment is None else [f'attribute \\comment "{comment}"']
        lines += [_rewrite(line, cell, names, types) for line, cell in module.lines]
    return "\n".join(lines)


def _types(modules: Iterable[str], prefix: str) -> dict[str, str]:
    """The new name of each module, outer modules first; the top module keeps its name."""
    wanted = []
    for name in sorted(modules, key=lambda name: name.count(".")):
        top, *path = NUMBER.sub("", name).split(".")
        wanted.append((name, "__".join([f"\\{prefix}", *path]) if path else top))
    return distinct(wanted)


def _rewrite(
    line: str, cell: re.Match[str] | None, names: dict[str, str], types: dict[str, str]
) -> str:
    """One line with new names; the ports of a submodule and the name of a cell do not change."""
    if MODULE.match(line):
        return NAME.sub(lambda match: types[match[0]], line, count=1)
    if (match := CELL.match(line)) and match["type"] in types:
        return f"{match['start']}{types[match['type']]} \\{_instance(match['instance'])}"
    keep = 0
    if cell and (match := re.match(r"\s+(connect|parameter( signed)?) \\\S+", line)):
        keep = match.end()
    return line[:keep] + NAME.sub(lambda match: names.get(match[0], match[0]), line[keep:])

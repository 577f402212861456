"""The aims that cores are built to, each beside what was measured, and why where it is missed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .document_text import AIMS, FAMILIES, SEPARABLE
from .markdown import reasons, table
from .plans import PLANS
from .store import Facts
from .tasks import Key, Rows

__all__ = ["aims_section"]

PLACES = {"xilinx": "7-series", "ecp5": "ECP5-85F", "ice40": "iCE40 UP5K"}
CELLS = {  # of `plain` at one value a clock, at most
    "xilinx": {"luts": 500, "dsps": 9, "block_rams": 2, "flip_flops": 900},
    "ecp5": {"luts": 600, "dsps": 9},
    "ice40": {"dsps": 8},
}
CLOCKS = {"ecp5": 140, "ice40": 30}  # the same, MHz, at least
COMPARED = ("luts", "flip_flops", "dsps", "block_rams")  # of `separable`, below `plain`'s
LARGER = ("mnist_cnn", "mnist_cnn_bn", "lenet_max", "lenet_avg", "mobilenet")
LARGER_CLOCK = 120  # MHz on ECP5 at 64 multipliers, at least
EMISSION = {"plain": 2, "mobilenet": 20}  # CPU seconds, below
PEAK = 1024  # MiB, below


@dataclass(frozen=True)
class _Line:
    """An aim and its row.

    what, aim : for the table
    value : measured, None where it was not
    met : whether the aim is
    why : where it is not
    """

    what: str
    aim: str
    value: float | None
    met: bool
    why: str = ""

    @property
    def cells(self) -> list[str]:
        """The line of the table."""
        if self.value is None:
            return [self.what, self.aim, "-", "no" if self.why else "-"]
        digits = 1 if isinstance(self.value, float) else 0
        return [self.what, self.aim, f"{self.value:,.{digits}f}", "yes" if self.met else "no"]


def aims_section(rows: Rows) -> str:
    """A table of aims, and a list of why some are missed."""
    lines = [*_plain(rows), *_separable(rows), *_larger(rows), *_emission(rows)]
    missed = [(line.what, "", line.why) for line in lines if line.why and not line.met]
    shown = table(["what", "aim", "measured", "met"], [line.cells for line in lines])
    return AIMS + shown + reasons(missed, heading="Falls short")


def _plain(rows: Rows) -> Iterator[_Line]:
    for target, limits in CELLS.items():
        (_, kinds), cells = FAMILIES[target], _cells(rows, "plain", "default", target)
        for kind, limit in limits.items():
            value = cells.get(kind)
            met = value is not None and value <= limit
            yield _Line(
                _what("plain", "default", target, kinds[kind]), f"at most {limit}", value, met
            )
        if target in CLOCKS:
            yield _clock(cells, _what("plain", "default", target, "MHz"), CLOCKS[target])


def _separable(rows: Rows) -> Iterator[_Line]:
    for target in CELLS:
        own = _cells(rows, "separable", "default", target)
        plain, (_, kinds) = _cells(rows, "plain", "default", target), FAMILIES[target]
        for kind in COMPARED:
            what = _what("separable", "default", target, kinds[kind])
            value, other = own.get(kind), plain.get(kind)
            if value is None or other is None:
                yield _Line(what, "below `plain`'s", value, met=False)
            else:
                yield _Line(what, f"below `plain`'s {other:,}", value, value < other, SEPARABLE)


def _larger(rows: Rows) -> Iterator[_Line]:
    for net in LARGER:
        cells = _cells(rows, net, "64", "ecp5")
        yield _clock(cells, _what(net, "64", "ecp5", "MHz"), LARGER_CLOCK)


def _emission(rows: Rows) -> Iterator[_Line]:
    for net, limit in EMISSION.items():
        core = _known(rows, ("emission", net, "default"))
        for name, unit, most in (("emission_cpu_s", "CPU s", limit), ("peak_mib", "MiB", PEAK)):
            value = core.get(name)
            met = value is not None and value < most
            why = "measured on a machine that may have done other work as well"
            yield _Line(f"`{net}`, writing the Verilog, {unit}", f"below {most}", value, met, why)


def _clock(cells: Facts, what: str, least: int) -> _Line:
    """The median clock, and its critical path where that is too slow."""
    pnr = cells.get("pnr", {})
    value, path = pnr.get("fmax_mhz"), pnr.get("path")
    why = pnr.get("does_not_fit", "")
    if path:
        why = (
            f"from `{path['start']}` to `{path['end']}`, {path['logic_ns']:.1f} ns of logic and "
            f"{path['routing_ns']:.1f} of routing"
        )
    return _Line(what, f"at least {least}", value, value is not None and value >= least, why)


def _what(net: str, plan: str, target: str, kind: str) -> str:
    return f"`{net}`, {PLANS[plan].title}, {PLACES[target]}, {kind}"


def _cells(rows: Rows, net: str, plan: str, target: str) -> Facts:
    return _known(rows, ("cells", net, plan, target))


def _known(rows: Rows, key: Key) -> Facts:
    """A row; empty where it was not measured."""
    return {} if "reason" in rows[key] else rows[key]

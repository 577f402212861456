"""The section of docs/performance.md on aims: each with its measured value, and why if missed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ...model.studies.document import reasons, table
from ...model.studies.rows import Facts
from .families import FAMILIES
from .plans import PLANS
from .tasks import Key, Rows

__all__ = ["aims_section"]

PLACES = {"xilinx": "7-series", "ecp5": "ECP5-85F", "ice40": "iCE40 UP5K"}
CELLS = {  # the most cells of `plain` at one value a clock
    "xilinx": {"luts": 500, "dsps": 9, "block_rams": 2, "flip_flops": 900},
    "ecp5": {"luts": 600, "dsps": 9},
    "ice40": {"dsps": 8},
}
CLOCKS = {"ecp5": 140, "ice40": 30}  # the lowest clock of `plain` at this plan, MHz
COMPARED = ("luts", "flip_flops", "dsps", "block_rams")  # `separable` must have fewer than `plain`
LARGER = ("mnist_cnn", "mnist_cnn_bn", "lenet_max", "lenet_avg", "mobilenet")
LARGER_CLOCK = 120  # the lowest clock in MHz, on ECP5 at 64 multipliers
SEPARABLE = (
    "`separable` has six layers, each with its own walk, sums and requantizer; `plain` has three; "
    "both have the same number of multipliers"
)
EMISSION = {"plain": 2, "mobilenet": 20}  # limits in CPU seconds
PEAK = 1024  # limit in MiB


@dataclass(frozen=True)
class _Line:
    """An aim and its row.

    what, aim : the texts of the table
    value : the measured value, None if there is none
    met : whether the aim is met
    why : the reason if it is not met
    """

    what: str
    aim: str
    value: float | None
    met: bool
    why: str = ""

    @property
    def cells(self) -> list[str]:
        """The cells of the table's line."""
        if self.value is None:
            return [self.what, self.aim, "-", "no" if self.why else "-"]
        digits = 1 if isinstance(self.value, float) else 0
        return [self.what, self.aim, f"{self.value:,.{digits}f}", "yes" if self.met else "no"]


def aims_section(rows: Rows) -> str:
    """A table of aims, and a list of reasons for missed ones."""
    lines = [*_plain(rows), *_separable(rows), *_larger(rows), *_emission(rows)]
    missed = [(line.what, "", line.why) for line in lines if line.why and not line.met]
    shown = table(["what", "aim", "measured", "met"], [line.cells for line in lines])
    return shown + reasons(missed, heading="Missed aims")


def _plain(rows: Rows) -> Iterator[_Line]:
    for target, limits in CELLS.items():
        kinds, cells = FAMILIES[target], _cells(rows, "plain", "default", target)
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
        plain, kinds = _cells(rows, "plain", "default", target), FAMILIES[target]
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
    """The aim of a median clock; the reason is the critical path."""
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
    """A row; empty if it was not measured."""
    return {} if "reason" in rows[key] else rows[key]

"""Component to Verilog text, the same bytes every time.

Amaranth's RTLIL goes through Yosys with processes lowered to assigns: the stock back end leaves
``always @*`` blocks that may never fire at time 0, so that under Icarus a ``ready`` can stay X for
ever (amaranth issue 594). Modules are named by their place in the hierarchy, joined by two
underscores.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from amaranth.back import rtlil
from amaranth.hdl import Fragment, Value
from amaranth.lib import wiring

from ...model.files import temporary_folder
from ..flow.yosys import run_yosys
from .comments import comments_of
from .prose import prose
from .readable import own_ports_first, readable

__all__ = ["to_verilog"]

# Verilator looks at whole wires: one whose upper bits repeat a lower one is a loop to it.
LINT = "/* verilator lint_off UNOPTFLAT */ // wires of which one part is made of another\n"

PASSES = (
    "proc",  # multiplexers become assigns
    "memory_collect",  # ports of a memory join it
    "opt_clean -purge",  # what nobody reads goes, aliases too
    "setparam -set INIT 1'x t:$mem_v2 r:WR_PORTS>0 %i",  # a RAM needs no start value, and few have
    "opt_expr",
    "opt_merge",  # what is there twice
    "opt_dff",  # registers with resets and enables, not multiplexers before each
    "pmuxtree",  # no casez, which is written as a function
    "opt_expr -mux_undef",  # what an enable keeps out need not be chosen
    "opt_clean -purge",
    "setattr -unset full_case c:*",  # of cells; other tools stop there
    "autoname",  # see ``prose.py``
)


def to_rtlil(component: wiring.Component, name: str, prefix: str | None = None) -> str:
    """The RTLIL of ``component`` as top module ``name``, under readable names; those of the other
    modules begin with ``prefix``, by default ``name``."""
    fragment = Fragment.get(component, None)
    own_ports_first(fragment)
    comments = dict(comments_of(fragment, name))
    ports = {
        "__".join(map(str, path)): (Value.cast(value), None)
        for path, _, value in component.signature.flatten(component)
    }
    with _uncollected():
        text = rtlil.convert(fragment, name=name, ports=ports, emit_src=False)
    return readable(text, name if prefix is None else prefix, comments)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the search for cycles of objects: the netlist is millions of them, all in use until
    it is written, and to look through them again and again takes longer than to make them."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def to_verilog(
    component: wiring.Component, name: str, header: str, prefix: str | None = None
) -> str:
    """The Verilog of ``component`` as top module ``name``, under a comment of ``header`` lines;
    ``prefix`` as for :func:`to_rtlil`."""
    with temporary_folder() as folder:
        source, target = folder / "core.il", folder / "core.v"
        source.write_text(to_rtlil(component, name, prefix), encoding="utf-8")
        run_yosys([f"read_rtlil {source.name}", *PASSES, f"write_verilog {target.name}"], folder)
        _, body = target.read_text(encoding="utf-8").split("\n", 1)  # Yosys's own first line
    return "".join(f"// {line}\n" for line in header.splitlines()) + LINT + prose(body)

"""From component to Verilog text; the same component gives the same bytes.

Yosys converts Amaranth's RTLIL, with processes lowered to assigns. Amaranth's own back end leaves
``always @*`` blocks that may never fire at time 0; in Icarus a ``ready`` can then stay X forever
(amaranth issue 594). Modules are named by their path in the hierarchy, joined by two underscores.
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

# Verilator treats a wire as a whole: if its upper bits repeat a lower bit, it reports a loop.
LINT = "/* verilator lint_off UNOPTFLAT */ // wires of which one part is made of another\n"

PASSES = (
    "proc",  # multiplexers become assigns
    "memory_collect",  # merges a memory and its ports into one cell
    "opt_clean -purge",  # removes logic without readers, and aliases
    "setparam -set INIT 1'x t:$mem_v2 r:WR_PORTS>0 %i",  # RAMs need no initial values
    "opt_expr",
    "opt_merge",  # merges identical cells
    "opt_dff",  # registers with resets and enables instead of multiplexers before them
    "pmuxtree",  # avoids casez, which is written as a function
    "opt_expr -mux_undef",  # no choice of a value that the enable ignores
    "opt_clean -purge",
    "setattr -unset full_case c:*",  # of cells; other tools stop at this attribute
    "autoname",  # see ``prose.py``
)


def to_rtlil(component: wiring.Component, name: str, prefix: str | None = None) -> str:
    """The RTLIL of ``component`` as top module ``name``, with readable names.

    prefix : start of the names of all other modules; ``name`` by default
    """
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
    """Disable the cyclic garbage collector.

    Millions of netlist objects stay alive until the end, and scanning them takes longer than
    creating them.
    """
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
    """The Verilog of ``component`` as top module ``name``, after a comment with ``header``.

    prefix : as for :func:`to_rtlil`
    """
    with temporary_folder() as folder:
        source, target = folder / "core.il", folder / "core.v"
        source.write_text(to_rtlil(component, name, prefix), encoding="utf-8")
        run_yosys([f"read_rtlil {source.name}", *PASSES, f"write_verilog {target.name}"], folder)
        _, body = target.read_text(encoding="utf-8").split("\n", 1)  # Yosys's own first line
    return "".join(f"// {line}\n" for line in header.splitlines()) + LINT + prose(body)

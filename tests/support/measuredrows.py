"""Rows of a bench, as if measured."""

from tercet.gen.flow.nextpnr import Timing
from tercet.gen.flow.pnr_report import CriticalPath, Routed
from tercet.gen.flow.synth import TARGETS, Resources
from tercet.sim.measure import tasks

PATH = CriticalPath("rom.DOA", "product.D", ("rom", "engine"), 9.5, 2.7)
TIMING = Timing("ECP5-85F", tuple(Routed(seed, 78.4 + seed, {}, PATH) for seed in (1, 2, 3)))
RESOURCES = Resources(634, 863, 160, 9, 1, 35, 5832, frozenset())


def core(**other):
    """An emission row."""
    return {
        "cycles_per_image": 784,
        "latency_cycles": 961,
        "multipliers": 6,
        "requantizer_multipliers": 3,
        "rom_bits": 5832,
        "emission_cpu_s": 0.5,
        "peak_mib": 99.6,
        "verilog_lines": 3000,
        "verilog": "core.v",
        **other,
    }


def rows():
    """A row for each task: `plain` by the default plan measured, all else not."""
    made = {task.key: {"reason": "left out of this run"} for task in tasks.tasks()}
    made["emission", "plain", "default"] = core()
    for target in TARGETS:
        made["cells", "plain", "default", target] = RESOURCES.facts()
    made["cells", "plain", "default", "ecp5"]["pnr"] = TIMING.facts()
    made["cells", "plain", "default", "ice40"]["pnr"] = {"does_not_fit": "needs 12 of 8"}
    return made

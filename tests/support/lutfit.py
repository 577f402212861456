"""Fit the factors of ``gen/cost/luts.py`` to synthesized cores, for an hour.

    python tests/support/lutfit.py [ecp5 xilinx ice40]

Prints for each core what Yosys counts and the LUTs it occupies beside what ``gen/plan/cost.py``
says now; then the factors, and how far off each core is with them, and with those that are fitted
to all cores but itself.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from occupied import occupied_luts
from randomnets import random_network
from scipy.optimize import nnls
from tercet.gen.cost.devices import ECP5, ICE40, SERIES_7
from tercet.gen.cost.luts import FEATURES
from tercet.gen.flow.synth import synthesize
from tercet.gen.flow.yosys import FlowError
from tercet.gen.plan import make_plan
from tercet.gen.plan.cost import cost_of_core, features_of_core
from tercet.gen.plan.goals import CycleGoal, MultiplierGoal
from tercet.gen.verilog.core import Core
from tercet.gen.verilog.emit import to_verilog
from tercet.model import load

FAMILIES = {family.target: family for family in (ECP5, SERIES_7, ICE40)}
FEWEST = CycleGoal(1 << 40)
CORES = [  # names, or seeds of random networks, and goals
    *(("plain", goal) for goal in (FEWEST, None, CycleGoal(280), CycleGoal(112), CycleGoal(28))),
    *(("separable", goal) for goal in (None, CycleGoal(112), CycleGoal(28))),
    *((seed, CycleGoal(cycles)) for seed in (1, 2, 3) for cycles in (100_000, 1)),
    *(("mnist_cnn", goal) for goal in (FEWEST, None, MultiplierGoal(64))),
    *(("mnist_cnn_bn", goal) for goal in (None, MultiplierGoal(64))),
    *(("lenet_max", goal) for goal in (None, MultiplierGoal(64))),
    *(("lenet_avg", goal) for goal in (FEWEST, MultiplierGoal(64))),
    ("mobilenet", MultiplierGoal(64)),
]
# About what each feature should take: no core tells all of them apart, so factors are drawn here,
# by as much as an error of so much of a core.
LIKELY = {
    **{"core": 200, "layers": 20, "queues": 40, "windows": 300, "window_bits": 1.0},
    **{"sum_bits": 2.0, "tree_bits": 1.5, "requantized_bits": 1.5, "sequential_bits": 4.0},
    **{"cut_bits": 0.5, "fold_bits": 1.0, "rom_bits": 0.06, "ram_bits": 0.15},
    "row_bits": 0.8,
}
PULL = 0.02


def drawn(seed):
    """A random network of convolutions with any windows."""
    rng = np.random.default_rng(seed)
    return random_network(rng, shape=(14, 14, 1 + seed), depth=3, windows=True)


def measure(family, name, goal):
    """Features and LUTs of a core; none where Yosys fails, as it does on one of iCE40."""
    network = load(name) if isinstance(name, str) else drawn(name)
    plan, top = make_plan(network, goal), network.name
    with tempfile.TemporaryDirectory() as folder:
        verilog = Path(folder) / f"{top}.v"
        verilog.write_text(to_verilog(Core(plan=plan), top, ""))
        try:
            netlist = verilog.with_suffix(f".{family.target}.json")
            found = synthesize(verilog, top, family.target, netlist)
            luts = occupied_luts(found, netlist, top, family.target)
        except FlowError as error:
            say(f"{family.target} {name} {goal}: left out: {error}"[:200])
            return None
    now = cost_of_core(plan, family)
    say(f"{family.target} {name} {goal}: {found.facts()} {luts} LUTs, now {now}")
    features = features_of_core(plan, family)
    return [features[feature] for feature in FEATURES], luts


def fit(features, luts):
    """Factors that keep the relative errors small, and not far from ``LIKELY``."""
    a = features / luts[:, None]
    pull = np.diag(PULL / np.array([LIKELY[feature] for feature in FEATURES]))
    return nnls(np.vstack([a, pull]), np.append(np.ones(len(a)), np.full(len(pull), PULL)))[0]


def without(features, luts, index):
    """The relative error of a core, by factors that are fitted to the others."""
    others = np.arange(len(luts)) != index
    return features[index] @ fit(features[others], luts[others]) / luts[index] - 1


def say(line):
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    for family in map(FAMILIES.get, sys.argv[1:] or list(FAMILIES)):
        measured = filter(None, (measure(family, *core) for core in CORES))
        features, luts = map(np.array, zip(*measured, strict=True))
        factors = fit(features, luts)
        errors = np.round(100 * (features @ factors / luts - 1), 1)
        alone = [
            round(100 * float(without(features, luts, index)), 1) for index in range(len(luts))
        ]
        say(f'    "{family.target}": ({", ".join(f"{factor:.3g}" for factor in factors)}),')
        say(f"    {FEATURES}\n    errors {errors.tolist()} %\n    of each unseen {alone} %")


if __name__ == "__main__":
    main()

"""Fit the factors of ``gen/costs.py`` to Yosys' counts, for minutes.

    python tests/lutfit.py [ecp5 xilinx ice40]

Prints the factors, and for each core what Yosys counts of DSP blocks, block RAMs and LUTs beside
what ``gen/costs.py`` says now.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from tercet.gen.assemble import Core
from tercet.gen.costs import FEATURES, cost_of_core, features_of_core
from tercet.gen.devices import ECP5, ICE40, SERIES_7
from tercet.gen.emit import to_verilog
from tercet.gen.flow.synth import synthesize
from tercet.gen.plan import make_plan
from tercet.model import load
from tercet.model.fuzz.convs import random_network

FAMILIES = {family.target: family for family in (ECP5, SERIES_7, ICE40)}
CORES = [  # names, or seeds of random networks, and goals in cycles between images
    *(("plain", None), ("plain", 3000), ("plain", 1700), ("separable", None)),
    *((seed, goal) for seed in (1, 2, 3) for goal in (100_000, 1)),
    *(("lenet_avg", 240_000), ("lenet_max", 60_000)),
]
# What a feature takes at the least: half a LUT where a bit is added or clamped, a LUT of 64 bits.
LEAST = (0.0, 0.0, 0.0, 0.5, 0.5, 0.0, 0.0, 1 / 64, 1 / 64)


def drawn(seed):
    """A random network of convolutions with any windows."""
    rng = np.random.default_rng(seed)
    return random_network(rng, shape=(14, 14, 1 + seed), depth=3, windows=True)


def measure(family, name, goal):
    """Features, Yosys' counts and the present estimate of a core."""
    network = load(name) if isinstance(name, str) else drawn(name)
    plan, top = make_plan(network, goal), network.name
    with tempfile.TemporaryDirectory() as folder:
        verilog = Path(folder) / f"{top}.v"
        verilog.write_text(to_verilog(Core(plan=plan), top, ""))
        found = synthesize(verilog, top, family.target)
    now = cost_of_core(plan, family)
    sys.stdout.write(f"{family.target} {name} {goal}: {found.facts()} now {now}\n")
    sys.stdout.flush()
    return features_of_core(plan, family), found.luts


def fit(features, luts):
    """Factors that keep the relative errors small, none below ``LEAST``, by coordinate descent."""
    a = np.array(features, float) / np.array(luts, float)[:, None]
    factors = np.array(LEAST)
    for _ in range(20_000):
        for column in range(a.shape[1]):
            rest = 1 - a @ factors + a[:, column] * factors[column]
            square = a[:, column] @ a[:, column]
            if square:
                factors[column] = max(a[:, column] @ rest / square, LEAST[column])
    return factors, a @ factors - 1


def main() -> None:
    chosen = sys.argv[1:] or list(FAMILIES)
    for family in map(FAMILIES.get, chosen):
        features, luts = zip(*(measure(family, *core) for core in CORES), strict=True)
        factors, errors = fit(features, luts)
        numbers = ", ".join(f"{factor:.3g}" for factor in factors)
        sys.stdout.write(f'    "{family.target}": ({numbers}),  # {FEATURES}\n')
        sys.stdout.write(f"    errors {np.round(100 * errors, 1).tolist()} %\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

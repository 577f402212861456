"""The facts of the plans that docs/core.md and docs/plans.md state.

They are kept with a hash of everything that decides them.

python tests/support/keptplans.py makes them anew, in half a minute.
"""

import json
from pathlib import Path

from tercet.gen.plan import make_plan
from tercet.gen.plan.goals import CycleGoal
from tercet.gen.verilog.manifest import manifest
from tercet.model import load, shipped
from tercet.model.studies.rows import PACKAGE, fingerprint, sources

__all__ = ["COMMAND", "FILE", "PACKAGE", "SOURCES", "facts_of_plans", "kept"]

FILE = Path(__file__).parent.parent / "data" / "plans.json"
COMMAND = "python tests/support/keptplans.py"

# The files that decide a plan: the networks, how they are read, and all that a plan computes.
SOURCES = (
    *("model/*.py", "model/layers/*.py", "model/requant/*.py"),
    *("model/golden/*.py", "model/formats/*.py", "model/studies/*.py", "model/zoo/*.json"),
    *("hw/*.py", "gen/*.py", "gen/plan/*.py", "gen/parts/*.py", "gen/timing/*.py"),
    *("gen/verilog/*.py", "tercet/*.py"),
)
CYCLES_OF_PLAIN = (4185, 784, 280, 112, 28)
OF_MANIFEST = ("cycles_per_image", "latency_cycles", "multipliers", "rom_bits", "utilization")


def facts_of_plans():
    """{"network" or "network --cycles N": the facts of its plan}; half a minute."""
    plans = {name: make_plan(load(name)) for name in shipped()}
    for cycles in CYCLES_OF_PLAIN:
        plans[f"plain --cycles {cycles}"] = make_plan(load("plain"), CycleGoal(cycles))
    return {name: _facts(manifest(plan)) for name, plan in plans.items()}


def _facts(made):
    return {
        **{name: made[name] for name in OF_MANIFEST},
        "values_per_beat": made["input"]["values_per_beat"],
        "multipliers_of_layers": [layer["multipliers"] for layer in made["layers"]],
    }


def kept():
    """The facts in the file, or None if a source or the file has changed since they were made."""
    found = json.loads(FILE.read_text(encoding="utf-8"))
    return found["facts"] if found["key"] == _key(found["facts"]) else None


def keep():
    """Compute the facts and write the file."""
    facts = facts_of_plans()
    text = json.dumps({"key": _key(facts), "facts": facts}, indent=1, sort_keys=True)
    FILE.write_text(text + "\n", encoding="utf-8")


def _key(facts):
    return fingerprint(json.dumps(facts, sort_keys=True), sources(*SOURCES))


if __name__ == "__main__":
    keep()

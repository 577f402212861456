"""docs/architecture.md: its latencies, drawings, modules and signals are those of the code."""

import importlib
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from archfacts import engine_facts
from inceptionnet import inception
from pages import code, evaluated, formulas, sections, tables
from tercet.gen.assemble import Core
from tercet.gen.emit import to_verilog
from tercet.gen.plan import make_plan
from tercet.model import load
from tercet.model.fuzz.convs import network_of, random_conv, random_network
from tercet.model.fuzz.draws import random_tensor
from test_model_builder import residual

PAGE = Path(__file__).parent.parent / "docs" / "architecture.md"
SECTIONS = sections(PAGE.read_text())


def test_latencies_are_the_components_own():
    (table,) = tables(SECTIONS["Streams"])
    for component, file, latency, *_ in table[1:]:
        module = importlib.import_module(
            "tercet." + code(file)[0].removesuffix(".py").replace("/", ".")
        )
        kind = getattr(module, code(component)[0])
        assert int(latency) == getattr(kind, "LATENCY", 0), component


@pytest.mark.parametrize("goal", [10_000, 30, 1])  # one lane, some, all
@pytest.mark.parametrize(
    "window", [{"kernel": (2, 2)}, {"kernel": (3, 3), "padding": (1, 1, 0, 0)}]
)
def test_the_latencies_of_a_layer_add_up(window, goal, seed):
    rng = np.random.default_rng(seed)
    x = random_tensor(rng, "image", (2, 2, 3))
    conv, y = random_conv(rng, x, groups=1, out_channels=5, **window)
    plan = make_plan(network_of(x, [conv], [y]), goal)
    rule = "window_latency" if "padding" in window else "patch_latency"
    facts = engine_facts(plan.layers[0].part)
    latency = evaluated(dict(formulas(SECTIONS["Streams"]))[rule], facts)
    last = 2 * 2 * 3 - 1  # when the last element comes up, cycles after the first is taken
    if rule == "patch_latency":
        last = last * facts["slots"] - (facts["slots"] - 1)
    assert plan.latency_cycles == last + latency + (5 - 1)


def test_every_drawing_is_shown():
    shown = re.findall(r"\]\((architecture/\w+\.svg)\)", PAGE.read_text())
    there = sorted(file.name for file in (PAGE.parent / "architecture").iterdir())
    assert sorted(shown) == [f"architecture/{name}" for name in there]
    for name in there:
        assert ElementTree.parse(PAGE.parent / "architecture" / name).getroot().tag.endswith("svg")


@pytest.fixture(scope="module")
def modules(seed):
    """{module: its signals and memories} of four cores' Verilog."""
    found = {}
    rng = np.random.default_rng(seed)
    plain = load("plain")
    scaled = random_network(
        rng, shape=(6, 6, 2), depth=1, per_channel=True, out_channels=4, groups=1
    )
    for network in (plain, scaled, residual(rng), inception(rng, one_grid=False)):
        verilog = to_verilog(Core(plan=make_plan(network, 300)), "NET", "")
        for name, body in re.findall(r"^module (\w+)\((.*?)^endmodule", verilog, re.M | re.S):
            signals = re.findall(r"^  (?:wire|reg)(?: signed)?(?: \[\S+\])? (\w+)", body, re.M)
            found.setdefault(name, set()).update(signals)
    return found


def test_modules_and_signals_have_the_names_said(modules):
    (table,) = tables(SECTIONS["Names in Verilog"])
    for paths, kinds, signals in table[1:]:
        for path in code(paths):
            pattern = path.replace("LAYER", r"[a-z]+\d?")
            found = [names for name, names in modules.items() if re.fullmatch(pattern, name)]
            assert found, path
            seen = set().union(*found)
            for signal in code(signals):
                wanted = signal.replace("LAYER", r"[a-z]+\d?")
                assert any(re.fullmatch(wanted, name) for name in seen), f"{path}: {signal}"
        for kind in code(kinds):
            module, name = kind.rsplit(".", 1)
            assert hasattr(importlib.import_module(f"tercet.{module}"), name), kind

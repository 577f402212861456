"""docs/architecture.md: its latencies, drawings, modules and signals are those of the code."""

import importlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from amaranth import unsigned
from archfacts import engine_facts, late_facts
from inceptionnet import inception
from pages import code, evaluated, formulas, sections, tables
from randomnets import random_network
from residualnet import residual
from tablenet import tables as tables_net
from tercet.gen.parts.conv import ConvPart
from tercet.gen.plan import make_plan
from tercet.gen.plan.links import Links
from tercet.gen.plan.schedule import schedule
from tercet.gen.verilog.core import Core
from tercet.gen.verilog.emit import to_verilog
from tercet.hw.requantizer_spec import RequantizerSpec
from tercet.hw.table import TableSpec
from tercet.model import load
from tercet.model.fuzz.convs import network_of, random_conv
from tercet.model.fuzz.draws import random_tensor
from tercet.model.requant import Requant, Rounding
from unet import unet

PAGE = Path(__file__).parent.parent / "docs" / "architecture.md"
SECTIONS = sections(PAGE.read_text())
DERIVED = ("tree", "serializer", "requantizer", "credited", "engine", "reader")  # in this order


REQUANTIZER = RequantizerSpec(
    requant=Requant((5,), 3, Rounding.HALF_UP, 0, 255),
    zero_point=0,
    accumulator_width=20,
    activation=unsigned(8),
)
SPECS: dict[str, Any] = {  # of components whose latency is their spec's, with memories in LUTs
    "Requantizer": REQUANTIZER,
    "SequentialRequantizer": replace(REQUANTIZER, sequential=True),
    "Table": TableSpec(activation=unsigned(2), result=unsigned(8), first=0, values=(1, 2, 3, 4)),
}


def test_latencies_are_the_components_own():
    (table,) = tables(SECTIONS["Streams"])
    for component, file, latency, *_ in table[1:]:
        module = importlib.import_module(
            "tercet." + code(file)[0].removesuffix(".py").replace("/", ".")
        )
        name = code(component)[0]
        stated = getattr(getattr(module, name), "LATENCY", 0)
        if name in SPECS:
            stated = SPECS[name].latency
        assert int(latency.split(",")[0]) == stated, component


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"pe": 2},
        {"pe": 6},
        {"channels_at_once": 2},
        {"channels_at_once": 4, "pe": 3},
        {"row": True},
    ],
)
@pytest.mark.parametrize(
    "window", [{"kernel": (2, 2)}, {"kernel": (3, 3), "padding": (1, 1, 0, 0)}]
)
def test_the_latencies_of_a_layer_add_up(window, form, seed):
    rng = np.random.default_rng(seed)
    x = random_tensor(rng, "image", (2, 2, 4))
    conv, y = random_conv(rng, x, groups=1, out_channels=6, **window)
    network = network_of(x, [conv], [y])
    part = ConvPart.of(network, conv)
    if "row" in form:
        form = {"pixels": window["kernel"][1], "channels_at_once": 4}
    part = replace(part, geometry=replace(part.geometry, **form))
    if part.windows:
        elements = 4 // part.geometry.channels_at_once
        windows = replace(part.windows, pixel_elements=elements, taps=part.geometry.pixels)
        part = replace(part, windows=windows)
    rule = "window_latency" if part.windows else "patch_latency"
    facts = engine_facts(part) | late_facts(part)
    rules = dict(formulas(SECTIONS["Streams"]))
    for name in DERIVED:
        facts[name] = evaluated(rules[name], facts)
    latency = evaluated(rules[rule], facts)
    last = part.beats - 1  # when the last beat comes up, cycles after the first is taken
    if rule == "patch_latency":
        last = last * facts["slots"] - (facts["slots"] - 1)
    times = schedule([part], Links.of(network), argmax=None, lanes=part.input_lanes)
    assert times.latency_cycles == last + latency + (6 - 1)


def test_every_drawing_is_shown():
    shown = re.findall(r"\]\((architecture/\w+\.svg)\)", PAGE.read_text())
    there = sorted(file.name for file in (PAGE.parent / "architecture").iterdir())
    assert sorted(shown) == [f"architecture/{name}" for name in there]
    for name in there:
        assert ElementTree.parse(PAGE.parent / "architecture" / name).getroot().tag.endswith("svg")


@pytest.fixture(scope="module")
def modules(seed):
    """{module: its signals and memories} of seven cores' Verilog."""
    found = {}
    rng = np.random.default_rng(seed)
    plain = load("plain")
    scaled = random_network(
        rng, shape=(6, 6, 2), depth=1, per_channel=True, out_channels=4, groups=1
    )
    quick = (
        plain,
        scaled,
        residual(rng),
        inception(rng, one_grid=False),
        tables_net(rng),
        unet(rng),
    )
    for plan in (make_plan(plain), *(make_plan(network, 300) for network in quick)):
        verilog = to_verilog(Core(plan=plan), "NET", "")
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

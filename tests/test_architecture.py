"""docs/architecture.md: its formulas and examples are those of the code."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from archfacts import (
    geometry_facts,
    map_facts,
    memories,
    part_of,
    patch_facts,
    pool_facts,
    queue_facts,
    requantizer_facts,
    serializer_facts,
    shell_facts,
    window_facts,
    with_pe,
)
from inceptionnet import inception
from pages import code, evaluated, formulas, sections, tables
from randomnets import random_network
from tercet.gen.parts.conv import ConvPart
from tercet.gen.plan import make_plan
from tercet.hw.storage import Kind, ram_storage, rom_storage
from tercet.model import load
from tercet.model.fuzz.convs import network_of, random_conv
from tercet.model.fuzz.draws import random_tensor
from tercet.model.layers.add import Add
from tercet.model.layers.concat import Concat
from tercet.model.layers.conv import Conv2d
from tercet.model.layers.linear import Linear
from tercet.model.layers.pool import AvgPool2d, MaxPool2d
from windowgen import random_geometry

PAGE = Path(__file__).parent.parent / "docs" / "architecture.md"
SECTIONS = sections(PAGE.read_text())
SHIPPED = {  # the layers of each network that are looked at; None for all
    **{"plain": None, "separable": None, "lenet_avg": None, "lenet_max": None},
    "mnist_cnn": {"conv1", "conv2", "pool2"},
    "mobilenet": {"block5_expand", "block2_depthwise", "block3_depthwise", "block7_add", "pool"},
}


@pytest.fixture(scope="module")
def parts():
    """{"network.layer": its part with one lane} of the shipped networks, and concatenations."""
    found = {}
    for name, wanted in SHIPPED.items():
        network = load(name)
        for layer in network.layers:
            built = isinstance(layer, Conv2d | AvgPool2d | MaxPool2d | Add)
            if built and (wanted is None or layer.name in wanted):
                found[f"{name}.{layer.name}"] = part_of(network, layer)
    network = inception(np.random.default_rng(1))
    for layer in network.layers:
        if isinstance(layer, Concat):
            found[f"inception.{layer.name}"] = part_of(network, layer)
    return found


# Each section with examples: what the code says of a layer, and the layers it is about.
LAYERS = {
    "Patch engine": (patch_facts, lambda part: type(part.layer) is Conv2d and not part.windows),
    "Linear layers": (patch_facts, lambda part: isinstance(part.layer, Linear)),
    "Window reader": (window_facts, lambda part: getattr(part, "windows", None)),
    "Average pool": (pool_facts, lambda part: isinstance(part.layer, AvgPool2d)),
    "Maximum pool": (pool_facts, lambda part: isinstance(part.layer, MaxPool2d)),
    "Serializer": (serializer_facts, lambda part: False),  # a test of its own
    "Requantizer": (requantizer_facts, lambda part: isinstance(part.layer, Conv2d | AvgPool2d)),
    "Concatenation": (map_facts, lambda part: isinstance(part.layer, Concat)),
    "Addition, fork, queue": (map_facts, lambda part: isinstance(part.layer, Add)),
}
WORDS = {"max", "min", "round", "if", "else", "and"}
ELSEWHERE = {"late", "wait", "next_behind", "queue_bits"}  # formulas with a test of their own


def hold(title, facts, skip=()):
    """Hold a section's formulas to the facts; returns the facts and all that the formulas give.

    A formula whose inputs the facts lack is not about them.
    """
    known, checked = dict(facts), 0
    for name, expression in formulas(SECTIONS[title]):
        needed = set(re.findall(r"[a-zA-Z_]\w*", expression)) - WORDS
        if name not in skip and needed <= known.keys():
            value = evaluated(expression, known)
            assert value == known.get(name, value), f"{title}: {name} = {expression} with {facts}"
            known[name] = value
            checked += name in facts
    assert checked, f"{title}: no formula for {facts}"
    return known


def shown(row):
    """{name: number} of a row of examples, for each column but the first."""
    names = code(row[0])
    return [dict(zip(names, map(int, cell.split(", ")), strict=True)) for cell in row[1:]]


def examples(title):
    """[(layer, {name: number})] of a section's tables of examples."""
    found = []
    for header, *rows in tables(SECTIONS[title]):
        if not header[0]:
            layers = [code(cell)[0] for cell in header[1:]]
            columns = zip(*map(shown, rows), strict=True)
            found += [
                (layer, {name: n for cell in column for name, n in cell.items()})
                for layer, column in zip(layers, columns, strict=True)
            ]
    return found


def simple_padding(facts):
    """Where the window reader's closed formula of cycles holds."""
    f = facts
    padded = f["top"] or f["left"] or f["bottom"] or f["right"]
    same = (f["OH"], f["OW"], f["SY"], f["SX"]) == (f["H"], f["W"], 1, 1)
    return not padded or same


@pytest.mark.parametrize("title", [title for title in LAYERS if examples(title)])
def test_examples_are_what_the_code_and_the_formulas_say(title, parts):
    facts_of, _ = LAYERS[title]
    found = [(layer, numbers) for layer, numbers in examples(title) if layer in parts]
    assert found
    for layer, numbers in found:
        part = parts[layer]
        if "P" in numbers:
            part = with_pe(part, numbers["P"])
        known = hold(title, facts_of(part))
        assert numbers == {name: known[name] for name in numbers}, layer
        assert {name for name, _ in formulas(SECTIONS[title])} <= known.keys() | ELSEWHERE


@pytest.mark.parametrize("title", [title for title in LAYERS if title != "Serializer"])
def test_formulas_hold_for_the_shipped_layers(title, parts):
    facts_of, is_about = LAYERS[title]
    found = [part for part in parts.values() if is_about(part)]
    assert found
    for part in found:
        most = part.geometry.out_channels // part.geometry.groups if hasattr(part, "conv") else 1
        for pe in {1, most} if isinstance(part.layer, Conv2d) else {1}:
            part = with_pe(part, pe) if hasattr(part, "geometry") else part
            facts = facts_of(part)
            engine_alone = title.endswith("pool") and part.windows
            closed = title != "Window reader" or simple_padding(facts)
            hold(title, facts, () if closed and not engine_alone else ("cycles",))
            if title == "Window reader":
                assert cycles_by_waits(part.windows, facts) == part.engine_cycles


def test_formulas_hold_for_random_patches(seed):
    rng = np.random.default_rng([seed, 1])
    for _ in range(60):
        network = random_network(rng, depth=1, argmax=False)
        part = part_of(network, network.layers[0])
        g = part.geometry
        part = with_pe(part, int(rng.integers(1, g.out_channels // g.groups, endpoint=True)))
        if rng.integers(2):
            offsets = tuple(rng.integers(-(1 << 20), 1 << 20, g.out_channels).tolist())
            requant = replace(part.conv.requant, offsets=offsets)
            part = replace(part, conv=replace(part.conv, requant=requant))
        hold("Patch engine", patch_facts(part))
        hold("Requantizer", requantizer_facts(part))


def test_formulas_hold_for_random_windows(seed):
    rng = np.random.default_rng([seed, 2])
    closed = 0
    for _ in range(300):
        g, slots = random_windows(rng), int(rng.integers(1, 6))
        late = int(rng.integers(2))
        if g.window < 2 + late:
            continue
        facts = geometry_facts(g, slots, late)
        assert facts["cycles"] == cycles_by_waits(g, facts)
        assert facts["cycles"] >= max(g.beats * slots, g.elements)
        skip = [] if within(g) else ["capacity", "cycles"]
        enough = dict(formulas(SECTIONS["Window reader"]))["enough"]
        if not simple_padding(facts) or not evaluated(enough, facts | {"deep": 2 + late}):
            skip.append("cycles")
        closed += len(skip) == 0
        hold("Window reader", facts, skip)
        assert (
            facts["capacity"]
            == max(int((g.needed - g.lowest).max()), 1) + g.stride[1] * g.pixel_elements
        )
    assert closed > 100


def random_windows(rng):
    """Any windows, those without padding and those that keep the map's size alike."""
    g = random_geometry(rng, 1000)
    while g.window == 1:
        g = random_geometry(rng, 1000)
    kind = rng.integers(3)
    if kind == 0:
        return g
    (top, left, bottom, right), (ky, kx) = g.padding, g.reach
    g = replace(g, height=g.height + top + bottom, width=g.width + left + right, padding=(0,) * 4)
    if kind == 1:
        return g
    top, left = (int(rng.integers(0, reach)) for reach in (ky, kx))
    return replace(g, stride=(1, 1), padding=(top, left, ky - 1 - top, kx - 1 - left))


def within(g):
    """Whether a window lies wholly in the map, and each has an element in it."""
    whole, reached = True, True
    for axis, size in enumerate((g.height, g.width)):
        first = np.arange((g.rows, g.columns)[axis]) * g.stride[axis] - g.padding[axis]
        taps = first[:, None] + np.arange(g.kernel[axis]) * g.dilation[axis]
        inside = (taps >= 0) & (taps < size)
        whole &= bool(inside.all(axis=1).any())
        reached &= bool(inside.any(axis=1).all())
    return whole and reached


def cycles_by_waits(g, facts):
    """An image's cycles by the page's wait after each window, once settled."""
    rules = dict(formulas(SECTIONS["Window reader"]))
    needed, lowest, released = (t.reshape(-1).tolist() for t in (g.needed, g.lowest, g.releases))
    following = [*needed[1:], needed[0] + g.elements]
    behind, passed, waits = 0, None, 0
    while behind != passed:  # until an image leaves it as it found it
        passed, waits = behind, 0
        for window in zip(following, lowest, released, strict=True):
            names = zip(("next_needed", "lowest", "released"), window, strict=True)
            known = facts | dict(names) | {"behind": behind, "deep": 2 + facts["buffer_late"]}
            known["late"] = evaluated(rules["late"], known)
            known["wait"] = evaluated(rules["wait"], known)
            behind = evaluated(rules["next_behind"], known)
            waits += known["wait"]
    return g.beats * facts["slots"] + waits


def test_the_serializer_stalls_the_engine_as_said(seed):
    rng = np.random.default_rng([seed, 3])
    checked = 0
    for _ in range(40):
        x = random_tensor(rng, "image", (*rng.integers(1, 7, 2).tolist(), int(rng.integers(1, 5))))
        groups = int(rng.choice([1, x.shape[2]]))
        channels = groups * int(rng.integers(2, 13))
        conv, y = random_conv(rng, x, groups=groups, out_channels=channels)
        part = ConvPart.of(network_of(x, [conv], [y]), conv)
        part = with_pe(part, int(rng.integers(2, channels // groups + 1)))
        facts = serializer_facts(part)
        rules = dict(formulas(SECTIONS["Serializer"]))
        facts["apart"] = evaluated(rules["apart"], facts)
        if evaluated(rules["clear"], facts):
            hold("Serializer", facts)
            checked += 1
    assert checked > 10


def test_the_memories_are_of_the_kind_said(seed):
    rng = np.random.default_rng([seed, 4])
    rules = dict(formulas(SECTIONS["Memories"]))
    for rows in (2, 32, 33, 64, 65, 128, *rng.integers(2, 200, 40).tolist()):
        for row_bits in (1, 1024 // rows, 1 + 1024 // rows, 2048 // rows):
            known = {"rows": rows, "row_bits": row_bits}
            for name, storage in ("rom", rom_storage), ("ram", ram_storage):
                in_block = storage(rows, row_bits).kind is Kind.BLOCK
                assert evaluated(rules[f"{name}_in_block"], known) == in_block, known
    layers = {layer.name: layer.part for layer in make_plan(load("lenet_avg")).layers}
    (table,) = tables(SECTIONS["Memories"])
    for name, *numbers, kind in table[1:]:
        _, layer, memory = code(name)[0].split(".", 2)
        storage = memories(layers[layer])[memory]
        assert [storage.rows, storage.row_bits] == list(map(int, numbers)), name
        assert storage.kind.value == kind, name


def test_the_shell_and_the_queues_of_plain():
    plan = make_plan(load("plain"))
    ((name, numbers),) = examples("Shell")
    assert name == "plain"
    known = hold("Shell", shell_facts(plan))
    assert numbers == {key: known[key] for key in numbers}
    queues = [case for case in examples("Addition, fork, queue") if case[0].endswith("_fifo")]
    assert len(queues) == 2
    for name, numbers in queues:
        assert numbers == hold("Addition, fork, queue", queue_facts(plan, name.split(".")[1]))

"""Widths of requantizers, `tercet narrow`, and the document of both."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from anylayers import any_layers
from tercet.gen.cli import main
from tercet.gen.commands import requantizers as command_requantizers
from tercet.gen.studies.requantizers import synthesized
from tercet.gen.studies.requantizers_document import markdown
from tercet.model import load, save
from tercet.model.formats.json_file import ZOO, shipped
from tercet.model.layers import Requantizing
from tercet.model.requant import requantize
from tercet.model.search.widths import BLOCKS, blocks, wide, widths
from tercet.model.studies.rows import Store

DOCUMENT = Path(__file__).parent.parent / "docs" / "requantizers.md"


@pytest.mark.parametrize(
    ("size", "block", "expected"),
    [
        ((18, 18), "18x18", 1),
        ((19, 18), "18x18", 2),
        ((35, 35), "18x18", 4),
        ((36, 35), "18x18", 6),
        ((18, 25), "25x18", 1),
        ((25, 19), "25x18", 2),
        ((18, 32), "25x18", 2),
        ((16, 17), "16x16", 2),
        ((2, 2), "16x16", 1),
    ],
)
def test_a_product_takes_as_many_blocks_as_its_parts(size, block, expected):
    assert blocks(size, block) == blocks(size[::-1], block) == expected


def test_widths_of_a_layer_are_those_of_its_numbers():
    network = load("lenet_avg")
    found = {layer.layer: layer for layer in widths(network)}
    assert list(found) == ["conv1", "pool1", "conv2", "pool2", "conv3", "fc1", "fc2"]
    pool, linear = found["pool1"], found["fc2"]
    assert (pool.accumulator, pool.active, pool.defined, pool.narrow) == (11, 11, 16, 14)
    assert (pool.checked, pool.reachable) == (1021, 1021)
    acc = np.arange(1021)
    layer = network.producer("pool1")
    other = requantize(acc, wide(network, layer), 0) != requantize(acc, layer.requant, 0)
    assert pool.differing == other.sum() == 1
    assert (linear.accumulator, linear.active, linear.products) == (21, 19, (53, 33))
    assert [linear.blocks(block) for block in BLOCKS] == [(4, 2), (2, 1), (6, 2)]


def test_an_addition_is_as_wide_as_its_inputs():
    *_, add, _, _ = widths(load("mobilenet"))
    assert (add.layer, add.accumulator, add.active, add.differing) == ("block7_add", 9, 9, None)
    assert (add.products, add.blocks("18x18"), add.blocks("16x16")) == ((41, 26), (4, 2), (6, 4))


def test_narrow_shows_a_network_and_writes_it(tmp_path, capsys):
    net = load("plain")
    definition = net.requantized(lambda layer: layer.requant.definition)
    save(definition, tmp_path / "wide.json")
    words = ["narrow", str(tmp_path / "wide.json"), "-o", str(tmp_path / "narrow.json")]
    assert main([*words, "--json", str(tmp_path / "facts.json")]) == 0
    assert (tmp_path / "narrow.json").read_bytes() == (ZOO / "plain.json").read_bytes()
    shown = capsys.readouterr().out.splitlines()
    assert shown[-1].startswith("plain: 2 of 3 requantizations narrower than defined -> ")
    facts = json.loads((tmp_path / "facts.json").read_text())
    conv2 = facts["layers"][1]
    assert (conv2["layer"], conv2["defined"], conv2["narrow"]) == ("conv2", 16, 15)
    assert conv2["product"] == [51, 33]


def test_narrow_refuses_a_file_that_is_not_what_it_says(tmp_path, capsys):
    net = load("plain")
    (m,) = any_layers(net)[1].requant.multipliers
    lie = net.requantized(lambda layer: replace(layer.requant, multipliers=(m,)))
    save(lie, tmp_path / "lie.json")
    assert main(["narrow", str(tmp_path / "lie.json")]) == 1
    assert "Layer 'conv3': requant differs from its reference: " in capsys.readouterr().err


@pytest.mark.yosys
def test_a_narrow_requantizer_takes_fewer_blocks(tmp_path):
    network = load("plain")
    broad = network.requantized(lambda layer: wide(network, layer))
    before, after = (synthesized(net, "ecp5", Store(tmp_path)) for net in (broad, network))
    assert after["dsps"] == 3 < before["dsps"]
    assert after["carries"] < before["carries"]


def test_the_document_has_the_widths_that_the_code_finds():
    layers = {name: list(widths(load(name))) for name in shipped()}
    written = DOCUMENT.read_text(encoding="utf-8")
    before, _, _ = markdown(layers, {}, []).partition("\n## What it saves")
    assert written.startswith(before)


def test_the_command_writes_a_document(tmp_path, capsys, monkeypatch):
    counts = iter(range(100))

    def counted(network, target, store):
        assert all(isinstance(layer, Requantizing) for layer in network.layers[:3])
        return {"luts": next(counts), "carries": 0, "flip_flops": 0, "dsps": 0}

    monkeypatch.setattr(command_requantizers, "synthesized", counted)
    path = tmp_path / "made" / "page.md"
    words = ["requantizers", "--nets", "plain", "--targets", "ecp5", "ice40"]
    words += ["--work", str(tmp_path / "work"), "-o", str(path)]
    assert main(words) == 0
    text = path.read_text()
    assert "| `plain` | 0, 2, 4 | 0, 0, 0 |" in text.partition("### ecp5")[2]
    assert "| `plain` | 1, 3, 5 | 0, 0, 0 |" in text.partition("### ice40")[2]
    assert capsys.readouterr().out == f"1 networks -> {path}\n"
    (tmp_path / "file").touch()
    assert main([*words[:-1], str(tmp_path / "file" / "page.md")]) == 1
    assert "cannot be written: " in capsys.readouterr().err

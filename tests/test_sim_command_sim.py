"""`tercet sim` as a person meets it."""

import json
import re

import numpy as np
import pytest
from tercet.gen.cli import main
from tercet.gen.verilog.build import write_core
from tercet.model import load, save
from tercet.model.builder import Builder, Grid, Output, Window
from tercet.model.fuzz.draws import INT8, UINT8
from tercet.model.layers.weights import Weights
from tercet.model.requant import Rounding
from tercet.model.search.policies import fixed
from tercet.sim import command_sim
from tercet.sim.run.picture import drawing, verdict_lines
from tinycore import tiny_network

pytestmark = pytest.mark.icarus


def simulate(*arguments, capsys, folder, code=0):
    facts = folder / "facts.json"
    words = ["sim", *map(str, arguments), "--simulator", "icarus", "-o", str(folder / "out")]
    assert main([*words, "--json", str(facts)]) == code
    return json.loads(facts.read_text()), capsys.readouterr().out.splitlines()


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.json"
    save(tiny_network(), path)
    return path


def test_simulates_digits_and_closes_with_one_line(tmp_path, capsys):
    facts, lines = simulate("plain", "-n", 6, capsys=capsys, folder=tmp_path)
    net = load("plain")
    assert facts["images"] == len(facts["labels"]) == len(facts["predictions"]) == 6
    assert facts["tensors_compared"] == len(net.layers) == 4
    assert facts["values_compared"] == 6 * (243 + 54 + 10 + 1)
    assert (facts["mismatches"], facts["failure"]) == (0, None)
    assert facts["cycles_per_image"] == 784
    right = sum(a == b for a, b in zip(facts["labels"], facts["predictions"], strict=True))
    assert f"label       {' '.join(map(str, facts['labels']))}" in lines
    assert f"recognized  {' '.join(map(str, facts['predictions']))}" in lines
    assert lines[-2] == f"{right} of 6 recognized"
    assert lines[-1] == (
        f"plain in icarus: 6 images ({facts['source']}), 4 tensors, 1848 values compared, "
        f"0 mismatches, 784 cycles per image, latency {facts['latency_cycles']} cycles"
    )


def idle_relus():
    """ReLUs that change nothing: of the pixels, behind a ReLU and a pool, and behind a flatten."""
    rng = np.random.default_rng(0)
    builder, grid = Builder("idle"), Grid(UINT8, 1.0, 0)
    rescale = fixed(16, Rounding.HALF_UP)

    def weights(*shape):
        return Weights(rng.integers(-9, 10, shape), INT8, (0.1,))

    x = builder.relu("pixels", builder.input((6, 6, 1), grid), 0, 255)
    x = builder.conv2d("conv", x, weights(3, 3, 3, 1), np.zeros(3, int), Output(grid, rescale))
    x = builder.max_pool2d("pool", x, (2, 2), Window((2, 2)))
    x = builder.relu("pooled", x, 0, 255)
    x = builder.relu("flat_relu", builder.flatten("flat", x), 0, 255)
    x = builder.relu("low", x, 0, 100)  # this one acts
    builder.linear("fc", x, weights(4, 1, 1, 12), np.zeros(4, int), Output(grid, rescale))
    return builder.network()


def test_layers_that_change_nothing_are_left_out_and_said(tmp_path, capsys):
    path = tmp_path / "idle.json"
    save(idle_relus(), path)
    facts, lines = simulate(path, "-n", 3, capsys=capsys, folder=tmp_path)
    assert (facts["mismatches"], facts["tensors_compared"]) == (0, 5)
    assert lines[:3] == [
        f"Layer {name!r} changes no value, and is left out."
        for name in ("pixels", "pooled", "flat_relu")
    ]
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["left_out"] == ["pixels", "pooled", "flat_relu"]
    assert [layer["name"] for layer in manifest["layers"]] == ["conv", "pool", "low", "fc"]


def test_one_image_gives_no_cycles_per_image(tiny, tmp_path, capsys):
    facts, lines = simulate(tiny, "-n", 1, "--seed", 5, capsys=capsys, folder=tmp_path)
    assert facts["cycles_per_image"] is None
    assert lines[-1] == (
        "tiny in icarus: 1 image (random images of seed 5), 3 tensors, 12 values compared, "
        f"0 mismatches, cycles per image not measured, latency {facts['latency_cycles']} cycles"
    )


def test_pauses_blur_the_cycles(tiny, tmp_path, capsys):
    facts, lines = simulate(tiny, "--pauses", "both", capsys=capsys, folder=tmp_path)
    assert (facts["cycles_per_image"], facts["latency_cycles"]) == (None, None)
    assert facts["values_compared"] == 20 * 12
    assert facts["labels"] is None
    assert lines == [
        "tiny in icarus: 20 images (random images of seed 1), 3 tensors, 240 values compared, "
        "0 mismatches, cycles per image not measured, latency not measured"
    ]


def test_a_mismatch_ends_with_exit_code_1(tiny, tmp_path, capsys, monkeypatch):
    def with_a_bug(network, folder, goal, **options):
        manifest = write_core(network, folder, goal, **options)
        path = folder / "rtl" / "tiny.v"
        weights = re.compile(r"(__weights\(.*?memory\[0\] = )", re.DOTALL)
        path.write_text(weights.sub(r"\1~", path.read_text(), count=1))
        return manifest

    monkeypatch.setattr(command_sim, "write_core", with_a_bug)
    facts, lines = simulate(tiny, capsys=capsys, folder=tmp_path, code=1)
    assert facts["mismatches"] > 0
    assert facts["first_mismatch"].startswith("conv1, image ")
    assert lines[0] == f"FAILED: {facts['failure']}"
    assert f" {facts['mismatches']} mismatches, " in lines[-1]


@pytest.mark.parametrize("count", ["0", "-3", "many"])
def test_refuses_a_count_that_is_none(count, capsys):
    assert main(["sim", "plain", "-n", count]) == 2
    assert "argument -n/--images: " in capsys.readouterr().err


def test_an_absent_simulator_is_one_sentence(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["sim", "plain", "--simulator", "icarus", "-o", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err == (
        "tercet sim: error: Icarus Verilog is not installed; `apt install iverilog` brings it, "
        "or choose another simulator with --simulator verilator\n"
    )
    assert not (tmp_path / "out").exists()


def test_draws_one_dot_a_pixel():
    image = np.zeros((2, 28, 28), dtype=np.uint8)
    image[0, 4, 0] = image[0, 7, 1] = 255  # row 1 of cells: its top left and bottom right dots
    image[1, 8:12, 26:28] = 255  # row 2, the last cell, all dots
    first, second = drawing(image)
    assert first == "\N{BRAILLE PATTERN DOTS-18}".ljust(30)
    assert second == "\N{BRAILLE PATTERN DOTS-12345678}".rjust(30)
    assert drawing(image * 0) == []


def test_marks_what_differs():
    assert verdict_lines([7, 2, 1], [7, 3, 1]) == [
        "label       7 2 1",
        "recognized  7 3 1",
        "              ^",
    ]
    assert verdict_lines([7], [7]) == ["label       7", "recognized  7"]
    assert verdict_lines([1] * 150, [1] * 150)[-1] == "... and 50 more"


def test_own_images_are_simulated(tiny, tmp_path, capsys):
    network = load(str(tiny))
    shape = network.tensors[network.input].shape
    images = np.random.default_rng(5).integers(0, 256, (4, *shape), dtype=np.uint8)
    classes = network(images).reshape(4, -1).argmax(axis=1)
    wrong = (classes[2:] + 1) % 3
    np.savez(tmp_path / "own.npz", images=images, labels=[*classes[:2], *wrong])
    facts, lines = simulate(
        tiny, "--data", tmp_path / "own.npz", "-n", 3, capsys=capsys, folder=tmp_path
    )
    assert facts["predictions"] == classes[:3].tolist()
    assert facts["labels"] == [*classes[:2].tolist(), wrong[0]]
    assert facts["source"] == f"images of {tmp_path / 'own.npz'}"
    assert (facts["images"], facts["mismatches"], lines[-2]) == (3, 0, "2 of 3 recognized")

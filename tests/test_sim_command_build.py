"""``tercet build``: one command from a model and images to RTL, and what a second run repeats."""

import csv
import json
import re

import numpy as np
import pytest
from tercet.gen.cli import main
from tercet.gen.verilog import build as verilog
from tercet.model import load
from tercet.model.formats.json_file import dumps

pytestmark = pytest.mark.icarus
SHAPE = (8, 8, 1)
COUNT = 60


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """A folder with a float ONNX model, and images with the labels that it gives them."""
    for package in ("torch", "onnx", "onnxruntime"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    import onnxruntime
    from onnxgen import Model

    folder = tmp_path_factory.mktemp("mine")
    model = Model(np.random.default_rng(5), (1, 8, 8))
    hidden = model.node("Relu", model.conv("x", (6, 1, 3, 3), pads=(1, 1, 1, 1)))
    pooled = model.node("MaxPool", hidden, kernel_shape=(4, 4), strides=(4, 4))
    content = model.proto(model.gemm(model.node("Flatten", pooled), 24, 4)).SerializeToString()
    (folder / "mine.onnx").write_bytes(content)
    images = np.random.default_rng(6).integers(0, 256, (COUNT, *SHAPE), dtype=np.uint8)
    session = onnxruntime.InferenceSession(content)
    real = images.transpose(0, 3, 1, 2).astype(np.float32) / 255
    labels = session.run(None, {"x": real})[0].argmax(axis=1)
    np.savez(folder / "mine.npz", images=images, labels=labels)
    return folder


@pytest.fixture
def build(tmp_path, capsys):
    """A function that builds into one folder: words -> (exit code, facts, standard output)."""

    def run(*words):
        facts = tmp_path / "facts.json"
        facts.unlink(missing_ok=True)
        files = ["-o", str(tmp_path / "out"), "--json", str(facts), "--simulator", "icarus"]
        code = main(["build", *map(str, words), *files])
        shown = capsys.readouterr()
        return code, json.loads(facts.read_text()) if facts.exists() else shown.err, shown.out

    return run


def test_a_float_model_becomes_a_verified_core(mine, build, tmp_path):
    words = (mine / "mine.onnx", "--data", mine / "mine.npz", "--split", "20,30", "-n", "5")
    code, facts, shown = build(*words)
    assert code == 0
    assert facts["repeated"] == ["quantize", "verilog", "simulate"]
    quantization, simulation = facts["quantization"], facts["simulation"]
    assert (quantization["calibrating"], quantization["images"]) == (20, 30)
    assert quantization["float_accuracy"] == 1.0  # the labels are its own
    assert (simulation["images"], simulation["mismatches"], simulation["failure"]) == (5, 0, None)
    network = load(str(tmp_path / "out" / "network.json"))
    images = np.load(mine / "mine.npz")["images"]
    rows = list(csv.DictReader((tmp_path / "out" / "classes.csv").read_text().splitlines()))
    assert len(rows) == 30
    chosen = [int(row["image"]) for row in rows]
    classes = network(images[chosen]).reshape(30, -1).argmax(axis=1).tolist()
    assert [int(row["integer"]) for row in rows] == classes
    assert [row["float"] for row in rows] == [row["label"] for row in rows]
    assert simulation["numbers"] == chosen[::6]  # evenly spaced
    assert simulation["predictions"] == classes[::6]
    assert facts["sampled"]["float"] == 1.0
    assert (tmp_path / "out" / "rtl" / "mine.v").is_file()
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert facts["core"]["manifest"] == manifest
    assert simulation["cycles_per_image"] == manifest["cycles_per_image"]
    spans = facts["core"]["spans"]
    assert min(first for first, _ in spans.values()) == 0
    assert max(last for _, last in spans.values()) == manifest["latency_cycles"] - 1
    assert f"{mine / 'mine.onnx'} is a float ONNX model; it reads 8 x 8 x 1\n" in shown
    assert "quantize:   20 images calibrate; integers" in shown
    assert "mine: the RTL equals the integer network in all " in shown


def test_a_second_run_repeats_what_has_changed(mine, build, tmp_path):
    words = (mine / "mine.onnx", "--data", mine / "mine.npz", "-n", "2")
    _, first, _ = build(*words)
    _, again, shown = build(*words)
    assert again == {**first, "repeated": []}
    assert shown.count("(as before)") == 3
    assert build(*words, "-n", "3")[1]["repeated"] == ["simulate"]
    assert build(*words, "--cycles", "200")[1]["repeated"] == ["verilog", "simulate"]
    assert build(*words, "--bits-w", "6")[1]["repeated"] == ["quantize", "verilog", "simulate"]
    network, verilog = tmp_path / "out" / "network.json", tmp_path / "out" / "rtl" / "mine.v"
    whole = verilog.read_bytes()
    verilog.write_bytes(whole + b"// edited\n")
    assert build(*words, "--bits-w", "6")[1]["repeated"] == ["verilog"]
    assert verilog.read_bytes() == whole
    network.unlink()
    assert build(*words, "--bits-w", "6")[1]["repeated"] == ["quantize"]
    with np.load(mine / "mine.npz") as file:
        np.savez(tmp_path / "other.npz", images=file["images"][::-1], labels=file["labels"][::-1])
    changed = build(words[0], "--data", tmp_path / "other.npz", "-n", "2")[1]["repeated"]
    assert changed == ["quantize", "verilog", "simulate"]


def test_labels_and_places_are_those_of_the_present_data(build, tmp_path):
    images = np.random.default_rng(1).integers(0, 256, (4, 28, 28), dtype=np.uint8)
    data = tmp_path / "data.npz"
    found = []
    for chosen in (images[:2], images[[0, 2, 1, 3]]):  # of both, images 0 and 1 are simulated
        np.savez(data, images=chosen, labels=np.arange(len(chosen)))
        found.append(build("plain", "--data", data, "-n", "2")[1])
    assert [each["simulation"]["numbers"] for each in found] == [[0, 1], [0, 2]]
    assert [each["simulation"]["labels"] for each in found] == [[0, 1], [0, 2]]
    assert found[1]["repeated"] == ["read"]


def test_integers_are_taken_as_they_are(build, tmp_path, seed):
    code, facts, shown = build("plain", "-n", "3", "--clock", "50", "--name", "mine")
    assert code == 0
    assert facts["reading"]["equality"] is None
    assert "quantization" not in facts
    assert (tmp_path / "out" / "network.json").read_text() == dumps(load("plain")).replace(
        '"name": "plain"', '"name": "mine"', 1
    )
    assert facts["core"]["clock_mhz"] == 50
    assert "at 50 MHz 63,776 images/s, latency 20.9 µs" in shown
    images = np.random.default_rng(seed).integers(0, 256, (12, 28, 28), dtype=np.uint8)
    np.savez(tmp_path / "own.npz", images=images, labels=np.arange(12) % 10)
    code, facts, _ = build("plain", "-n", "3", "--data", tmp_path / "own.npz", "--split", "1,7")
    assert code == 0
    expected = load("plain")(images[:7, ..., None]).reshape(7, -1).argmax(axis=1)
    assert facts["reading"]["int_accuracy"] == (expected == np.arange(7)).mean()
    assert facts["simulation"]["predictions"] == expected[[0, 2, 4]].tolist()


def test_a_name_is_an_identifier(capsys):
    assert main(["build", "plain", "--name", "3x"]) == 2
    assert capsys.readouterr().err.endswith(
        "argument --name: must be letters, digits and underscores, not '3x'; try layer_3x\n"
    )


@pytest.mark.yosys
def test_families_are_synthesized_on_request(build):
    code, facts, shown = build("plain", "-n", "1", "--target", "ice40", "--target", "ecp5")
    assert code == 0
    assert list(facts["synthesis"]) == ["ecp5", "ice40"]
    assert facts["synthesis"]["ecp5"]["dsps"] == 8
    assert "synthesize: ecp5: " in shown
    assert build("plain", "-n", "1", "--target", "ecp5")[1]["repeated"] == []


def test_a_difference_fails_and_is_not_kept_as_good(build, monkeypatch, tmp_path):
    write = verilog._write

    def wrong(plan, folder, prefix):
        manifest = write(plan, folder, prefix)
        path = folder / manifest["verilog"]
        text, weights = path.read_text(), re.compile(r"(\[1\] = 24'h[0-9a-f]*)[0-9a-f];")
        assert weights.search(text)
        path.write_text(weights.sub(r"\g<1>9;", text))
        return manifest

    monkeypatch.setattr(verilog, "_write", wrong)
    code, facts, shown = build("plain", "-n", "2")
    assert code == 1
    assert facts["simulation"]["failure"]
    assert "FAILED: " in shown
    monkeypatch.undo()
    assert build("plain", "-n", "2")[0] == 1  # the RTL on disk is as it was
    (tmp_path / "out" / "rtl" / "plain.v").unlink()
    code, facts, _ = build("plain", "-n", "2")
    assert (code, facts["repeated"]) == (0, ["verilog", "simulate"])


def test_a_float_model_without_images_names_the_option(mine, build, tmp_path):
    code, message, _ = build(mine / "mine.onnx")
    assert code == 1
    assert message == (
        "tercet build: error: Network 'mine' is quantized on images; give them by --data DATA: an "
        ".npz with images (N, 8, 8, 1) and labels, or a folder of PNG and JPEG with a sub-folder "
        "for each class\n"
    )
    assert not (tmp_path / "out").exists()
    code, message, _ = build(mine / "mine.onnx", "--data", mine / "missing.npz")
    assert (code, message) == (
        1,
        f"tercet build: error: The data {mine / 'missing.npz'} cannot be read: No such file or "
        "directory\n",
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.torch
def test_images_that_do_not_fit_the_training_are_told(mine, build, tmp_path):
    with np.load(mine / "mine.npz") as file:
        images, labels = file["images"], file["labels"]
    np.savez(tmp_path / "shifted.npz", images=images, labels=labels + 1)
    code, message, _ = build(mine / "mine.onnx", "--data", tmp_path / "shifted.npz")
    assert code == 1
    assert message == (
        "tercet build: error: Network 'mine' has 4 scores, and the images of shifted.npz have the "
        "label 4; give labels from 0 to 3\n"
    )
    np.savez(tmp_path / "turned.npz", images=images, labels=(labels + 1) % 4)
    _, facts, shown = build(mine / "mine.onnx", "--data", tmp_path / "turned.npz", "-n", "2")
    assert facts["quantization"]["float_accuracy"] == 0
    assert (
        "The float network recognizes 0.0 % of the images. If it was better in training, these "
        "images differ from those of the training: compare the range of the pixels (0 to 255), the "
        "normalization (--mean, --std) and the order of the classes\n"
    ) in shown

"""``tercet import`` as a user calls it."""

import json
from importlib import import_module, metadata
from inspect import signature
from types import SimpleNamespace

import numpy as np
import pytest
from smallnet import network
from tercet.gen import cli
from tercet.model import load
from tercet.model.commands import import_network
from tercet.model.formats import text_file
from tercet.model.formats.json_file import dumps
from tercet.model.frontends import scale_shift

STATE = {
    "conv1.weight": np.full((2, 1, 3, 3), 130, np.uint8),
    "conv1.bias": np.array([0.5, -0.5], np.float32),
    "fc1.weight": np.full((3, 8), 120, np.uint8),
}
TRIPLES = {"conv1": [100, 12, 128], "fc1": [90, 12, 128]}
LAYERS = ("--layer", "conv1=100,12,128", "--layer", "fc1=90,12,128")
SHAPE = ("--size", "4,4", "--paddings", "1", "--relus", "1", "--pools", "1", "--gain", "128")
SHAPE += ("--max-bits", "9")
ARGUMENTS = {"size": [4, 4], "paddings": [1], "relus": 1, "pools": 1, "gain": 128.0, "max_bits": 9}


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """A function that imports in a folder of its own: words -> (exit code, standard error)."""
    point = SimpleNamespace(name="import", load=lambda: import_network)
    monkeypatch.setattr(metadata, "entry_points", lambda group: [point])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.txt").write_text(text_file.dumps(network()))
    np.savez(tmp_path / "tiny.npz", **STATE)

    def run(*words):
        code = cli.main(["import", *map(str, words)])
        return code, capsys.readouterr().err

    return run


def error(message):
    return 1, f"tercet import: error: {message}\n"


def test_text_becomes_a_network_file(call, tmp_path):
    words = ("net.txt", "--format", "text", "-o", "out.json", "--json", "facts.json")
    assert call(*words) == (0, "")
    assert (tmp_path / "out.json").read_text() == dumps(network())
    assert json.loads((tmp_path / "facts.json").read_text()) == {
        "network": "net",
        "format": "text",
        "input": {"shape": [7, 9, 2], "type": "uint8", "scale": 0.1},
        "weights": 4 * 9 * 2 + 5 * 6 * 4,
        "layers": [
            {"name": "first", "kind": "conv2d", "type": "uint8"},
            {"name": "second", "kind": "conv2d", "type": "uint8"},
            {"name": "best", "kind": "argmax", "type": "uint3"},
        ],
    }


def test_a_name_is_given_to_network_and_file(call, tmp_path):
    assert call("net.txt", "--format", "text", "--name", "other") == (0, "")
    assert (tmp_path / "other.json").read_text() == dumps(network(name="other"))


def test_scale_shift_takes_its_numbers_from_options(call, tmp_path):
    assert call("tiny.npz", "--format", "scale-shift", *LAYERS, *SHAPE) == (0, "")
    expected = scale_shift.read(STATE, TRIPLES, name="tiny", **ARGUMENTS)
    assert (tmp_path / "tiny.json").read_text() == dumps(expected)
    assert load("./tiny.json").name == "tiny"


def test_scale_shift_takes_its_numbers_from_the_file_beside(call, tmp_path):
    (tmp_path / "tiny.layers.json").write_text(json.dumps(TRIPLES))
    assert call("tiny.npz", "--format", "scale-shift", *SHAPE) == (0, "")
    expected = scale_shift.read(STATE, TRIPLES, name="tiny", **ARGUMENTS)
    assert (tmp_path / "tiny.json").read_text() == dumps(expected)


@pytest.mark.parametrize(
    ("beside", "message"),
    [
        (
            None,
            "The layers' m, n and Z are missing: tiny.layers.json cannot be read "
            "(No such file or directory); write it, or give --layer NAME=m,n,Z for each",
        ),
        (
            b"\xff",
            "The layers' m, n and Z are missing: tiny.layers.json cannot be read "
            "(it is not UTF-8 text); write it, or give --layer NAME=m,n,Z for each",
        ),
        (
            b'{"conv1": [1, 2, 3], "conv1": [1, 2, 3]}',
            "tiny.layers.json: not JSON: the key 'conv1' stands twice",
        ),
        (b"[1, 2", "tiny.layers.json: not JSON: Expecting ',' delimiter: line 1 column 6 (char 5)"),
        (b"[]", "tiny.layers.json: The file must be an object, not []"),
        (
            b'{"conv1": [1, 2]}',
            "tiny.layers.json: The file: field 'conv1' must be a list of 3, not [1, 2]",
        ),
        (
            b'{"conv1": [1, 2, 3.5]}',
            "tiny.layers.json: The file: field 'conv1' must be an integer, not 3.5",
        ),
        (b'{"fc1": [1, 2, 3]}', "Layer 'conv1': its m, n and Z are missing; there are conv1, fc1"),
    ],
)
def test_a_bad_file_beside_is_one_sentence(call, tmp_path, beside, message):
    if beside is not None:
        (tmp_path / "tiny.layers.json").write_bytes(beside)
    before = sorted(tmp_path.iterdir())
    assert call("tiny.npz", "--format", "scale-shift", *SHAPE) == error(message)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("net.txt", "--format", "tflite"),
            "There is no format 'tflite' to import; there are onnx, scale-shift, text",
        ),
        (
            ("net.txt", "--format", "text", "--gain", "1"),
            "--gain belongs to --format scale-shift alone",
        ),
        (
            ("tiny.npz", "--format", "scale-shift", "--inexact"),
            "--inexact belongs to --format onnx alone",
        ),
        (
            ("net.txt", "--format", "text", "--max-bits", "16"),
            "--max-bits belongs to --format scale-shift alone",
        ),
        (
            ("net.txt", "--format", "onnx", "--layer", "a=1,2,3"),
            "--layer belongs to --format scale-shift alone",
        ),
        (
            ("tiny.npz", "--format", "scale-shift", *LAYERS, *LAYERS[:2]),
            "--layer conv1=... stands twice",
        ),
        (
            ("tiny.npz", "--format", "scale-shift", *LAYERS, *SHAPE, "--name", "a-b"),
            "Network name must be letters, digits and underscores, not 'a-b'",
        ),
        (
            ("absent.npz", "--format", "scale-shift", *LAYERS),
            "The state dict absent.npz cannot be read: No such file or directory",
        ),
        (
            ("tiny.npz", "--format", "text"),
            "The text file tiny.npz cannot be read: it is not UTF-8 text",
        ),
        (
            ("net.txt", "--format", "text", "-o", "absent/net.json"),
            "The network file absent/net.json cannot be written: No such file or directory",
        ),
    ],
)
def test_what_a_user_can_cause_is_one_sentence(call, tmp_path, words, message):
    before = sorted(tmp_path.iterdir())
    assert call(*words) == error(message)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--layer", "conv1"), "argument --layer: must be NAME=m,n,Z, not 'conv1'"),
        (("--layer", "conv1=1,2"), "argument --layer: must be NAME=m,n,Z, not 'conv1=1,2'"),
        (("--layer", "=1,2,3"), "argument --layer: must be NAME=m,n,Z, not '=1,2,3'"),
        (("--layer", "a=1,2,x"), "argument --layer: must be integers and commas, not '1,2,x'"),
        (("--paddings", "1,,2"), "argument --paddings: must be integers and commas, not '1,,2'"),
    ],
)
def test_options_of_the_wrong_form_are_a_usage_error(call, words, message):
    code, shown = call("tiny.npz", "--format", "scale-shift", *words)
    assert code == 2
    assert shown.endswith(f"tercet import: error: {message}\n")


def test_a_missing_package_says_what_to_install(call, monkeypatch):
    def missing(name, package):
        assert (name, package) == ("..frontends.onnx", "tercet.model.commands")
        raise ModuleNotFoundError("No module named 'onnx'", name="onnx")

    monkeypatch.setattr(import_network, "import_module", missing)
    assert call("net.onnx", "--format", "onnx") == error(
        "needs the package 'onnx', which is not installed; get it with: pip install 'tercet[onnx]'"
    )


def test_other_formats_get_the_path_and_the_name(call, monkeypatch, tmp_path):
    seen = []

    def read(path, name, **options):
        seen.append((str(path), name, options))
        return network(name=name)

    monkeypatch.setattr(import_network, "import_module", lambda *_: SimpleNamespace(read=read))
    assert call("x.onnx", "--format", "onnx", "--name", "mine") == (0, "")
    assert call("x.onnx", "--format", "onnx", "--name", "mine", "--inexact") == (0, "")
    assert seen == [("x.onnx", "mine", {}), ("x.onnx", "mine", {"inexact": True})]
    assert (tmp_path / "mine.json").is_file()


@pytest.mark.parametrize("form", import_network.FORMATS)
def test_each_format_has_its_reader(form):
    if form == "onnx":
        pytest.importorskip("onnx", reason="onnx is not installed")
    module = import_module(import_network.FORMATS[form], "tercet.model.commands")
    taken = signature(module.read).parameters
    own = {"scale-shift": {"triples"}}.get(form, set())
    options = set(import_network.OPTIONS.get(form, ())) - {"layer"}
    assert {"name"} | own | options <= set(taken)

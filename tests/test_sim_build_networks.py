"""Networks as strangers have them go through ``tercet build``, from ONNX and from .pt2."""

import csv
import json

import numpy as np
import pytest

for package in ("torch", "onnxruntime", "onnxscript"):
    pytest.importorskip(package, reason=f"{package} is not installed")

from strangers import NETS, data, save_onnx, save_program, trained  # noqa: E402
from tercet.gen.cli import main  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.icarus]


@pytest.mark.parametrize("name", NETS)
def test_a_network_is_built_from_each_format(name, tmp_path, capsys):
    _, shape, normalization = NETS[name]
    net = trained(name)
    images, labels = data(shape, 150, seed=9)
    np.savez(tmp_path / "mine.npz", images=images, labels=labels)
    options = ["--split", "50,100", "--simulator", "icarus", "-n", "1", "--data"]
    options += [str(tmp_path / "mine.npz")]
    if normalization:
        mean, std = map(str, normalization)
        options += ["--mean", mean, "--std", std]
    classes = []
    for save, suffix in ((save_onnx, "onnx"), (save_program, "pt2")):
        path, out = tmp_path / f"{name}.{suffix}", tmp_path / suffix
        save(net, shape, str(path))
        capsys.readouterr()
        words = ["build", str(path), "-o", str(out), "--json", str(tmp_path / "facts.json")]
        assert main([*words, *options]) == 0, capsys.readouterr().err
        facts = json.loads((tmp_path / "facts.json").read_text())
        assert facts["network"] == name
        assert facts["simulation"]["mismatches"] == 0
        assert facts["simulation"]["values_compared"] > 0
        manifest = facts["core"]["manifest"]
        assert facts["simulation"]["latency_cycles"] == manifest["latency_cycles"]
        accuracy = facts["quantization"]
        assert accuracy["float_accuracy"] > 0.85
        assert abs(accuracy["float_accuracy"] - accuracy["int_accuracy"]) <= 0.03
        rows = csv.DictReader((out / "classes.csv").read_text().splitlines())
        classes.append([(row["float"], row["integer"]) for row in rows])
        page = (out / "report.html").read_text()
        assert all(layer["name"] in page for layer in manifest["layers"])
    assert classes[0] == classes[1]

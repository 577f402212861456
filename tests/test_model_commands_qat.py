"""``tercet qat`` on a model and images of one's own, and what it refuses."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from strangers import NETS, data, save_program, trained  # noqa: E402
from tercet.gen.cli import main  # noqa: E402
from tercet.model import load  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """A folder with a saved program and its images."""
    folder = tmp_path_factory.mktemp("mine")
    save_program(trained("mlp"), NETS["mlp"][1], str(folder / "mlp.pt2"))
    images, labels = data(NETS["mlp"][1], 800, seed=7)
    np.savez(folder / "mlp.npz", images=images, labels=labels)
    np.savez(folder / "bare.npz", images=images)
    np.savez(folder / "wrong.npz", images=images, labels=labels + 9)
    return folder


def run(command, mine, tmp_path, *words):
    facts = tmp_path / "facts.json"
    options = ["-o", str(tmp_path / "made.json"), "--json", str(facts), "--bits-w", "2"]
    model, images = str(mine / "mlp.pt2"), str(mine / "mlp.npz")
    words = [command, model, "--data", images, *options, "--bits-a", "3", *words]
    assert main(words) == 0
    return json.loads(facts.read_text())


def test_training_wins_back_what_few_bits_lose(mine, tmp_path):
    plain = run("quantize", mine, tmp_path, "--split", "400,200")
    words = ("--split", "400,200", "--epochs", "5", "--rate", "3e-3", "--learned-steps")
    tuned = run("qat", mine, tmp_path, *words)
    assert tuned["images"] == 200
    assert tuned["source"] == "other images of mlp.npz"
    assert tuned["float_accuracy"] - tuned["int_accuracy"] < 0.04
    assert plain["float_accuracy"] - plain["int_accuracy"] > 0.05
    assert load(str(tmp_path / "made.json")).name == "mlp"
    assert run("qat", mine, tmp_path, *words) == tuned


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ("bare", "The images of bare.npz have no labels, and training needs them; give an .npz"),
        ("wrong", "Network 'mlp' has 4 scores, and the images of wrong.npz have the label 12;"),
    ],
)
def test_labels_must_be_there_and_fit(images, message, mine, capsys):
    assert main(["qat", str(mine / "mlp.pt2"), "--data", str(mine / f"{images}.npz")]) == 1
    assert capsys.readouterr().err.startswith(f"tercet qat: error: {message}")


@pytest.mark.parametrize("words", [["--data", "x.npz"], ["--mean", "0.5"], ["--std", "2"]])
def test_a_shipped_checkpoint_takes_its_own_images(words, capsys):
    assert main(["qat", "plain", *words]) == 1
    assert capsys.readouterr().err == (
        "tercet qat: error: --data, --mean and --std are for a model of one's own, and plain is a "
        "checkpoint that takes MNIST as it is; leave them out\n"
    )

"""Fine-tuning with fake quantization, its command, and the document of accuracies."""

import argparse
import json
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from anylayers import any_layers
from tercet.model import NetworkError, load
from tercet.model.data import Digits, MissingError, fit_to, mnist, training_digits
from tercet.model.errors import UserError
from tercet.model.float.nets import nets
from tercet.model.float.nets.nets import input_shape_of
from tercet.model.formats.json_file import dumps

torch = pytest.importorskip("torch")
from tercet.model.commands import accuracy as command_accuracy  # noqa: E402
from tercet.model.commands import accuracy_cells as accuracy  # noqa: E402
from tercet.model.commands import qat as command_qat  # noqa: E402
from tercet.model.float.ptq.quantize import Options, Schemes  # noqa: E402
from tercet.model.float.ptq.schemes import Scheme  # noqa: E402
from tercet.model.float.qat.network import QatNet  # noqa: E402
from tercet.model.float.qat.train import Task, fine_tune  # noqa: E402
from tercet.model.float.training.recipe import QatRecipe, Training  # noqa: E402

pytestmark = pytest.mark.torch

FOUR = Options(Schemes(Scheme(4, True, True, "mse"), Scheme(4, observer="mse")))


@pytest.fixture(scope="module")
def training():
    try:
        return training_digits()
    except MissingError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def test_images():
    try:
        return mnist("test").images
    except MissingError as error:
        pytest.skip(str(error))


def arguments(command, *words):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(words)


def noise(seed):
    """3,000 images of nothing, just enough to split."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (3000, 28, 28), dtype=np.uint8)
    return Digits(images, rng.integers(0, 10, 3000).astype(np.uint8), "noise")


@pytest.mark.parametrize("learned", [False, True])
def test_the_same_training_gives_the_same_bytes(learned, seed):
    digits = noise(seed)

    def once():
        states = []
        tuned = fine_tune(
            Task.of_checkpoint(nets.load("plain"), digits),
            digits.images[:50, ..., np.newaxis],
            FOUR,
            Training(delay=2, freeze=20, learned=learned),
            QatRecipe(epochs=1, rate=0.01),
            seed,
            states.append,
        )
        return dumps(tuned.net.lower()), tuned.epoch, states

    first, again = once(), once()
    assert first == again
    assert [state.epoch for state in first[2]] == [0, 1]


@pytest.mark.mnist
def test_fine_tuning_brings_back_what_four_bits_lose(training):
    reached = []
    tuned = fine_tune(
        Task.of_checkpoint(nets.load("plain"), training),
        training.images[:300, ..., np.newaxis],
        FOUR,
        Training(learned=True),
        QatRecipe(epochs=1, rate=2e-3),
        0,
        lambda state: reached.append(state.accuracy),
    )
    assert tuned.validation_accuracy == max(reached) == reached[tuned.epoch]
    assert reached[1] > reached[0] + 0.02
    assert reached[1] > 0.91


@pytest.mark.mnist
@pytest.mark.parametrize("name", ["plain", "separable", "mnist_cnn_bn", "lenet_avg", "lenet_max"])
def test_evaluation_in_float32_meets_no_near_tie(name, training, test_images):
    shape = input_shape_of(name)
    options = Options(Schemes(Scheme(7, True), Scheme(7)))
    net = QatNet.of(nets.load(name).graph(), fit_to(training.images[:300], shape), options).eval()
    lowered, images = net.lower(), fit_to(test_images[:1000], shape)
    ours, theirs = net.integers(images), lowered.trace(images)
    outputs = {layer.name: layer.output for layer in lowered.layers}
    different = sum(
        int((values != theirs[outputs.get(layer, layer)]).sum())
        for layer, values in ours.items()
        if "flatten" not in layer
    )
    assert different == 0
    scores = ours[net.graph.output].reshape(1000, -1)
    assert np.array_equal(scores.argmax(axis=1), theirs["class"].ravel())


@pytest.mark.mnist
def test_the_command_writes_the_network_and_its_figures(training, test_images, tmp_path, capsys):
    path = tmp_path / "made.json"
    words = ["plain", "--net", "plain", "-o", str(path), "--epochs", "1", "--split", "1000,500"]
    words += ["--bits-w", "4", "--bits-a", "4", "--learned-steps", "--rate", "0.001"]
    facts, ok = command_qat.run(arguments(command_qat, *words))
    assert ok
    assert json.loads(json.dumps(facts)) == facts
    network = load(path)
    assert facts["int_accuracy"] == (network(test_images[:500]).argmax(axis=1) == _labels()).mean()
    assert facts["epoch"] in (0, 1)
    assert [layer.name for layer in network.layers] == ["conv1", "conv2", "conv3", "argmax"]
    assert {str(layer.weights.dtype) for layer in any_layers(network)[:3]} == {"int4"}
    shown = capsys.readouterr().out.splitlines()
    assert shown[-1] == (
        f"Epoch {facts['epoch']} of 1 was best on the validation images, "
        f"{facts['validation_accuracy']:.4f}; all multipliers equal exact arithmetic"
    )
    assert facts["unproven"] == []


def _labels():
    return mnist("test").labels[:500]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--epochs", "-1"], "epochs must be 0 or more and batch at least 1, not -1 and 64"),
        (["--rate", "nan"], "rate must lie between 0 and 1, not nan"),
        (["--distillation", "2"], "distillation must be 0 to 1, not 2.0"),
        (["--augmentation", "-1"], "augmentation must be 0 to 10, not -1.0"),
        (["--delay", "-3"], "delay must be a number of steps, 0 or more, not -3"),
        (["--seed", "-1"], "seed must be 0 to 4294967295, not -1"),
        (["--bits-w", "9"], "weights must have 2 to 8 bits, not 9"),
        (
            ["--net", "separable"],
            "The checkpoint plain holds plain, not separable; give --net plain",
        ),
        (
            ["-o", "absent/x.json"],
            "The network absent/x.json cannot be written: its folder does not exist",
        ),
    ],
)
def test_the_command_refuses_impossible_options(words, message, training):
    with pytest.raises(NetworkError, match=f"^{re.escape(message)}$"):
        command_qat.run(arguments(command_qat, "plain", *words))


def test_every_network_has_a_recipe_at_every_width():
    made = accuracy.cells()
    assert len(made) == 2 * len(nets.NETS) * len(accuracy.WIDTHS)
    for cell in made:
        parser = argparse.ArgumentParser(exit_on_error=False)
        accuracy.COMMANDS[cell.method].add_arguments(parser)
        args = parser.parse_args(cell.words[1:])
        assert (args.checkpoint, args.bits_w, args.bits_a) == (cell.net, cell.bits, cell.bits)


def fake(facts, calls):
    """A command that gives these facts and counts its calls."""

    def run(args):
        calls.append(args.checkpoint)
        return {"network": args.checkpoint, **facts}, True

    return argparse.Namespace(add_arguments=command_qat.add_arguments, run=run)


@pytest.fixture
def quick(monkeypatch):
    """The accuracy command with figures from nowhere; the list of cells that were made."""
    calls = []
    common = {"images": 10000, "float_accuracy": 0.99}
    after = {**common, "int_accuracy": 0.9871}
    during = {**common, "int_accuracy": 0.9899, "epoch": 2, "validation_accuracy": 0.9904}
    during["recipe"] = {"epochs": 3}
    commands = {"quantize": fake(after, calls), "qat": fake(during, calls)}
    monkeypatch.setattr(accuracy, "COMMANDS", commands)
    return calls


def test_the_document_holds_figures_targets_and_commands(quick, tmp_path, capsys):
    path = tmp_path / "docs" / "accuracy.md"
    words = ["-o", str(path), "--work", str(tmp_path / "work"), "--nets", "lenet_avg", "plain"]
    facts, ok = command_accuracy.run(arguments(command_accuracy, *words, "--bits", "8", "4"))
    assert ok
    text = path.read_text()
    row = "| `lenet_avg` | 99.00 | 98.71 (-0.29) | 98.99 (-0.01) | 98.71 (-0.29) | 98.99 (-0.01) |"
    assert row in text.splitlines()
    assert "| 8 bits after training: at most 0.2 points lost | `lenet_avg` | 0.29 | no |" in text
    assert "| 4 bits in training: at most 1 point lost | `lenet_avg` | 0.01 | yes |" in text
    assert "| `tercet quantize plain` |  |  | 98.71 |" in text
    assert "| 2 of 3 | 90.40 |" not in text
    assert "| 2 of 3 | 99.04 | 98.99 |" in text
    picture = ElementTree.parse(tmp_path / "docs" / "accuracy.svg").getroot()
    circles = [part for part in picture if part.tag.endswith("circle")]
    columns = [float(circle.get("cx")) for circle in circles]
    assert len(columns) == 8
    assert columns[0] > columns[1]  # the ring lost more than the disc
    assert len(facts["cells"]) == 8
    assert capsys.readouterr().out == f"8 figures of 2 networks -> {path}\n"


def test_an_interrupted_run_goes_on_where_it_was(quick, tmp_path, monkeypatch):
    words = ["-o", str(tmp_path / "a.md"), "--work", str(tmp_path), "--nets", "plain"]
    command_accuracy.run(arguments(command_accuracy, *words, "--bits", "8"))
    assert len(quick) == 2
    command_accuracy.run(arguments(command_accuracy, *words))
    assert len(quick) == 2 + 4
    before = (tmp_path / "a.md").read_bytes()
    command_accuracy.run(arguments(command_accuracy, *words))
    assert len(quick) == 2 + 4
    assert (tmp_path / "a.md").read_bytes() == before
    monkeypatch.setitem(accuracy.WIDTH_OPTIONS, 8, "--per-channel")  # other cells than before
    command_accuracy.run(arguments(command_accuracy, *words))
    assert len(quick) == 2 + 4 + 2


def test_a_place_that_cannot_be_written_is_one_sentence(quick, tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "a.md"
    words = ["-o", str(path), "--work", str(tmp_path / "work")]
    message = f"The document {path} cannot be written: File exists"
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        command_accuracy.run(arguments(command_accuracy, *words))
    assert quick == []

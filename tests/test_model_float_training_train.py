"""Training: the same bytes again, honest splits, and what is refused."""

import argparse
import re
from dataclasses import replace

import numpy as np
import pytest
from tercet.model import NetworkError
from tercet.model.data import Digits

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = pytest.mark.torch

from tercet.model.commands import train as command_train  # noqa: E402
from tercet.model.float.nets.nets import NETS, Checkpoint, input_shape_of, load, save  # noqa: E402
from tercet.model.float.nets.stride3 import STRIDE3  # noqa: E402
from tercet.model.float.training import common as train_common  # noqa: E402
from tercet.model.float.training import copies as train_copies  # noqa: E402
from tercet.model.float.training import train as train_module  # noqa: E402
from tercet.model.float.training.recipe import RECIPES, CopiesRecipe, Recipe  # noqa: E402
from tercet.model.float.training.train import accuracy_of, augment, split, train  # noqa: E402

SHORT = CopiesRecipe(
    epochs=3,
    heat_epochs=1,
    copies=5,
    finalists=2,
    batch=50,
    rate=0.03,
    augmentation=0.5,
    exponent=0.5,
    penalty=1e-3,
)
QUICK = Recipe(epochs=1, batch=50, rate=3e-3, decay=0.02, augmentation=0.5)


def strokes(count, seed=1):
    """Ten classes that are easy to tell apart: a bright bar in one of ten places, with noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, count, dtype=np.uint8)
    images = rng.integers(0, 60, (count, 28, 28), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        row, column = 5 * (label % 5), 14 * (label // 5)
        image[row + 1 : row + 5, column + 1 : column + 12] = 250
    return Digits(images, labels, "strokes")


@pytest.mark.parametrize("network", NETS)
def test_two_runs_give_the_same_bytes(tmp_path, network, monkeypatch):
    recipe, count = (SHORT, 3000) if network in STRIDE3 else (QUICK, 300)
    if count < 3000:
        monkeypatch.setattr(train_common, "BLOCK", 50)
    digits = strokes(count)
    torch.manual_seed(1)
    for name in ("a.npz", "b.npz"):
        save(train(network, digits, recipe, seed=5), tmp_path / name)
        torch.manual_seed(2)  # whatever else draws from PyTorch's own generator has no say
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    save(train(network, digits, recipe, seed=6), tmp_path / "c.npz")
    assert (tmp_path / "a.npz").read_bytes() != (tmp_path / "c.npz").read_bytes()


def test_learns_and_keeps_a_best_epoch():
    digits, states = strokes(3000), []
    threads = torch.get_num_threads()
    single = replace(SHORT, finalists=1)
    found = train("plain", digits, single, seed=5, report=states.append)
    assert torch.get_num_threads() == threads
    assert [(state.epoch, state.epochs) for state in states] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    best = max(state.accuracy for state in states[1:])
    assert found.facts["validation_accuracy"] == pytest.approx(best, abs=1e-6)
    assert found.facts["epoch"] == 1 + [state.accuracy for state in states[1:]].index(best)
    assert 0 <= found.facts["copy"] < SHORT.copies
    assert (found.facts["training_images"], found.facts["validation_images"]) == (2500, 500)
    assert best > 0.9
    _, choose = split(digits)
    assert accuracy_of(found, choose) == pytest.approx(best, abs=1e-6)


def test_a_module_learns_and_keeps_its_best_epoch():
    digits, states = strokes(3000), []
    threads, before = torch.get_num_threads(), torch.random.get_rng_state()
    recipe = replace(QUICK, epochs=3)
    found = train("mnist_cnn_bn", digits, recipe, seed=5, report=states.append)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.random.get_rng_state(), before)
    assert [(state.epoch, state.epochs) for state in states] == [(1, 3), (2, 3), (3, 3)]
    best = max(state.accuracy for state in states)
    assert found.facts == {
        "seed": 5,
        "recipe": vars(recipe),
        "training_images": 2500,
        "validation_images": 500,
        "epoch": 1 + [state.accuracy for state in states].index(best),
        "validation_accuracy": pytest.approx(best, abs=1e-6),
    }
    assert best > 0.95
    _, choose = split(digits)
    assert accuracy_of(found, choose) == pytest.approx(best, abs=1e-6)
    assert states[-1].loss < states[0].loss


def test_arrays_are_rounded_to_float16_before_their_figure_is_taken(monkeypatch):
    seen = []

    def accuracy(checkpoint, digits):
        seen.append(checkpoint)
        return 0.25

    monkeypatch.setattr(train_module, "accuracy_of", accuracy)
    found = train("mnist_cnn", strokes(3000), replace(QUICK, half=True), seed=5)
    for name, values in found.state.items():
        assert values.dtype == np.float32
        assert np.array_equal(values, values.astype(np.float16))
        assert seen[0].state[name] is values
    assert found.facts["validation_accuracy"] == 0.25


@pytest.mark.parametrize("network", NETS)
def test_examples_have_the_networks_shape(network):
    shape = input_shape_of(network)
    examples = train_common.Examples.of(strokes(3), shape)
    assert examples.images.shape == (3, shape[2], *shape[:2])
    assert (examples.images.min(), examples.images.dtype) == (0, torch.float32)
    assert 0.9 < examples.images.max() <= 1
    assert examples.labels.dtype == torch.int64


def test_of_the_finalists_the_best_in_int8_is_kept(monkeypatch):
    digits, seen = strokes(3000), []

    def ranked(candidate, images, choose):
        seen.append(candidate.facts["copy"])
        return {0: 0.1, 1: 0.9}.get(len(seen) - 1, 0.5)

    monkeypatch.setattr(train_copies, "_int8_accuracy", ranked)
    found = train("plain", digits, replace(SHORT, finalists=3), seed=5)
    assert len(seen) == 3
    assert found.facts["copy"] == seen[1]
    assert found.facts["validation_int8_accuracy"] == 0.9


def test_weights_start_positive_where_the_recipe_says_so():
    generator = torch.Generator().manual_seed(1)
    recipe = replace(SHORT, copies=40, positive=("dw1",))
    weights = train_copies._initial_weights("separable", recipe, generator)
    assert weights["dw1"].min() >= 0
    assert weights["pw1"].min() < 0
    assert weights["dw3"].shape == (40, 6, 1, 3, 3)
    assert weights["dw3"].std().item() == pytest.approx((2 / 9) ** 0.5, rel=0.05)
    assert weights["pw3"].std().item() == pytest.approx((2 / 6) ** 0.5, rel=0.05)


def test_every_sixth_block_is_kept_to_choose_by():
    images = np.zeros((15_000, 28, 28), np.uint8)
    images[:, 0, 0] = np.arange(15_000) // 500
    learn, choose = split(Digits(images, np.zeros(15_000, np.uint8), "blocks"))
    assert (len(learn), len(choose)) == (12_500, 2_500)
    assert np.unique(choose.images[:, 0, 0]).tolist() == [5, 11, 17, 23, 29]
    assert np.intersect1d(learn.images[:, 0, 0], choose.images[:, 0, 0]).size == 0


def test_too_few_images_to_choose_by_are_refused():
    message = "Training needs at least 3000 images, not 2500"
    with pytest.raises(NetworkError, match=f"^{message}$"):
        train("plain", strokes(2500), SHORT, seed=0)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("epochs", 0, "epochs must be at least 1, not 0"),
        ("copies", 0, "copies must be at least 1, not 0"),
        ("batch", -1, "batch must be at least 1, not -1"),
        ("finalists", 6, "finalists must number at most the 5 copies, not 6"),
    ],
)
def test_impossible_recipes_are_refused(field, value, message):
    with pytest.raises(NetworkError, match=f"^{message}$"):
        CopiesRecipe(**{**vars(SHORT), field: value})


@pytest.mark.parametrize("field", ["epochs", "batch"])
def test_impossible_recipes_of_modules_are_refused(field):
    with pytest.raises(NetworkError, match=f"^{field} must be at least 1, not 0$"):
        replace(QUICK, **{field: 0})


def test_every_network_has_a_recipe():
    assert RECIPES.keys() == NETS.keys()
    copies = {name for name, recipe in RECIPES.items() if isinstance(recipe, CopiesRecipe)}
    assert copies == STRIDE3.keys()


def test_augmentation_moves_a_little_and_nothing_at_strength_0():
    images = torch.from_numpy(strokes(20).images[:, None].astype(np.float32))
    same = augment(images, 0.0, torch.Generator().manual_seed(1))
    assert torch.allclose(same, images, atol=1e-2)
    moved = augment(images, 1.0, torch.Generator().manual_seed(1))
    assert moved.shape == images.shape
    assert (moved - images).abs().amax(dim=(1, 2, 3)).min() > 10
    assert (moved.mean(dim=(1, 2, 3)) / images.mean(dim=(1, 2, 3)) - 1).abs().max() < 0.4


def arguments(*words):
    parser = argparse.ArgumentParser()
    command_train.add_arguments(parser)
    return parser.parse_args(words)


def test_the_command_trains_and_takes_the_figure_on_the_test_images(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command_train, "training_digits", lambda: strokes(3000))
    monkeypatch.setattr(command_train, "mnist", lambda name: strokes(400, seed=9))
    monkeypatch.setitem(RECIPES, "plain", SHORT)
    path = tmp_path / "p.npz"
    words = ["plain", "-o", str(path), "--seed", "3", "--copies", "2", "--epochs", "2"]
    facts, ok = command_train.run(arguments(*words))
    found = load(str(path))
    assert ok
    assert isinstance(found, Checkpoint)
    changed = {"epochs": 2, "copies": 2, "finalists": 2, "positive": []}
    assert found.facts["recipe"] == {**vars(SHORT), **changed}
    assert found.facts["test_accuracy"] == facts["test_accuracy"] > 0.8
    line = capsys.readouterr().out.rstrip("\n")
    assert re.fullmatch(
        rf"plain: [01]\.\d{{4}} on the 400 strokes, [01]\.\d{{4}} on the 500 kept to choose by "
        rf"\(copy \d, epoch \d, seed 3\) -> {re.escape(str(path))}",
        line,
    )


def test_the_command_trains_a_module(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command_train, "training_digits", lambda: strokes(3000))
    monkeypatch.setattr(command_train, "mnist", lambda name: strokes(400, seed=9))
    monkeypatch.setitem(RECIPES, "mnist_cnn", replace(QUICK, epochs=7))
    path = tmp_path / "m.npz"
    command_train.run(arguments("mnist_cnn", "-o", str(path), "--epochs", "1"))
    found = load(str(path))
    assert found.facts["recipe"] == vars(QUICK)
    line = capsys.readouterr().out.rstrip("\n")
    assert re.fullmatch(
        rf"mnist_cnn: [01]\.\d{{4}} on the 400 strokes, [01]\.\d{{4}} on the 500 kept to choose by "
        rf"\(epoch 1, seed 0\) -> {re.escape(str(path))}",
        line,
    )


def test_the_command_refuses_before_it_trains(tmp_path):
    with pytest.raises(
        NetworkError,
        match=f"^There is no float network named 'lenet'; there are {', '.join(NETS)}$",
    ):
        command_train.run(arguments("lenet"))
    message = "The network mnist_cnn is trained alone, without copies; leave out --copies"
    with pytest.raises(NetworkError, match=f"^{message}$"):
        command_train.run(arguments("mnist_cnn", "--copies", "2"))
    path = tmp_path / "none" / "p.npz"
    message = f"The checkpoint {path} cannot be written: its folder does not exist"
    with pytest.raises(NetworkError, match=f"^{re.escape(message)}$"):
        command_train.run(arguments("plain", "-o", str(path)))

"""Training of the networks of stride 3: many copies in parallel, of which the best is kept.

The networks are so small that a single one does not fill a CPU, and that the result depends on
luck: some lose units in a ReLU. Therefore ``copies`` of a network, grouped into one module, are
trained from different initial weights for a few epochs (the heat). The best of them by validation
accuracy are trained for the whole schedule. Each is kept at its best epoch, and the one that is
best in int8 is the result. The test images influence no choice.

All randomness comes from the seed, and only one thread is used, so the same machine and PyTorch
give the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict

import numpy as np
import numpy.typing as npt
import torch

from ...data import Digits
from ...layers import NetworkError
from ..nets.nets import Checkpoint
from ..nets.stride3 import INPUT_SHAPE, build_copies, layers_of
from ..ptq.quantize import accuracy, calibration_images, quantize
from .common import Examples, Progress, augment, one_thread, scores, split
from .recipe import CopiesRecipe

__all__ = ["train_copies"]

CLASSES = 10
CALIBRATION = 1_000  # images
CROSS_ENTROPY = 0.5  # of a schedule, before the loss gets its exponent; after the peak rate


def train_copies(
    network: str,
    digits: Digits,
    recipe: CopiesRecipe,
    seed: int,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Checkpoint:
    """Train a network.

    Parameters
    ----------
    network : a name of ``stride3.STRIDE3``
    digits : the training images; see :func:`common.split`
    seed : of the initial weights, the order of the images and their augmentation
    report : called after each epoch

    Returns the best of the finalists, each at its best epoch: the one that recognizes most
    validation images when quantized to int8. Its facts are the seed, the recipe, epoch and copy,
    the numbers of images, and both validation accuracies.
    """
    learn, choose = split(digits)
    sets = Examples.of(learn, INPUT_SHAPE), Examples.of(choose, INPUT_SHAPE)
    with one_thread():
        candidates = _candidates(network, *sets, recipe, seed, report)
    images = calibration_images(learn.images, min(CALIBRATION, len(learn)), seed=0)[..., np.newaxis]
    integers = [_int8_accuracy(candidate, images, choose) for candidate in candidates]
    order = range(len(candidates))
    best = max(order, key=lambda i: (integers[i], candidates[i].facts["validation_accuracy"]))
    facts = {
        "seed": seed,
        "recipe": asdict(recipe),
        "training_images": len(learn),
        "validation_images": len(choose),
        "validation_int8_accuracy": round(integers[best], 6),
        **candidates[best].facts,
    }
    return Checkpoint(network, candidates[best].state, facts)


def _candidates(
    network: str,
    learn: Examples,
    choose: Examples,
    recipe: CopiesRecipe,
    seed: int,
    report: Callable[[Progress], None],
) -> list[Checkpoint]:
    """Train and return the finalists, each at its best epoch."""
    generator = torch.Generator().manual_seed(seed)
    weights = _initial_weights(network, recipe, generator)
    epochs = recipe.heat_epochs + recipe.epochs
    heat = _Run(network, weights, recipe, recipe.heat_epochs, 0.0, generator)
    for epoch, loss, accuracies in heat.epochs(learn, choose):
        report(Progress(epoch, epochs, loss, float(accuracies.max())))
    order = accuracies.argsort(descending=True, stable=True)
    copies = order[: recipe.finalists].sort().values
    weights = {name: values[copies] for name, values in heat.weights().items()}
    final = _Run(network, weights, recipe, recipe.epochs, recipe.exponent, generator)
    best: dict[int, Checkpoint] = {}
    for epoch, loss, accuracies in final.epochs(learn, choose):
        report(Progress(recipe.heat_epochs + epoch, epochs, loss, float(accuracies.max())))
        for index, part in enumerate(accuracies.tolist()):
            reached = round(part, 6)
            if index not in best or reached > best[index].facts["validation_accuracy"]:
                facts = {"copy": int(copies[index]), "epoch": epoch, "validation_accuracy": reached}
                arrays = {
                    f"{name}.weight": values[index].clone().numpy()
                    for name, values in final.weights().items()
                }
                best[index] = Checkpoint(network, arrays, facts)
    return [best[index] for index in sorted(best)]


def _int8_accuracy(candidate: Checkpoint, images: npt.NDArray[np.uint8], choose: Digits) -> float:
    """A network's accuracy after quantization to int8; -1 if it cannot be quantized."""
    try:
        return accuracy(quantize(candidate.graph(), images)(choose.images), choose.labels)
    except NetworkError:
        return -1.0


Stacked = dict[str, torch.Tensor]  # weights (copies, OC, IC / groups, KH, KW) by layer


def _initial_weights(network: str, recipe: CopiesRecipe, generator: torch.Generator) -> Stacked:
    """He et al.'s normal weights, variance 2 / fan-in; absolute values in ``positive`` layers."""
    weights = {}
    for spec in layers_of(network):
        deviation = math.sqrt(2 / math.prod(spec.shape[1:]))
        values = torch.randn((recipe.copies, *spec.shape), generator=generator) * deviation
        weights[spec.name] = values.abs() if spec.name in recipe.positive else values
    return weights


class _Run:
    """The training of several copies of a network through one schedule."""

    def __init__(
        self,
        network: str,
        weights: Stacked,
        recipe: CopiesRecipe,
        epochs: int,
        exponent: float,
        generator: torch.Generator,
    ) -> None:
        self.shapes = {spec.name: spec.shape for spec in layers_of(network)}
        self.copies = len(weights[next(iter(weights))])
        self.recipe = recipe
        self.count = epochs
        self.exponent = exponent
        self.generator = generator
        self.net = build_copies(network, self.copies).to(memory_format=torch.channels_last)
        with torch.no_grad():
            for name, values in weights.items():
                self.net.get_parameter(f"{name}.weight").copy_(values.flatten(0, 1))

    def weights(self) -> Stacked:
        """The present weights, with the copy as the first axis."""
        return {
            name: self.net.get_parameter(f"{name}.weight").detach().reshape(-1, *shape)
            for name, shape in self.shapes.items()
        }

    def epochs(
        self, learn: Examples, choose: Examples
    ) -> Iterator[tuple[int, float, torch.Tensor]]:
        """Train; after each epoch yield its number from 1, its loss, and each copy's accuracy."""
        steps = max(len(learn.labels) // self.recipe.batch, 1)
        optimizer = torch.optim.Adam(self.net.parameters(), lr=self.recipe.rate)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.recipe.rate, total_steps=steps * self.count, pct_start=1 / 6
        )
        for epoch in range(1, self.count + 1):
            total = 0.0
            exponent = self.exponent if epoch > CROSS_ENTROPY * self.count else 0.0
            order = torch.randperm(len(learn.labels), generator=self.generator)
            for chosen in order[: steps * self.recipe.batch].chunk(steps):
                optimizer.zero_grad()
                loss = self.loss(learn.images[chosen], learn.labels[chosen], exponent)
                loss.backward()
                optimizer.step()
                schedule.step()
                total += loss.item()
            yield epoch, total / steps / self.copies, self.accuracies(choose)

    def loss(self, images: torch.Tensor, labels: torch.Tensor, q: float) -> torch.Tensor:
        """The sum of the copies' mean losses; the copies do not influence each other.

        The loss is the cross-entropy -log p of the label's probability at q = 0. For q > 0 it is (1
        - p**q) / q, between cross-entropy and the expected error 1 - p. A network that is too small
        for all digits learns more of them if hopeless ones have less influence. (Zhang and Sabuncu,
        "Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy Labels",
        NeurIPS 2018, 3.)
        """
        if self.recipe.augmentation:
            images = augment(images, self.recipe.augmentation, self.generator)
        found = self.net(images).view(len(images), self.copies, CLASSES)
        index = labels[:, None, None].expand(-1, self.copies, 1)
        logs = found.log_softmax(dim=2).gather(2, index)
        losses = (1 - (q * logs).exp()) / q if q else -logs
        squares = found.square().mean(dim=2, keepdim=True)
        return (losses + self.recipe.penalty * squares).sum() / len(labels)

    def accuracies(self, choose: Examples) -> torch.Tensor:
        """Each copy's accuracy, (copies,)."""
        found = scores(self.net, choose.images)
        right = found.view(-1, self.copies, CLASSES).argmax(dim=2) == choose.labels[:, None]
        return right.double().mean(dim=0)

"""Training of the float networks on MNIST: many copies side by side, the best one kept.

The networks are so small that one alone leaves a CPU idle, and that luck decides: some of them die
in a ReLU. So ``copies`` of a network, grouped into one module, are trained from different initial
weights for a few epochs (the heat); the best of them by validation accuracy are trained on for the
whole schedule; each is kept at its best epoch, and of these the one that is best in int8. The test
images play no part in any choice.

Everything random comes from the seed, and one thread is used, so that the same machine and PyTorch
give the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ..data import Digits
from ..layers import NetworkError
from .nets import Checkpoint, build, layers_of
from .quantize import accuracy, calibration_images, quantize
from .recipe import Recipe

__all__ = ["Progress", "split", "train"]

BLOCK = 500  # images
BLOCKS = 6  # of which the last one is kept to choose by
CLASSES = 10
CALIBRATION = 1_000  # images
CROSS_ENTROPY = 0.5  # of a schedule goes by before the loss takes its exponent, past the peak rate


@dataclass(frozen=True)
class Progress:
    """Where a training stands after an epoch."""

    epoch: int  # done, the heat's counted
    epochs: int  # in all
    loss: float  # mean over the epoch's images and the copies
    accuracy: float  # of the best copy on the validation images


@dataclass(frozen=True)
class _Set:
    """Images as the networks take them, with their labels."""

    images: torch.Tensor  # float32 (N, 1, 28, 28), 0..1
    labels: torch.Tensor  # int64 (N,)

    @classmethod
    def of(cls, digits: Digits) -> _Set:
        pixels = digits.images[:, np.newaxis].astype(np.float32) / np.float32(255)
        return cls(torch.from_numpy(pixels), torch.from_numpy(digits.labels.astype(np.int64)))


def split(digits: Digits) -> tuple[Digits, Digits]:
    """Split training digits: those to learn from, and every sixth block of 500 to choose by.

    In MNIST the images of a writer stand together, so that in this split, as in the test images,
    most writers are new. Raises NetworkError where there is no such block.
    """
    chosen = np.arange(len(digits)) // BLOCK % BLOCKS == BLOCKS - 1
    if not chosen.any():
        raise NetworkError(f"Training needs at least {BLOCK * BLOCKS} images, not {len(digits)}")
    return digits.where(~chosen), digits.where(chosen)


def train(
    network: str,
    digits: Digits,
    recipe: Recipe,
    seed: int,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Checkpoint:
    """Train a network.

    Parameters
    ----------
    network : a name of ``nets.NETS``
    digits : the training images; see :func:`split`
    seed : of the initial weights, the order of the images and their augmentation
    report : called after each epoch

    Returns the best of the finalists, each at its best epoch: of them, the one that quantized to
    int8 recognizes most validation images. Its facts are the seed, the recipe, epoch and copy, how
    many images served, and both validation accuracies.
    """
    learn, choose = split(digits)
    with _one_thread():
        candidates = _candidates(network, _Set.of(learn), _Set.of(choose), recipe, seed, report)
    images = calibration_images(learn.images, min(CALIBRATION, len(learn)), seed=0)
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
    return Checkpoint(network, candidates[best].weights, facts)


def _candidates(
    network: str,
    learn: _Set,
    choose: _Set,
    recipe: Recipe,
    seed: int,
    report: Callable[[Progress], None],
) -> list[Checkpoint]:
    """Train; the finalists, each at its best epoch."""
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
                arrays = {n: w[index].clone().numpy() for n, w in final.weights().items()}
                best[index] = Checkpoint(network, arrays, facts)
    return [best[index] for index in sorted(best)]


def _int8_accuracy(candidate: Checkpoint, images: npt.NDArray[np.uint8], choose: Digits) -> float:
    """What is left of a network's accuracy in int8; -1 where it cannot be quantized."""
    try:
        return accuracy(quantize(candidate, images)(choose.images), choose.labels)
    except NetworkError:
        return -1.0


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread: the order of sums, and so every bit, does not depend on the machine's cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


Stacked = dict[str, torch.Tensor]  # weights (copies, OC, IC / groups, KH, KW) by layer


def _initial_weights(network: str, recipe: Recipe, generator: torch.Generator) -> Stacked:
    """He et al.'s normal weights, variance 2 / fan-in; without their sign where they start so."""
    weights = {}
    for spec in layers_of(network):
        deviation = math.sqrt(2 / math.prod(spec.shape[1:]))
        values = torch.randn((recipe.copies, *spec.shape), generator=generator) * deviation
        weights[spec.name] = values.abs() if spec.name in recipe.positive else values
    return weights


class _Run:
    """Copies of a network being trained through one schedule."""

    def __init__(
        self,
        network: str,
        weights: Stacked,
        recipe: Recipe,
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
        self.net = build(network, self.copies).to(memory_format=torch.channels_last)
        with torch.no_grad():
            for name, values in weights.items():
                self.net.get_parameter(f"{name}.weight").copy_(values.flatten(0, 1))

    def weights(self) -> Stacked:
        """The weights as they stand, copies first."""
        return {
            name: self.net.get_parameter(f"{name}.weight").detach().reshape(-1, *shape)
            for name, shape in self.shapes.items()
        }

    def epochs(self, learn: _Set, choose: _Set) -> Iterator[tuple[int, float, torch.Tensor]]:
        """Train, and give after each epoch its number from 1, its loss, each copy's accuracy."""
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
        """The sum over the copies of their mean loss, so that no copy feels another.

        Cross-entropy -log p of the label's probability at q = 0; above it (1 - p**q) / q,
        between cross-entropy and 1 - p, the expected error: a network too small for all digits
        learns more of them when the hopeless ones pull less. (Zhang and Sabuncu, "Generalized Cross
        Entropy Loss for Training Deep Neural Networks with Noisy Labels", NeurIPS 2018, 3.)
        """
        if self.recipe.augmentation:
            images = augment(images, self.recipe.augmentation, self.generator)
        scores = self.net(images).view(len(images), self.copies, CLASSES)
        index = labels[:, None, None].expand(-1, self.copies, 1)
        logs = scores.log_softmax(dim=2).gather(2, index)
        losses = (1 - (q * logs).exp()) / q if q else -logs
        squares = scores.square().mean(dim=2, keepdim=True)
        return (losses + self.recipe.penalty * squares).sum() / len(labels)

    def accuracies(self, choose: _Set) -> torch.Tensor:
        """Each copy's accuracy, (copies,)."""
        with torch.no_grad():
            scores = torch.cat([self.net(part) for part in choose.images.split(500)])
        right = scores.view(-1, self.copies, CLASSES).argmax(dim=2) == choose.labels[:, None]
        return right.double().mean(dim=0)


def augment(images: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    """Turn, scale, shear and shift each image (N, 1, H, W) a little, bilinearly."""

    def draw(limit: float) -> torch.Tensor:
        return (torch.rand(len(images), generator=generator) * 2 - 1) * (limit * strength)

    angle, shear, wide, high = draw(0.15), draw(0.2), 1 + draw(0.1), 1 + draw(0.1)
    cos, sin = torch.cos(angle), torch.sin(angle)
    pixel = 2 / images.shape[-1]  # the grid's coordinates run from -1 to 1
    rows = (
        torch.stack([cos * wide, (shear - sin) * high, draw(pixel / 2)], dim=1),
        torch.stack([sin * wide, cos * high, draw(pixel / 2)], dim=1),
    )
    grid = nn.functional.affine_grid(
        torch.stack(rows, dim=1), list(images.shape), align_corners=False
    )
    return nn.functional.grid_sample(images, grid, align_corners=False)

"""Training of the float networks on MNIST, each by its recipe.

The epoch that is best on the validation images is kept. The test images influence no choice. All
randomness comes from the seed, and only one thread is used, so the same machine and PyTorch give
the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict

import numpy as np
import torch
from torch import nn

from ...data import Digits
from ..nets.nets import Checkpoint, Floats, build, input_shape_of, state_of
from .common import (
    Examples,
    Progress,
    accuracy_of,
    accuracy_on,
    augment,
    one_thread,
    shuffled,
    split,
)
from .copies import train_copies
from .recipe import CopiesRecipe, Recipe

__all__ = ["Progress", "accuracy_of", "augment", "split", "train"]


def train(
    network: str,
    digits: Digits,
    recipe: Recipe | CopiesRecipe,
    seed: int,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Checkpoint:
    """Train a network by its recipe; for a ``CopiesRecipe`` see :func:`train_copies`.

    Parameters
    ----------
    network : a name of ``nets.NETS``; of ``stride3.STRIDE3`` if the recipe has copies
    digits : the training images; see :func:`split`
    seed : of the initial weights, the order of the images and their augmentation
    report : called after each epoch

    Returns the network at its best epoch; ties go to the first. Its facts are the seed, the recipe,
    the epoch, the numbers of images, and the validation accuracy of the stored arrays.
    """
    if isinstance(recipe, CopiesRecipe):
        return train_copies(network, digits, recipe, seed, report)
    learn, choose = split(digits)
    with one_thread():
        state, epoch = _best_epoch(network, learn, choose, recipe, seed, report)
    if recipe.half:
        state = {name: a.astype(np.float16).astype(np.float32) for name, a in state.items()}
    facts = {
        "seed": seed,
        "recipe": asdict(recipe),
        "training_images": len(learn),
        "validation_images": len(choose),
        "epoch": epoch,
    }
    reached = round(accuracy_of(Checkpoint(network, state), choose), 6)
    return Checkpoint(network, state, {**facts, "validation_accuracy": reached})


def _best_epoch(
    network: str,
    learn: Digits,
    choose: Digits,
    recipe: Recipe,
    seed: int,
    report: Callable[[Progress], None],
) -> tuple[dict[str, Floats], int]:
    """Train; return the arrays after the best epoch, and its number from 1."""
    shape = input_shape_of(network)
    images, unseen = Examples.of(learn, shape), Examples.of(choose, shape)
    with torch.random.fork_rng(devices=[]):  # modules draw from PyTorch's global generator
        torch.manual_seed(seed)
        net = build(network).to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(seed)
    best, state, chosen = -1.0, state_of(net), 0
    for epoch, loss in enumerate(_epochs(net, images, recipe, generator), start=1):
        reached = accuracy_on(net.eval(), unseen)
        report(Progress(epoch, recipe.epochs, loss, reached))
        if reached > best:
            best, state, chosen = reached, state_of(net), epoch
    return state, chosen


def _epochs(
    net: nn.Module, learn: Examples, recipe: Recipe, generator: torch.Generator
) -> Iterator[float]:
    """Train epoch by epoch; yield the mean loss of each."""
    steps = max(len(learn.labels) // recipe.batch, 1)
    optimizer = torch.optim.AdamW(net.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.rate, total_steps=steps * recipe.epochs, pct_start=1 / 6
    )
    for _ in range(recipe.epochs):
        net.train()
        total = 0.0
        for images, labels in shuffled(learn, recipe.batch, recipe.augmentation, generator):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(images), labels)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        yield total / steps

"""Fine-tuning of a checkpoint with fake quantization.

The epoch whose quantized network is best on the validation images is kept. Epoch 0 is the
checkpoint after post-training quantization. The test images influence no choice. All randomness
comes from the seed, and only one thread is used, so the same machine and PyTorch give the same
bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from ...data import Digits
from ..nets.nets import Checkpoint, input_shape_of
from ..ptq.quantize import Options
from ..training.common import Examples, Progress, accuracy_on, one_thread, shuffled, split
from ..training.recipe import QatRecipe, Training
from .network import QatNet

__all__ = ["Tuned", "fine_tune"]


@dataclass(frozen=True)
class Tuned:
    """The result of fine-tuning."""

    net: QatNet  # in evaluation mode
    epoch: int  # the best one; ties go to the first
    validation_accuracy: float  # of the quantized network


def fine_tune(
    checkpoint: Checkpoint,
    digits: Digits,
    calibration: npt.NDArray[np.uint8],
    options: Options,
    training: Training,
    recipe: QatRecipe,
    seed: int,
    report: Callable[[Progress], None] = lambda progress: None,
) -> Tuned:
    """Train with fake quantization.

    Parameters
    ----------
    digits : the training images; see ``common.split``
    calibration : uint8 (N, H, W, C), the images for the initial ranges
    options, training : as in ``QatNet.of``
    seed : of the order of the images and their augmentation
    report : called after each epoch, epoch 0 included
    """
    learn, choose = split(digits)
    shape = input_shape_of(checkpoint.network)
    with one_thread():
        unseen = Examples.of(choose, shape)
        net = QatNet.of(checkpoint.graph(), calibration, options, training).eval()
        best, state, chosen = accuracy_on(net, unseen), _copy(net), 0
        report(Progress(0, recipe.epochs, 0.0, best))
        epochs = _epochs(net, checkpoint, Examples.of(learn, shape), recipe, seed)
        for epoch, loss in enumerate(epochs, start=1):
            reached = accuracy_on(net.eval(), unseen)
            report(Progress(epoch, recipe.epochs, loss, reached))
            if reached > best:
                best, state, chosen = reached, _copy(net), epoch
        net.load_state_dict(state)
    return Tuned(net.eval(), chosen, best)


def _copy(net: QatNet) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def _epochs(
    net: QatNet, checkpoint: Checkpoint, learn: Examples, recipe: QatRecipe, seed: int
) -> Iterator[float]:
    """Train epoch by epoch; yield the mean loss of each."""
    teacher = checkpoint.module().to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(seed)
    steps = max(len(learn.labels) // recipe.batch, 1)
    optimizer = torch.optim.Adam(
        [values for values in net.parameters() if values.requires_grad], lr=recipe.rate
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(steps * recipe.epochs, 1))
    for _ in range(recipe.epochs):
        net.train()
        total = 0.0
        for images, labels in shuffled(learn, recipe.batch, recipe.augmentation, generator):
            optimizer.zero_grad()
            scores = net(images)
            loss = functional.cross_entropy(scores, labels)
            if recipe.distillation:
                with torch.no_grad():
                    likely = teacher(images).softmax(dim=1)
                taught = functional.cross_entropy(scores, likely)
                loss = loss + recipe.distillation * (taught - loss)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        yield total / steps

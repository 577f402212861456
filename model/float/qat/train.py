"""Fine-tuning of a float network with fake quantization.

The epoch whose quantized network is best on the validation images is kept. Epoch 0 is the
float network after post-training quantization. The test images influence no choice. All randomness
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
from ...layers import NetworkError
from ...samples import Samples
from ..nets.nets import Checkpoint, input_shape_of
from ..ptq.execute import trace
from ..ptq.graph import Graph
from ..ptq.quantize import Options, prepare
from ..training.common import BLOCKS, Examples, Progress, accuracy_on, one_thread, shuffled, split
from ..training.recipe import QatRecipe, Training
from .network import QatNet

__all__ = ["Task", "Tuned", "fine_tune"]


@dataclass(frozen=True)
class Tuned:
    """The result of fine-tuning."""

    net: QatNet  # in evaluation mode
    epoch: int  # the best one; ties go to the first
    validation_accuracy: float  # of the quantized network


@dataclass(frozen=True, eq=False)
class Task:
    """What is fine-tuned, and on what.

    Parameters
    ----------
    graph : the float network
    teacher : the same as a function of images as in ``Examples``
    learn, choose : the images of the training, and those that choose the epoch
    """

    graph: Graph
    teacher: Callable[[torch.Tensor], torch.Tensor]
    learn: Examples
    choose: Examples

    @classmethod
    def of_checkpoint(cls, checkpoint: Checkpoint, digits: Digits) -> Task:
        """A shipped network on digits; see ``common.split``."""
        learn, choose = (
            Examples.of(part, input_shape_of(checkpoint.network)) for part in split(digits)
        )
        teacher = checkpoint.module().to(memory_format=torch.channels_last)
        return cls(checkpoint.graph(), teacher, learn, choose)

    @classmethod
    def of_samples(cls, graph: Graph, samples: Samples, options: Options, seed: int) -> Task:
        """A network of one's own; every sixth of the samples, in random order, chooses.

        Raises NetworkError if the samples have no labels, DataError if a label has no score.
        """
        folded, grid = prepare(graph, options)
        if samples.labels is None:
            raise NetworkError(
                f"The images of {samples.source} have no labels, and training needs them; give an "
                ".npz with labels, or a folder with a sub-folder for each class"
            )
        samples.require_labels_below(graph.classes, graph.name)

        def teacher(images: torch.Tensor) -> torch.Tensor:
            levels = torch.round(images * 255) - grid.zero_point
            return trace(folded, (levels * grid.scale).double())[folded.output].flatten(1).float()

        order = np.random.RandomState(seed).permutation(len(samples))
        parts = order[len(order) // BLOCKS :], order[: max(len(order) // BLOCKS, 1)]
        learn, choose = (Examples.of_samples(samples.at(np.sort(part))) for part in parts)
        return cls(graph, teacher, learn, choose)


def fine_tune(
    task: Task,
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
    calibration : uint8 (N, H, W, C), the images for the initial ranges
    options, training : as in ``QatNet.of``
    seed : of the order of the images and their augmentation
    report : called after each epoch, epoch 0 included
    """
    with one_thread():
        net = QatNet.of(task.graph, calibration, options, training).eval()
        best, state, chosen = accuracy_on(net, task.choose), _copy(net), 0
        report(Progress(0, recipe.epochs, 0.0, best))
        for epoch, loss in enumerate(_epochs(net, task, recipe, seed), start=1):
            reached = accuracy_on(net.eval(), task.choose)
            report(Progress(epoch, recipe.epochs, loss, reached))
            if reached > best:
                best, state, chosen = reached, _copy(net), epoch
        net.load_state_dict(state)
    return Tuned(net.eval(), chosen, best)


def _copy(net: QatNet) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in net.state_dict().items()}


def _epochs(net: QatNet, task: Task, recipe: QatRecipe, seed: int) -> Iterator[float]:
    """Train epoch by epoch; yield the mean loss of each."""
    learn = task.learn
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
                    likely = task.teacher(images).softmax(dim=1)
                taught = functional.cross_entropy(scores, likely)
                loss = loss + recipe.distillation * (taught - loss)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        yield total / steps

"""Common parts of all trainings: split, images as tensors, augmentation, one thread, accuracy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from ...data import Digits, fit_to
from ...layers import NetworkError
from ...samples import Samples
from ..nets.nets import Checkpoint, input_shape_of

__all__ = [
    "BLOCKS",
    "Examples",
    "Progress",
    "accuracy_of",
    "accuracy_on",
    "augment",
    "one_thread",
    "scores",
    "shuffled",
    "split",
]

BLOCK = 500  # images
BLOCKS = 6  # the last one of each six is for validation
BATCH = 50  # images in inference; more do not fit the cache


@dataclass(frozen=True)
class Progress:
    """The state of a training after an epoch."""

    epoch: int  # the number of epochs done, including those of a heat
    epochs: int  # the total number
    loss: float  # mean over the epoch's images, and over the copies if there are several
    accuracy: float  # on the validation images, of the best copy if there are several


@dataclass(frozen=True)
class Examples:
    """Images in a network's input format, with their labels."""

    images: torch.Tensor  # float32 (N, C, H, W), 0..1
    labels: torch.Tensor  # int64 (N,)

    @classmethod
    def of(cls, digits: Digits, shape: tuple[int, int, int]) -> Examples:
        """The digits for a network with input ``shape``, (H, W, C). Raises as fit_to does."""
        pixels = fit_to(digits.images, shape).transpose(0, 3, 1, 2).astype(np.float32)
        images = torch.from_numpy(np.ascontiguousarray(pixels) / np.float32(255))
        return cls(images, torch.from_numpy(digits.labels.astype(np.int64)))

    @classmethod
    def of_samples(cls, samples: Samples) -> Examples:
        """Samples with labels, as they are."""
        assert samples.labels is not None
        pixels = np.ascontiguousarray(samples.images.transpose(0, 3, 1, 2), dtype=np.float32)
        return cls(torch.from_numpy(pixels / np.float32(255)), torch.from_numpy(samples.labels))


def split(digits: Digits) -> tuple[Digits, Digits]:
    """Split training digits into training images and validation images, every sixth block of 500.

    MNIST keeps the images of one writer together. In this split, as in the test images, most
    writers of the validation images are therefore new. Raises NetworkError if there is no such
    block.
    """
    chosen = np.arange(len(digits)) // BLOCK % BLOCKS == BLOCKS - 1
    if not chosen.any():
        raise NetworkError(f"Training needs at least {BLOCK * BLOCKS} images, not {len(digits)}")
    return digits.where(~chosen), digits.where(chosen)


@contextmanager
def one_thread() -> Iterator[None]:
    """Use one thread: sums, and so all bits, do not depend on the number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def scores(module: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """A module's scores, computed in batches: (N, C, H, W) -> (N, classes), without gradients."""
    with torch.no_grad():
        return torch.cat([module(part) for part in images.split(BATCH)])


def accuracy_on(module: nn.Module, examples: Examples) -> float:
    """The fraction of images whose greatest score is the label's, in the module's present mode."""
    right = scores(module, examples.images).argmax(dim=1) == examples.labels
    return float(right.double().mean())


def accuracy_of(
    checkpoint: Checkpoint,
    digits: Digits,
    mean: Sequence[float] = (0.0,),
    std: Sequence[float] = (1.0,),
) -> float:
    """The accuracy of a checkpoint's module on normalized digits. Raises as fit_to does."""
    with one_thread():
        examples = Examples.of(digits, input_shape_of(checkpoint.network))
        means, stds = (torch.tensor(values).reshape(1, -1, 1, 1) for values in (mean, std))
        examples = replace(examples, images=(examples.images - means) / stds)
        return accuracy_on(checkpoint.module(), examples)


def augment(images: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    """Rotate, scale, shear and shift each image (N, C, H, W) randomly, bilinearly."""

    def draw(limit: float) -> torch.Tensor:
        return (torch.rand(len(images), generator=generator) * 2 - 1) * (limit * strength)

    angle, shear, wide, high = draw(0.15), draw(0.2), 1 + draw(0.1), 1 + draw(0.1)
    cos, sin = torch.cos(angle), torch.sin(angle)
    pixel = 2 / images.shape[-1]  # the grid's coordinates range from -1 to 1
    rows = (
        torch.stack([cos * wide, (shear - sin) * high, draw(pixel / 2)], dim=1),
        torch.stack([sin * wide, cos * high, draw(pixel / 2)], dim=1),
    )
    grid = nn.functional.affine_grid(
        torch.stack(rows, dim=1), list(images.shape), align_corners=False
    )
    return nn.functional.grid_sample(images, grid, align_corners=False)


def shuffled(
    learn: Examples, batch: int, augmentation: float, generator: torch.Generator
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """An epoch in random order: augmented images, channels last in memory, and their labels.

    Each item has ``batch`` images, or all of them if there are fewer; the remainder is not used.
    """
    steps = max(len(learn.labels) // batch, 1)
    order = torch.randperm(len(learn.labels), generator=generator)
    for chosen in order[: steps * batch].chunk(steps):
        images = learn.images[chosen]
        if augmentation:
            images = augment(images, augmentation, generator)
        yield images.contiguous(memory_format=torch.channels_last), learn.labels[chosen]

"""The default training recipe of each float network."""

from __future__ import annotations

from dataclasses import dataclass

from ...layers import NetworkError

__all__ = ["RECIPES", "CopiesRecipe", "QatRecipe", "Recipe", "Training"]


@dataclass(frozen=True)
class Recipe:
    """The training of an ordinary module: one cycle of AdamW on the cross-entropy."""

    epochs: int  # passes over the training images
    batch: int  # images
    rate: float  # AdamW's peak learning rate; one cycle, which rises in a sixth of the time
    decay: float  # AdamW's weight decay, which prevents outliers among the weights
    augmentation: float  # as in CopiesRecipe
    half: bool = False  # whether the trained arrays are rounded to float16

    def __post_init__(self) -> None:
        _refuse_below_1(self, "epochs", "batch")


@dataclass(frozen=True)
class CopiesRecipe:
    """The training of a network of stride 3: many copies in parallel, of which the best is kept."""

    epochs: int  # of the whole schedule, passes over the training images
    heat_epochs: int  # of the first schedule, for all copies
    copies: int  # networks in the heat
    finalists: int  # copies that continue after the heat
    batch: int  # images
    rate: float  # Adam's peak learning rate; one cycle, which rises in a sixth of the time
    augmentation: float  # 0 for none; 1 for up to 9 degrees, shear 0.2, 10 % of size, half a pixel
    exponent: float  # final q of the loss, 0 to 1; see copies.py
    penalty: float  # on the mean square of the scores; keeps their quantization step small
    positive: tuple[str, ...] = ()  # layers whose initial weights are positive: a weighted mean

    def __post_init__(self) -> None:
        _refuse_below_1(self, "epochs", "heat_epochs", "copies", "finalists", "batch")
        if self.finalists > self.copies:
            raise NetworkError(
                f"finalists must number at most the {self.copies} copies, not {self.finalists}"
            )


@dataclass(frozen=True)
class Training:
    """The schedule of fake quantization during training.

    delay : training steps without fake quantization
    freeze : the step from which statistics and observed ranges are kept; None for never
    learned : whether steps are learned instead of observed
    """

    delay: int = 0
    freeze: int | None = None
    learned: bool = False

    def __post_init__(self) -> None:
        for what, steps in (("delay", self.delay), ("freeze", self.freeze or 0)):
            if steps < 0:
                raise NetworkError(f"{what} must be a number of steps, 0 or more, not {steps}")


@dataclass(frozen=True)
class QatRecipe:
    """The fine-tuning of a checkpoint: Adam, with a rate that falls to 0 along a cosine.

    Parameters
    ----------
    epochs : passes over the training images; 0 only quantizes
    rate : Adam's initial learning rate
    batch : images
    augmentation : as in ``common.augment``, 0 for none
    distillation : the weight, 0 to 1, of the cross-entropy to the float network's probabilities in
        the loss; the rest is that to the labels (Hinton, Vinyals and Dean, "Distilling the
        Knowledge in a Neural Network", 2015)
    """

    epochs: int = 2
    rate: float = 3e-4
    batch: int = 64
    augmentation: float = 0.5
    distillation: float = 0.5

    def __post_init__(self) -> None:
        if self.epochs < 0 or self.batch < 1:
            raise NetworkError(
                f"epochs must be 0 or more and batch at least 1, not {self.epochs} and {self.batch}"
            )
        if not 0 < self.rate < 1:
            raise NetworkError(f"rate must lie between 0 and 1, not {self.rate}")
        if not 0 <= self.augmentation <= 10:
            raise NetworkError(f"augmentation must be 0 to 10, not {self.augmentation}")
        if not 0 <= self.distillation <= 1:
            raise NetworkError(f"distillation must be 0 to 1, not {self.distillation}")


def _refuse_below_1(recipe: Recipe | CopiesRecipe, *names: str) -> None:
    for name in names:
        if getattr(recipe, name) < 1:
            raise NetworkError(f"{name} must be at least 1, not {getattr(recipe, name)}")


RECIPES: dict[str, Recipe | CopiesRecipe] = {
    "plain": CopiesRecipe(
        epochs=300,
        heat_epochs=10,
        copies=32,
        finalists=12,
        batch=256,
        rate=0.03,
        augmentation=0.75,
        exponent=0.5,
        penalty=5e-4,
    ),
    "separable": CopiesRecipe(
        epochs=250,
        heat_epochs=16,
        copies=64,
        finalists=16,
        batch=256,
        rate=0.05,
        augmentation=0.5,
        exponent=0.7,
        penalty=1e-4,
        positive=("dw1", "pw1"),  # one filter for three channels: a mean suits them best
    ),
    "mnist_cnn": Recipe(epochs=30, batch=64, rate=5e-3, decay=0.02, augmentation=1.0),
    "mnist_cnn_bn": Recipe(epochs=25, batch=64, rate=5e-3, decay=0.02, augmentation=1.0),
    "lenet_avg": Recipe(epochs=40, batch=64, rate=3e-3, decay=0.05, augmentation=1.0),
    "lenet_max": Recipe(epochs=40, batch=64, rate=3e-3, decay=0.02, augmentation=1.0),
    "mobilenet": Recipe(epochs=16, batch=64, rate=3e-3, decay=0.02, augmentation=1.0, half=True),
}

"""How each float network is trained by default."""

from __future__ import annotations

from dataclasses import dataclass

from ...layers import NetworkError

__all__ = ["RECIPES", "CopiesRecipe", "QatRecipe", "Recipe", "Training"]


@dataclass(frozen=True)
class Recipe:
    """How an ordinary module is trained: one cycle of AdamW on the cross entropy."""

    epochs: int  # passes over the training images
    batch: int  # images
    rate: float  # AdamW's learning rate at its peak; one cycle, up in a sixth of the time
    decay: float  # AdamW's weight decay, which keeps weights from standing out
    augmentation: float  # as in CopiesRecipe
    half: bool = False  # whether the trained arrays are rounded to float16

    def __post_init__(self) -> None:
        _refuse_below_1(self, "epochs", "batch")


@dataclass(frozen=True)
class CopiesRecipe:
    """How a network of stride 3 is trained: copies side by side, the best of them kept."""

    epochs: int  # of the whole schedule, passes over the training images
    heat_epochs: int  # of the schedule that every copy goes through first
    copies: int  # networks in the heat
    finalists: int  # copies that go on
    batch: int  # images
    rate: float  # Adam's learning rate at its peak; one cycle, up in a sixth of the time
    augmentation: float  # 0 for none; at 1 to 9 degrees, 0.2 shear, 10 % of size, half a pixel
    exponent: float  # q of the loss at the end, 0 to 1; see train_copies
    penalty: float  # on the mean square of the scores, which keeps their steps small in 8 bits
    positive: tuple[str, ...] = ()  # layers whose weights start positive, as a weighted mean

    def __post_init__(self) -> None:
        _refuse_below_1(self, "epochs", "heat_epochs", "copies", "finalists", "batch")
        if self.finalists > self.copies:
            raise NetworkError(
                f"finalists must number at most the {self.copies} copies, not {self.finalists}"
            )


@dataclass(frozen=True)
class Training:
    """How fake quantization comes in while training.

    delay : steps without it
    freeze : the step from which statistics and observed ranges stay; None for never
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
    """How a checkpoint is fine-tuned: Adam, its rate falling to 0 along a cosine.

    Parameters
    ----------
    epochs : passes over the training images; 0 is mere quantization
    rate : Adam's learning rate at the start
    batch : images
    augmentation : as in ``train_common.augment``, 0 for none
    distillation : the part of the loss that is the cross entropy to the float network's
        probabilities instead of the labels, 0 to 1 (Hinton, Vinyals and Dean, "Distilling the
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
        positive=("dw1", "pw1"),  # one filter for three channels: a mean serves them best
    ),
    "mnist_cnn": Recipe(epochs=30, batch=64, rate=5e-3, decay=0.02, augmentation=1.0),
    "mnist_cnn_bn": Recipe(epochs=25, batch=64, rate=5e-3, decay=0.02, augmentation=1.0),
    "lenet_avg": Recipe(epochs=40, batch=64, rate=3e-3, decay=0.05, augmentation=1.0),
    "lenet_max": Recipe(epochs=40, batch=64, rate=3e-3, decay=0.02, augmentation=1.0),
    "mobilenet": Recipe(epochs=16, batch=64, rate=3e-3, decay=0.02, augmentation=1.0, half=True),
}

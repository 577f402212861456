"""How each float network is trained by default."""

from __future__ import annotations

from dataclasses import dataclass

from ..layers import NetworkError

__all__ = ["RECIPES", "Recipe"]


@dataclass(frozen=True)
class Recipe:
    """How a network is trained."""

    epochs: int  # of the whole schedule, passes over the training images
    heat_epochs: int  # of the schedule that every copy goes through first
    copies: int  # networks in the heat
    finalists: int  # copies that go on
    batch: int  # images
    rate: float  # Adam's learning rate at its peak; one cycle, up in a sixth of the time
    augmentation: float  # 0 for none; at 1 to 9 degrees, 0.2 shear, 10 % of size, half a pixel
    exponent: float  # q of the loss at the end, 0 to 1; see _Run.loss
    penalty: float  # on the mean square of the scores, which keeps their steps small in 8 bits
    positive: tuple[str, ...] = ()  # layers whose weights start positive, as a weighted mean

    def __post_init__(self) -> None:
        for name in ("epochs", "heat_epochs", "copies", "finalists", "batch"):
            if getattr(self, name) < 1:
                raise NetworkError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.finalists > self.copies:
            raise NetworkError(
                f"finalists must number at most the {self.copies} copies, not {self.finalists}"
            )


RECIPES = {
    "plain": Recipe(
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
    "separable": Recipe(
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
}

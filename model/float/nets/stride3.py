"""The two networks of stride 3 as plain data, and their PyTorch modules.

The layers are data, so they can be used with numpy alone. PyTorch is imported only when a module is
built.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...layers import NetworkError

if TYPE_CHECKING:
    from torch import nn

__all__ = ["INPUT_SHAPE", "STRIDE3", "ConvSpec", "build_copies", "layers_of"]

INPUT_SHAPE = (28, 28, 1)


@dataclass(frozen=True)
class ConvSpec:
    """A bias-free convolution whose stride is its kernel; leftover rows and columns are dropped.

    Parameters
    ----------
    kernel : rows and columns, and the stride along both
    groups : as in torch.nn.Conv2d; ``in_channels`` groups make it depthwise
    relu : whether a ReLU follows
    """

    name: str
    in_channels: int
    out_channels: int
    kernel: int
    groups: int = 1
    relu: bool = False

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The shape of the weights: (OC, IC / groups, KH, KW)."""
        return (self.out_channels, self.in_channels // self.groups, self.kernel, self.kernel)


# Input 1x28x28, pixels scaled to 0..1; output ten scores; maps 28 -> 9 -> 3 -> 1.
STRIDE3: dict[str, tuple[ConvSpec, ...]] = {
    "plain": (  # 729 weights
        ConvSpec("conv1", 1, 3, 3, relu=True),
        ConvSpec("conv2", 3, 6, 3, relu=True),
        ConvSpec("conv3", 6, 10, 3),
    ),
    "separable": (  # 171 weights: the same three, each split into depthwise and pointwise
        ConvSpec("dw1", 1, 1, 3),
        ConvSpec("pw1", 1, 3, 1, relu=True),
        ConvSpec("dw2", 3, 3, 3, groups=3),
        ConvSpec("pw2", 3, 6, 1, relu=True),
        ConvSpec("dw3", 6, 6, 3, groups=6),
        ConvSpec("pw3", 6, 10, 1),
    ),
}


def layers_of(name: str) -> tuple[ConvSpec, ...]:
    """The convolutions of a network by its name. Raises NetworkError for other networks."""
    if name not in STRIDE3:
        raise NetworkError(
            f"The network {name!r} is no chain of convolutions of stride 3, "
            f"as {', '.join(STRIDE3)} are"
        )
    return STRIDE3[name]


def build_copies(name: str, copies: int = 1) -> nn.Sequential:
    """Build a network's module, or one module with ``copies`` independent networks as groups.

    The submodules have the names of the layers. A submodule ``relu`` plus the layer's number
    follows a layer with a ReLU, and a ``flatten`` is last: float32 (N, 1, 28, 28) -> (N, copies *
    10), copy by copy.

    Raises NetworkError as :func:`layers_of` does.
    """
    from torch import nn

    modules: OrderedDict[str, nn.Module] = OrderedDict()
    for spec in layers_of(name):
        first = not modules  # all copies share the image
        modules[spec.name] = nn.Conv2d(
            spec.in_channels * (1 if first else copies),
            spec.out_channels * copies,
            spec.kernel,
            stride=spec.kernel,
            groups=spec.groups * (1 if first else copies),
            bias=False,
        )
        if spec.relu:
            modules[f"relu{spec.name[-1]}"] = nn.ReLU()
    modules["flatten"] = nn.Flatten()
    return nn.Sequential(modules)

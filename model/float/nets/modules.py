"""Networks as ordinary PyTorch modules: float32 (N, C, H, W) -> ten scores (N, 10).

Sources: LeCun et al., "Gradient-Based Learning Applied to Document Recognition", Proc. IEEE 86
(1998), II.B, for the LeNets; Sandler et al., "MobileNetV2: Inverted Residuals and Linear
Bottlenecks", CVPR 2018, 3, for the inverted residual.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import nn

__all__ = ["MODULES", "InvertedResidual"]

CLASSES = 10
EXPANSION = 2  # of the channels inside an inverted residual
MOBILENET_BLOCKS = (  # input channels, output channels, stride
    (3, 16, 1),
    (16, 32, 1),
    (32, 64, 2),
    (64, 128, 1),
    (128, 128, 2),
    (128, 256, 1),
    (256, 256, 1),
)


def _sequence(**modules: nn.Module) -> nn.Sequential:
    """A sequence of named modules."""
    return nn.Sequential(OrderedDict(modules))


def mnist_cnn() -> nn.Sequential:
    """28x28x1; two convolutions, the second in 20 groups; 11,170 parameters."""
    return _sequence(
        conv1=nn.Conv2d(1, 40, 3),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(40, 40, 3, groups=20),
        relu2=nn.ReLU(),
        pool2=nn.MaxPool2d(2),
        flatten=nn.Flatten(),
        fc=nn.Linear(5 * 5 * 40, CLASSES),
    )


def mnist_cnn_bn() -> nn.Sequential:
    """28x28x1; two convolutions with batch norm; 24,930 parameters."""
    return _sequence(
        conv1=nn.Conv2d(1, 40, 3, bias=False),
        bn1=nn.BatchNorm2d(40),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(40, 40, 3, bias=False),
        bn2=nn.BatchNorm2d(40),
        relu2=nn.ReLU(),
        pool2=nn.MaxPool2d(2),
        flatten=nn.Flatten(),
        fc=nn.Linear(5 * 5 * 40, CLASSES),
    )


def lenet_avg() -> nn.Sequential:
    """28x28x1; average pooling, ReLU after the first two convolutions only; 61,706 parameters."""
    return _sequence(
        conv1=nn.Conv2d(1, 6, 5, padding=2),
        relu1=nn.ReLU(),
        pool1=nn.AvgPool2d(2),
        conv2=nn.Conv2d(6, 16, 5),
        relu2=nn.ReLU(),
        pool2=nn.AvgPool2d(2),
        conv3=nn.Conv2d(16, 120, 5),
        flatten=nn.Flatten(),
        fc1=nn.Linear(120, 84),
        fc2=nn.Linear(84, CLASSES),
    )


def lenet_max() -> nn.Sequential:
    """32x32x1; max pooling, ReLU after each layer except the last; 61,706 parameters."""
    return _sequence(
        conv1=nn.Conv2d(1, 6, 5),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(6, 16, 5),
        relu2=nn.ReLU(),
        pool2=nn.MaxPool2d(2),
        flatten=nn.Flatten(),
        fc1=nn.Linear(5 * 5 * 16, 120),
        relu3=nn.ReLU(),
        fc2=nn.Linear(120, 84),
        relu4=nn.ReLU(),
        fc3=nn.Linear(84, CLASSES),
    )


class InvertedResidual(nn.Module):
    """1x1 expansion, 3x3 depthwise, 1x1 projection; added to its input if shapes allow.

    float32 (N, in_channels, H, W) -> (N, out_channels, H / stride, W / stride), rounded up.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        inside = EXPANSION * in_channels
        self.residual = stride == 1 and in_channels == out_channels
        self.expand = nn.Conv2d(in_channels, inside, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inside)
        self.relu1 = nn.ReLU()
        self.depthwise = nn.Conv2d(
            inside, inside, 3, stride=stride, padding=1, groups=inside, bias=False
        )
        self.bn2 = nn.BatchNorm2d(inside)
        self.relu2 = nn.ReLU()
        self.project = nn.Conv2d(inside, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.relu1(self.bn1(self.expand(x)))
        y = self.relu2(self.bn2(self.depthwise(y)))
        y = self.bn3(self.project(y))
        return x + y if self.residual else y


def mobilenet() -> nn.Sequential:
    """28x28x3; seven inverted residuals; 472,210 parameters, batch norm not counted."""
    blocks = {
        f"block{number}": InvertedResidual(*block)
        for number, block in enumerate(MOBILENET_BLOCKS, start=1)
    }
    return _sequence(
        **blocks,
        pool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        fc=nn.Linear(MOBILENET_BLOCKS[-1][1], CLASSES),
    )


MODULES: dict[str, Callable[[], nn.Sequential]] = {
    module.__name__: module for module in (mnist_cnn, mnist_cnn_bn, lenet_avg, lenet_max, mobilenet)
}

"""Five small networks as users have them, with data of their own: modules, images and labels.

The data are templates of classes with noise, so that a few steps of training recognize most.
"""

import warnings

import numpy as np
import torch
from torch import nn

__all__ = ["NETS", "data", "save_onnx", "save_program", "trained"]

CLASSES = 4
STEPS = 40


class Residual(nn.Module):
    """A block of a CIFAR-like ResNet; the first of a stage halves the map."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


def resnet():
    stem = [nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True)]
    blocks = [Residual(4, 4, 1), Residual(4, 8, 2)]
    return nn.Sequential(
        *stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, CLASSES)
    )


def depthwise():
    def pair(inputs, outputs, stride):
        return [
            nn.Conv2d(inputs, inputs, 3, stride, padding=1, groups=inputs, bias=False),
            *(nn.BatchNorm2d(inputs), nn.ReLU6(inplace=True)),
            nn.Conv2d(inputs, outputs, 1, bias=False),
            *(nn.BatchNorm2d(outputs), nn.ReLU6(inplace=True)),
        ]

    return nn.Sequential(*pair(3, 6, 1), *pair(6, 8, 2), nn.Flatten(), nn.Linear(8 * 16, CLASSES))


def mlp():
    return nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, CLASSES))


def signal():
    """A signal as a map of one column."""
    return nn.Sequential(
        *(nn.Conv2d(1, 4, (5, 1), padding=(2, 0)), nn.LeakyReLU(0.1), nn.MaxPool2d((2, 1))),
        *(nn.Conv2d(4, 4, (5, 1), stride=(2, 1)), nn.ReLU(), nn.Flatten(), nn.Linear(56, CLASSES)),
    )


def lenet():
    """Grey images; the training normalizes them by mean and std."""
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2)),
        *(nn.Conv2d(4, 6, 5), nn.Tanh(), nn.Flatten()),
        *(nn.Linear(6 * 4, 12), nn.Tanh(), nn.Linear(12, CLASSES)),
    )


# By name: the module, the shape of an image (C, H, W) or (K,), and its mean and std.
NETS = {
    "resnet": (resnet, (3, 8, 8), None),
    "depthwise": (depthwise, (3, 8, 8), None),
    "mlp": (mlp, (20,), None),
    "signal": (signal, (1, 64, 1), None),
    "lenet": (lenet, (1, 12, 12), (0.3, 0.25)),
}


def data(shape, count, seed):
    """Images uint8 (N, H, W, C) or (N, K), and labels: a template of each class, and noise."""
    templates = np.random.default_rng(1).integers(0, 256, (CLASSES, *shape))
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, count)
    noise = rng.normal(0, 60, (count, *shape))
    images = np.clip(templates[labels] * 0.6 + noise + 50, 0, 255).astype(np.uint8)
    return (images.transpose(0, 2, 3, 1) if len(shape) == 3 else images), labels


def trained(name):
    """A module of ``NETS`` after a few steps, in evaluation mode; always the same."""
    make, shape, normalization = NETS[name]
    mean, std = normalization or (0.0, 1.0)
    images, labels = data(shape, 256, seed=2)
    axes = (0, 3, 1, 2) if len(shape) == 3 else (0, 1)
    x = (torch.from_numpy(images.transpose(axes).astype(np.float32)) / 255 - mean) / std
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        net = make().train()
        optimizer = torch.optim.Adam(net.parameters(), 0.01)
        for step in range(STEPS):
            part = slice(32 * (step % 8), 32 * (step % 8) + 32)
            loss = nn.functional.cross_entropy(net(x[part]), torch.from_numpy(labels[part]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return net.eval()


def save_onnx(net, shape, path):
    """As ``torch.onnx.export`` of today writes it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (torch.zeros(1, *shape),), path, dynamo=True, verbose=False)


def save_program(net, shape, path):
    """As ``torch.export.save`` writes it, for any batch."""
    dynamic = ({0: torch.export.Dim("batch", min=1)},)
    program = torch.export.export(net, (torch.zeros(2, *shape),), dynamic_shapes=dynamic)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(program, path)

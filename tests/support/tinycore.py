"""Cores for the bench's own tests: the hand-written one of data/tiny.v, and its network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tercet.model.dtypes import IntType
from tercet.model.layers import Argmax, Tensor
from tercet.model.layers.conv import Conv2d
from tercet.model.layers.weights import Weights
from tercet.model.network import QNetwork
from tercet.model.requant import Requant, Rounding

TINY_VERILOG = Path(__file__).parent.parent / "data" / "tiny.v"

UINT8, INT6, UINT2 = IntType(8, signed=False), IntType(6, signed=True), IntType(2, signed=False)

# What the hand-written core takes: 16 beats in, a start cycle, 8 values of conv1 one by one, 3 out.
TINY_MANIFEST: dict[str, Any] = {
    "network": "tiny",
    "cycles_per_image": 25,
    "input_lanes": 1,
    "first_cycles": [],
    "latency_cycles": 27,
    "streams": [
        {
            "tensor": tensor,
            "scope": scope,
            "valid": "o__valid",
            "ready": "o__ready",
            "payload": "o__payload",
            "lanes": 1,
        }
        for tensor, scope in (("conv1", "conv1"), ("logits", "conv2"))
    ],
}


def tiny_network() -> QNetwork:
    """The network that tiny.v computes."""
    w1 = [[[[7], [1]], [[-6], [6]]], [[[-3], [5]], [[2], [4]]]]
    w2 = np.zeros((3, 2, 2, 2), dtype=np.int64)  # (OC, KH, KW, IC)
    w2[0] = [4, -3]  # by channel
    w2[1, :, 0], w2[1, :, 1] = -2, 5  # by column
    w2[2, 0], w2[2, 1] = -5, 6  # by row
    return QNetwork(
        name="tiny",
        input="image",
        tensors={
            "image": Tensor("image", (4, 4, 1), UINT8, 1.0, 0),
            "conv1": Tensor("conv1", (2, 2, 2), UINT8, 1.0, 0),
            "logits": Tensor("logits", (1, 1, 3), INT6, 1.0, -5),
            "class": Tensor("class", (1, 1, 1), UINT2, 1.0, 0),
        },
        layers=[
            _conv("conv1", "image", "conv1", np.array(w1), Requant((1,), 3, HALF_UP, 0, 255)),
            _conv("conv2", "conv1", "logits", w2, Requant((1,), 6, HALF_UP, -32, 31)),
            Argmax("argmax", "logits", "class"),
        ],
    )


HALF_UP = Rounding.HALF_UP


def _conv(name: str, x: str, y: str, weights: np.ndarray, requant: Requant) -> Conv2d:
    return Conv2d(
        name=name,
        input=x,
        output=y,
        weights=Weights(weights, IntType(8, signed=True), (1.0,)),
        bias=np.zeros(len(weights), dtype=np.int64),
        requant=requant,
        stride=(2, 2),
    )


def tiny_images(count: int, seed: int) -> np.ndarray:
    """Random images of the tiny network, the extremes first: all 0 and all 255."""
    images = np.random.default_rng(seed).integers(256, size=(count, 4, 4, 1))
    images[:1], images[1:2] = 0, 255
    return images

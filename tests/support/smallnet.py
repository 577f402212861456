"""A small valid network by hand, 7x9x2 -> 2x3x4 -> 5 -> class, and how to exchange parts of it."""

from dataclasses import replace

import numpy as np
from tercet.model import QNetwork
from tercet.model.dtypes import IntType
from tercet.model.fuzz.draws import INT8, UINT8
from tercet.model.layers import Argmax, Tensor
from tercet.model.layers.conv import Conv2d
from tercet.model.layers.weights import Weights
from tercet.model.requant import Requant, Rounding

FIRST = Conv2d(
    name="first",
    input="image",
    output="map",
    weights=Weights(np.ones((4, 3, 3, 2), dtype=np.int64), INT8, (0.5,)),
    bias=np.zeros(4, dtype=np.int64),
    requant=Requant((1, 2, 3, 4), 5, Rounding.HALF_EVEN, 0, 255),
    stride=(3, 3),
)
SECOND = Conv2d(
    name="second",
    input="map",
    output="logits",
    weights=Weights(np.ones((5, 2, 3, 4), dtype=np.int64), INT8, (0.5,)),
    bias=np.zeros(5, dtype=np.int64),
    requant=Requant((7,), 9, Rounding.FLOOR, 0, 200),
)
ARGMAX = Argmax("best", "logits", "class")
TENSORS = {
    "image": Tensor("image", (7, 9, 2), UINT8, 0.1, 3),
    "map": Tensor("map", (2, 3, 4), UINT8, 0.2, 0),
    "logits": Tensor("logits", (1, 1, 5), UINT8, 0.3, 17),
    "class": Tensor("class", (1, 1, 1), IntType(3, signed=False), 1.0, 0),
}


def network(first=None, *, layers=None, tensors=None, name="net", input="image"):
    """The network above with some parts exchanged; ``first`` holds fields of the first layer."""
    return QNetwork(
        name=name,
        input=input,
        tensors=TENSORS if tensors is None else tensors,
        layers=[replace(FIRST, **first or {}), SECOND, ARGMAX] if layers is None else layers,
    )


def changed(which, /, **fields):
    """TENSORS, one of them changed."""
    return {"tensors": TENSORS | {which: replace(TENSORS[which], **fields)}}


def without(name):
    """TENSORS, one of them left out."""
    return {"tensors": {other: t for other, t in TENSORS.items() if other != name}}

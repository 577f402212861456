"""Random integer networks, by the names that the tests use."""

from tercet.model.fuzz.concats import random_concat
from tercet.model.fuzz.convs import network_of, random_conv, random_network, random_window
from tercet.model.fuzz.draws import (
    FIXED_POINT,
    INT8,
    UINT8,
    random_images,
    random_requant,
    random_tensor,
    random_weights,
)

__all__ = [
    "FIXED_POINT",
    "INT8",
    "UINT8",
    "network_of",
    "random_concat",
    "random_conv",
    "random_images",
    "random_network",
    "random_requant",
    "random_tensor",
    "random_weights",
    "random_window",
]

"""Layers and the tensors between them: immutable; each layer checks that it fits its tensors."""

from .layer import Layer, Requantizing, Runnable, SameValues, require_requant, zero_points_of
from .simple import Argmax, Flatten, Relu
from .tensor import NetworkError, Shape, Tensor, Values, in_layer, require

__all__ = [
    "Argmax",
    "Flatten",
    "Layer",
    "NetworkError",
    "Relu",
    "Requantizing",
    "Runnable",
    "SameValues",
    "Shape",
    "Tensor",
    "Values",
    "in_layer",
    "require",
    "require_requant",
    "zero_points_of",
]

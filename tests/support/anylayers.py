"""Layers of a network for tests that know the kind of each."""

from typing import Any

from tercet.model import QNetwork


def any_layers(network: QNetwork) -> list[Any]:
    """The layers; mypy lets any attribute pass."""
    return list(network.layers)

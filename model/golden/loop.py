"""The golden model as plain loops: image by image, slow, and the definition.

``Layer.compute`` has the definition of each layer. Tests compare ``fast.py`` with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..dtypes import Array

if TYPE_CHECKING:
    from ..layers import Runnable

__all__ = ["trace_loop"]


def trace_loop(network: Runnable, images: Array) -> dict[str, Array]:
    """Every tensor by name, (N, H, W, C), for checked images (N, H, W, C)."""
    values = {network.input: images}
    for layer in network.layers:
        result = layer.compute(network, *(values[name] for name in layer.reads))
        values[layer.output] = result.astype(network.tensors[layer.output].dtype.numpy)
    return values

"""Conversion of float networks to the scale, shift and zero point form of ``network.py``."""

from __future__ import annotations

import numpy as np

from ...dtypes import Array
from ...float.statefile import State, by_layer
from ...layers import NetworkError, require
from ...requant import fixed_point
from .network import Triple

__all__ = ["to_scale_shift"]


def to_scale_shift(
    state: State, multiplier_bits: int = 16
) -> tuple[dict[str, Array], dict[str, Triple]]:
    """Quantize the arrays of a float LeNet layer by layer.

    Asymmetric: s = (max - min) / 255 over the weights and 0, Z = round(-min / s), w = round(weight
    / s) + Z clamped to 0..255, ties to even; m / 2**n is the nearest to s with an m of
    ``multiplier_bits`` bits.

    Parameters
    ----------
    state : floats by name, ``X.weight`` and ``X.bias``

    Returns (the state dict: weights uint8, biases unchanged; (m, n, Z) by layer). Raises
    NetworkError if weights are not finite, all 0, or too small for a shift.
    """
    made: dict[str, Array] = {}
    triples: dict[str, Triple] = {}
    for layer, arrays in by_layer(state).items():
        weight = arrays["weight"].astype(np.float64)
        low, high = min(float(weight.min()), 0.0), max(float(weight.max()), 0.0)
        require(
            bool(np.isfinite(weight).all()) and low < high,
            f"Layer {layer!r}: weights must be finite and not all 0",
        )
        scale = (high - low) / 255
        zero_point = int(np.rint(-low / scale))
        try:
            (m,), n = fixed_point([scale], multiplier_bits)
        except ValueError as error:
            raise NetworkError(f"Layer {layer!r}: {error}") from None
        shifted = np.rint(weight / scale) + zero_point
        made[f"{layer}.weight"] = np.clip(shifted, 0, 255).astype(np.uint8)
        if "bias" in arrays:
            made[f"{layer}.bias"] = arrays["bias"]
        triples[layer] = m, n, zero_point
    return made, triples

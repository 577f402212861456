"""How PyTorch's x86 int8 engines requantize, told from a layer's scales.

FBGEMM multiplies by one float32 factor; oneDNN by three, one after another, and adds the zero point
in float32. Sources: ATen ``native/quantized/cpu/qconv.cpp`` and ``OnednnUtils.h``, FBGEMM
``requantize_``; oneDNN's order of operations as measured on near-ties of every layer shape here
(``tests/test_model_frontends_torch_ao.py``).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

import numpy as np
import torch

from ..conv import Conv2d
from ..layers import NetworkError, Tensor
from ..narrow import Target, differences
from ..network import QNetwork
from ..ranges import Bounds, accumulator_ranges
from ..reference import Scale

__all__ = ["ENGINES", "differing", "in_force", "require_engine", "rule_of", "target_of"]

# What each engine rounds by, a name of reference.REFERENCES; x86 is one or the other by the CPU.
RULES = {"fbgemm": "float32_half_even", "onednn": "float32_chain"}
ENGINES = (*RULES, "x86")


def require_engine(engine: str) -> None:
    """Refuse an unknown engine. Raises NetworkError."""
    if engine not in ENGINES:
        raise NetworkError(f"engine must be one of {', '.join(ENGINES)}, not {engine!r}")


@contextmanager
def in_force(engine: str) -> Iterator[None]:
    """Make an engine PyTorch's for a while. Raises NetworkError for an unknown one."""
    require_engine(engine)
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = engine
    try:
        yield
    finally:
        torch.backends.quantized.engine = before


def rule_of(engine: str, layer: Conv2d) -> str:
    """The name in reference.REFERENCES of what an engine computes for a layer on this machine.

    ``x86`` hands a convolution to oneDNN on Linux where the CPU has AVX-512 VNNI, the weights are
    symmetric and the groups number at most 100, and to FBGEMM elsewhere (ATen ``OnednnUtils.h``,
    should_use_onednn_quant). Raises NetworkError for an unknown engine.
    """
    require_engine(engine)
    if engine == "x86":
        vnni = sys.platform == "linux" and torch.cpu.get_capabilities().get("avx512_vnni", False)
        symmetric = not any(layer.weights.zero_points)
        engine = "onednn" if vnni and symmetric and layer.groups <= 100 else "fbgemm"
    return RULES[engine]


def _factors(rule: str, x: Tensor, layer: Conv2d, y: Tensor) -> list[Scale]:
    """Per output channel, the float32 numbers that the engine multiplies accumulators by."""
    one, sx, sy = np.float32(1), np.float32(x.scale), np.float32(y.scale)
    scales = np.array(layer.weights.scales, dtype=np.float32)
    scales = np.broadcast_to(scales, layer.out_channels)
    if rule == "float32_half_even":
        return [Fraction(float(sx * scale / sy)) for scale in scales]
    # ATen hands the input's scale to oneDNN as its reciprocal, which is inverted again there.
    chains = [(one / (one / sx), scale, one / sy) for scale in scales]
    return [tuple(Fraction(float(factor)) for factor in chain) for chain in chains]


def target_of(engine: str, x: Tensor, layer: Conv2d, y: Tensor, reach: Bounds) -> Target:
    """What an engine makes of a layer from ``x`` to ``y``, over the accumulators in ``reach``."""
    rule = rule_of(engine, layer)
    return Target(
        reference=rule,
        scales=_factors(rule, x, layer, y),
        lo=reach[0],
        hi=reach[1],
        zero_point=y.zero_point,
        low=layer.requant.low,
        high=layer.requant.high,
    )


def differing(network: QNetwork, engine: str) -> dict[str, tuple[int, int]]:
    """Count the reachable accumulators on which a network read from PyTorch and its engine differ.

    Returns {layer: (how many differ, how many there are)}, over all channels.
    """
    counts = {}
    for layer in network.layers:
        if isinstance(layer, Conv2d):
            x, y = network.tensors[layer.input], network.tensors[layer.output]
            target = target_of(engine, x, layer, y, accumulator_ranges(network, layer))
            counts[layer.name] = differences(target, layer.requant)
    return counts

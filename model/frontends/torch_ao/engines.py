"""The requantization rules of PyTorch's x86 int8 engines, from a layer's scales and biases.

FBGEMM adds the bias in steps of the accumulator and multiplies by one float32 factor. oneDNN
multiplies by three factors one after another; it adds the bias before the last and the zero point
after it. Sources: ATen ``native/quantized/cpu/qconv.cpp``, ``qlinear.cpp`` and ``OnednnUtils.h``,
FBGEMM ``QuantUtilsAvx2.cc`` (requantizeOutputProcessingAvx2). The effects of compilers, and the
order of oneDNN's operations, were measured on near ties of every layer shape here
(``tests/test_model_frontends_torch_ao_engines.py``).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import torch

from ...dtypes import Array, Bounds, Integers
from ...layers import NetworkError, Tensor
from ...layers.conv import Conv2d
from ...layers.linear import Linear
from ...layers.pool import AvgPool2d
from ...requant.references import Scale
from ...requant.staircase import Target

__all__ = [
    "ENGINES",
    "Bias",
    "add_table",
    "in_force",
    "pool_targets",
    "require_engine",
    "rule_of",
    "target_of",
]

# The rule of each engine, a name of references.REFERENCES; x86 is one of them, by the CPU.
RULES = {"fbgemm": "float32_half_even", "onednn": "float32_chain"}
ENGINES = (*RULES, "x86")
# Channels that ATen's average pools process at once, by CPU: (of a window, of the whole map).
LANES = {"AVX512": (16, 8), "AVX2": (8, 8)}


@dataclass(frozen=True)
class Bias:
    """A layer's float bias, and the kind of its weights' scales, which determines how it is added.

    Parameters
    ----------
    values : float32 (OC,), finite
    per_channel : whether the weights' scales are per channel, even if there is only one
    """

    values: npt.NDArray[np.float32]
    per_channel: bool


def require_engine(engine: str) -> None:
    """Refuse an unknown engine. Raises NetworkError."""
    if engine not in ENGINES:
        raise NetworkError(f"engine must be one of {', '.join(ENGINES)}, not {engine!r}")


@contextmanager
def in_force(engine: str) -> Iterator[None]:
    """Select an engine in PyTorch temporarily. Raises NetworkError for an unknown one."""
    require_engine(engine)
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = engine
    try:
        yield
    finally:
        torch.backends.quantized.engine = before


def rule_of(engine: str, layer: Conv2d) -> str:
    """The rule, a name of references.REFERENCES, of an engine for a layer on this machine.

    ``x86`` uses FBGEMM for a linear layer. For a convolution it uses oneDNN on Linux if the CPU has
    AVX-512 VNNI, the weights are symmetric and there are at most 100 groups; otherwise FBGEMM (ATen
    ``qlinear_prepack.cpp``; ``OnednnUtils.h``, should_use_onednn_quant). Raises NetworkError for an
    unknown engine.
    """
    require_engine(engine)
    if engine == "x86":
        vnni = sys.platform == "linux" and torch.cpu.get_capabilities().get("avx512_vnni", False)
        symmetric = not any(layer.weights.zero_points)
        dnn = vnni and symmetric and layer.groups <= 100 and not isinstance(layer, Linear)
        engine = "onednn" if dnn else "fbgemm"
    return RULES[engine]


def target_of(
    engine: str, x: Tensor, layer: Conv2d, y: Tensor, reach: Bounds, bias: Bias | None = None
) -> Target:
    """An engine's requantization of a layer from ``x`` to ``y``, for accumulators in ``reach``."""
    rule = rule_of(engine, layer)
    one, sx, sy = np.float32(1), np.float32(x.scale), np.float32(y.scale)
    sw = np.broadcast_to(np.array(layer.weights.scales, dtype=np.float32), layer.out_channels)
    scales: list[Scale]
    if rule == "float32_half_even":
        scales = [Fraction(float(factor)) for factor in sx * sw / sy]
        biases = _in_accumulator_steps(bias, sx * sw) if bias else ()
    else:
        # ATen passes reciprocals of scales to oneDNN, which inverts them again: the input's, and
        # for a linear layer also the weights'.
        if isinstance(layer, Linear):
            sw = one / (one / sw)
        chains = ((one / (one / sx), scale, one / sy) for scale in sw)
        scales = [tuple(Fraction(float(factor)) for factor in chain) for chain in chains]
        biases = tuple(map(float, bias.values)) if bias else ()
    requant = layer.requant
    return Target(
        rule, scales, *reach, y.zero_point, requant.low, requant.high, biases if any(biases) else ()
    )


def _in_accumulator_steps(bias: Bias, steps: npt.NDArray[np.float32]) -> tuple[float, ...]:
    """The exact value that FBGEMM adds to float32(acc).

    With scales per channel it is the quotient, in float32. With scales per tensor it is the product
    with the reciprocal, which a fused multiply-add does not round; it is exact in float64. It is
    infinite if the steps are too small.
    """
    with np.errstate(divide="ignore", over="ignore"):
        if bias.per_channel:
            return tuple(map(float, bias.values / steps))
        reciprocals = (np.float32(1) / steps).astype(np.float64)
    return tuple(map(float, bias.values.astype(np.float64) * reciprocals))


def pool_targets(
    layer: AvgPool2d, x: Tensor, reach: Bounds, *, whole: bool, channels_last: bool
) -> list[Target]:
    """ATen's requantizations of an average pool, one per rule; that of most channels first.

    All engines share them. In channels-last memory, whole vectors of channels are rounded before
    the zero point is added; in the global pool (``whole``), after a fused multiply-add adds it. The
    remaining channels, and all channels in other memory formats, use a separate product and sum.
    The global pool must be channels last.
    """
    factor = Fraction(float(np.float32(1) / np.float32(layer.kernel[0] * layer.kernel[1])))
    channels, rule = x.shape[2], "float32_fused" if whole else "float32_half_even"
    lanes = LANES.get(torch.backends.cpu.get_cpu_capability(), (channels + 1,) * 2)[whole]
    vectors = channels // lanes * lanes if channels_last else 0
    counts = {rule: vectors, "float32_chain": channels - vectors}
    rules = sorted((rule for rule in counts if counts[rule]), key=lambda rule: -counts[rule])
    requant, zero_point = layer.requant, x.zero_point
    return [Target(rule, [factor], *reach, zero_point, requant.low, requant.high) for rule in rules]


def add_table(a: Tensor, b: Tensor, y: Tensor) -> Integers:
    """The output of ATen's quantized add for every pair, before the clamp: int64 (A, B).

    Each side is scale * q - scale * zero_point by a fused multiply-add. Their sum times 1 / Sy is
    rounded and Zy added, all in float32 (``QuantizedOpKernels.cpp``, qadd_kernel; Vectorized
    dequantize). The last elements of a tensor, fewer than a vector's 64, are computed differently:
    (q - zero_point) * scale, and Zy is added before the rounding.
    """
    sides = []
    for x in (a, b):
        scale = np.float32(x.scale)
        offset = -(scale * np.float32(x.zero_point))
        q = np.arange(x.dtype.qmin, x.dtype.qmax + 1).astype(np.float64)
        # exact in float64: 8 bits times 24 bits plus 24 bits of about the same exponent
        sides.append((q * float(scale) + float(offset)).astype(np.float32))
    total: Array = sides[0][:, None] + sides[1][None, :]
    product = total * (np.float32(1) / np.float32(y.scale))
    return np.rint(product).astype(np.int64) + y.zero_point

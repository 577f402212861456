"""The arithmetic of ONNX Runtime's CPU operators, as requantizations of an integer network.

All in float32, according to the sources of MLAS and of the CPU provider (ONNX Runtime 1.32,
x86-64):

* QLinearConv, QGemm, QLinearMatMul: nearbyint(float(acc) * ((Sx * Sw) / Sy)) + Zy, saturated
  (``qlinearconv.cc``, ``quant_gemm.cc``, ``mlas/lib/quantize.cpp`` MlasRequantizeOutput).
* QLinearGlobalAveragePool: the same on the integer sum, with the factor Sx / (Sy * float(H * W))
  (``mlas/lib/qlgavgpool.cpp``).
* QLinearAveragePool: dequantizes each value, adds in floats, nearbyint(sum / n / Sy + Zy)
  (``contrib_ops/cpu/quantization/qlinear_pool.cc``).
* QuantizeLinear of a DequantizeLinear: nearbyint((Sx * (q - Zx)) / Sy) + Zy.
* QLinearConcat: the same for each input.
* QLinearAdd: see ``add_table``.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from ...builder import Grid, Policy
from ...dtypes import Bounds, Integers
from ...layers import Layer, Tensor
from ...layers.add import Add
from ...layers.concat import Concat
from ...layers.pool import AvgPool2d
from ...layers.weights import Weights
from ...requant import Requant, Rounding
from ...search.add import search_add, search_one
from ...search.concat import search_concat
from ...search.policies import factors, fixed, float32

__all__ = [
    "add_table",
    "added",
    "averaged",
    "concatenated",
    "dequantized",
    "multiplied",
    "pooled",
    "product_table",
    "quantized",
    "requant_table",
    "requantized",
    "undecided",
]

FEW_PAIRS = 8  # of an addition's 65,536: the most that may differ
FEW = 0.01  # of a pool's sums: the most that may be close to a tie without being one
TIE = 2.0**-40  # the distance within which a float64 value is a tie


def multiplied(x: Tensor, weights: Weights, grid: Grid) -> Policy:
    """For a convolution or a linear layer: the float32 factor (Sx * Sw) / Sy per channel."""
    scales = np.array(weights.scales, np.float32)
    with np.errstate(over="ignore", under="ignore"):
        factors = np.float32(x.scale) * scales / np.float32(grid.scale)
    return float32(list(factors))


def averaged(layer: Layer, inputs: tuple[Tensor, ...], y: Tensor, reach: Bounds) -> Requant:
    """For a global average pool: the float32 factor Sx / (Sy * float(n))."""
    assert isinstance(layer, AvgPool2d)
    (x,) = inputs
    positions = np.float32(layer.kernel[0] * layer.kernel[1])
    with np.errstate(all="ignore"):
        factor = np.float32(x.scale) / (np.float32(y.scale) * positions)
    return float32([factor])(layer, inputs, y, reach)


def pooled(inexact: bool) -> Policy:
    """For an average pool that ONNX Runtime sums in floats: the real factor.

    ONNX Runtime rounds half-even after it has added the zero point; half-up is nearer to that if
    the zero point is odd.

    The result is equal unless rounding errors of the float sum reach a tie. If sums are ties, or
    more than a few are that close to one, the layer is refused unless ``inexact``.
    """

    def rescale(layer: Layer, inputs: tuple[Tensor, ...], y: Tensor, reach: Bounds) -> Requant:
        assert isinstance(layer, AvgPool2d)
        rounding = Rounding.HALF_UP if y.zero_point % 2 else Rounding.HALF_EVEN
        requant = fixed(31, rounding)(layer, inputs, y, reach)
        ties, close, count = undecided(replace(layer, requant=requant), inputs[0], y, reach)
        if not inexact and (ties or close > count * FEW):
            raise ValueError(
                f"{ties + close} of {count} sums lie so close to a tie that ONNX Runtime's float "
                "rounding errors decide; quantize in operator form (QuantFormat.QOperator), which "
                "gives the pool a scale of its own, or read it with inexact=True"
            )
        return requant

    return rescale


def undecided(pool: AvgPool2d, x: Tensor, y: Tensor, reach: Bounds) -> tuple[int, int, int]:
    """Count the sums of an average pool that float rounding errors can move across a tie.

    Each value, each addition, both divisions and the addition of the zero point round once, each by
    a relative error of at most 2**-24.

    Returns (sums that are ties, other sums within the error, all reachable sums).
    """
    positions = pool.kernel[0] * pool.kernel[1]
    sums = np.arange(int(reach[0][0]), int(reach[1][0]) + 1, dtype=np.int64)
    (factor,) = factors(pool, (x,), y)
    if _exact_in_float32(x, y, positions):
        return 0, 0, len(sums)
    value = sums * float(factor)
    lowest, highest = (end - y.zero_point for end in (pool.requant.low, pool.requant.high))
    value = value[(value > lowest - 1) & (value < highest + 1)]
    largest = np.abs(value)
    if reach[0][0] < 0 < reach[1][0]:  # terms of both signs cancel, but their errors do not
        largest = np.full_like(value, max(-int(reach[0][0]), int(reach[1][0])) * float(factor))
    error = ((positions + 2) * largest + np.abs(value + y.zero_point)) * 2.0**-24
    distance = np.abs(value - np.floor(value) - 0.5)
    ties = int((distance < TIE).sum())
    return ties, int((distance <= error).sum()) - ties, len(sums)


def _exact_in_float32(x: Tensor, y: Tensor, positions: int) -> bool:
    """Whether no step of the float sum rounds, and ties go to the even output as in half-even."""
    if x.scale != y.scale or positions & (positions - 1) or y.zero_point % 2:
        return False
    digits = Fraction(x.scale).numerator.bit_length()
    return digits + (positions * 255).bit_length() <= 24


def requantized(layer: Layer, inputs: tuple[Tensor, ...], y: Tensor, reach: Bounds) -> Requant:
    """For a QuantizeLinear after a DequantizeLinear; equal on every input."""
    assert isinstance(layer, AvgPool2d)
    (x,) = inputs
    clamp = (layer.requant.low, layer.requant.high)
    requant, differing = search_one(requant_table(x, y), x, y, clamp)
    _require_equal(x, differing)
    return requant


def concatenated(layer: Layer, inputs: tuple[Tensor, ...], y: Tensor, reach: Bounds) -> Requant:
    """For a QLinearConcat; equal on every value of every input."""
    assert isinstance(layer, Concat)
    clamp = (layer.requant.low, layer.requant.high)
    requant, wrong = search_concat([requant_table(x, y) for x in inputs], inputs, y, clamp)
    for x, differing in zip(inputs, wrong, strict=True):
        _require_equal(x, differing)
    return requant


def _require_equal(x: Tensor, differing: int) -> None:
    if differing:
        raise ValueError(
            f"{differing} of {1 << x.dtype.bits} inputs are requantized by no multiplier as "
            "ONNX Runtime does; give input and output one scale"
        )


def added(inexact: bool) -> Policy:
    """For a QLinearAdd; equal on every pair of inputs.

    In rare cases the float rounding errors of a few pairs contradict each other, so that no sum of
    two products equals all of them. All other pairs are then equal. More than ``FEW_PAIRS`` such
    pairs are refused unless ``inexact``.
    """

    def rescale(layer: Layer, inputs: tuple[Tensor, ...], y: Tensor, reach: Bounds) -> Requant:
        assert isinstance(layer, Add)
        a, b = inputs
        clamp = (layer.requant.low, layer.requant.high)
        table = add_table(a, b, y)
        requant, differing = search_add(table, a, b, y, clamp)
        if differing > FEW_PAIRS and not inexact:
            raise ValueError(
                f"{differing} of {table.size} pairs of inputs add up to a tie that ONNX Runtime's "
                "float rounding errors decide; calibrate to other scales, or read it with "
                "inexact=True"
            )
        return requant

    return rescale


def _values(x: Tensor | Grid) -> npt.NDArray[np.float32]:
    """Every value of the type, as float32."""
    return np.arange(x.dtype.qmin, x.dtype.qmax + 1).astype(np.float32)


def _rounded(value: npt.NDArray[np.float32], y: Tensor | Grid, zero_point: int) -> Integers:
    bounded = np.clip(np.rint(value), -(1 << 20), 1 << 20).astype(np.int64)
    return np.clip(bounded + zero_point, y.dtype.qmin, y.dtype.qmax)


def dequantized(x: Tensor | Grid) -> npt.NDArray[np.float32]:
    """The real value of each integer of the type, as DequantizeLinear computes it."""
    real: npt.NDArray[np.float32] = np.float32(x.scale) * (_values(x) - np.float32(x.zero_point))
    return real


def quantized(real: npt.NDArray[np.float32], y: Tensor | Grid) -> Integers:
    """The integers that QuantizeLinear makes of real values."""
    with np.errstate(all="ignore"):
        return _rounded(real / np.float32(y.scale), y, y.zero_point)


def requant_table(x: Tensor, y: Tensor) -> Integers:
    """The output of QuantizeLinear for each dequantized value of ``x``."""
    with np.errstate(all="ignore"):
        return quantized(dequantized(x), y)


def product_table(a: Integers, x: Grid, b: Integers, z: Grid, y: Grid) -> Integers:
    """The output of QLinearMul for pairs of integers ``a`` on the grid ``x`` and ``b`` on ``z``:
    nearbyint(float((a - Za) * (b - Zb)) * (Sa * Sb / Sy) + float(Zy)) (``mlas/lib/qlmul.cpp``)."""
    with np.errstate(all="ignore"):
        ratio = np.float32(x.scale) * np.float32(z.scale) / np.float32(y.scale)
    product = ((a - x.zero_point) * (b - z.zero_point)).astype(np.float32)
    return _rounded(product * ratio + np.float32(y.zero_point), y, 0)


def add_table(a: Tensor, b: Tensor, y: Tensor) -> Integers:
    """The output of QLinearAdd for each pair (A, B), on x86-64 with AVX2 and FMA.

    With ra = Sa / Sy, rb = Sb / Sy, and fma with a single rounding: constant = Zy - fma(ra, Za, rb
    * Zb), y = nearbyint(fma(a, ra, fma(b, rb, constant)))
    (``mlas/lib/intrinsics/avx2/qladd_avx2.cpp``; a measurement shows that the compiler fuses the
    constant's products).
    """
    with np.errstate(all="ignore"):
        ra, rb = (np.float32(x.scale) / np.float32(y.scale) for x in (a, b))
        constant = np.float32(y.zero_point) - _fma(
            ra, np.float32(a.zero_point), rb * np.float32(b.zero_point)
        )
        inner = _fma(_values(b), rb, constant)
        return _rounded(_fma(_values(a)[:, None], ra, inner[None, :]), y, 0)


def _fma(x: Any, y: Any, z: Any) -> Any:
    """x * y + z in float32, rounded once. The product is exact in float64, and so is the sum for
    8-bit values and factors of ordinary size."""
    return (np.float64(x) * np.float64(y) + np.float64(z)).astype(np.float32)

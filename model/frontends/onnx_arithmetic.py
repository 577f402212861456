"""What ONNX Runtime's CPU operators compute, as requantizations of an integer network.

All in float32, told from the sources of MLAS and of the CPU provider (ONNX Runtime 1.32, x86-64):

* QLinearConv, QGemm, QLinearMatMul: nearbyint(float(acc) * ((Sx * Sw) / Sy)) + Zy, saturated
  (``qlinearconv.cc``, ``quant_gemm.cc``, ``mlas/lib/quantize.cpp`` MlasRequantizeOutput).
* QLinearGlobalAveragePool: the same on the integer sum, the factor Sx / (Sy * float(H * W))
  (``mlas/lib/qlgavgpool.cpp``).
* QLinearAveragePool: dequantizes each value, adds in floats, nearbyint(sum / n / Sy + Zy)
  (``contrib_ops/cpu/quantization/qlinear_pool.cc``).
* QuantizeLinear of a DequantizeLinear: nearbyint((Sx * (q - Zx)) / Sy) + Zy.
* QLinearAdd: see ``add_table``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..add import Add
from ..addsearch import search_add, search_one
from ..arith import Rounding
from ..builder import Grid, Rescale
from ..layers import Layer, Tensor
from ..pool import AvgPool2d
from ..ranges import Bounds
from ..requant import Requant
from ..rescale import fixed, float32
from ..weights import Weights

__all__ = [
    "add_table",
    "added",
    "averaged",
    "multiplied",
    "pooled",
    "requant_table",
    "requantized",
]


def multiplied(x: Tensor, weights: Weights, grid: Grid) -> Rescale:
    """Of a convolution or a linear layer: the float32 factor (Sx * Sw) / Sy per channel."""
    scales = np.array(weights.scales, np.float32)
    with np.errstate(over="ignore", under="ignore"):
        factors = np.float32(x.scale) * scales / np.float32(grid.scale)
    return float32(list(factors))


def averaged(layer: Layer, inputs: tuple[Tensor, ...], y: Tensor, reach: Bounds) -> Requant:
    """Of a global average pool: the float32 factor Sx / (Sy * float(n))."""
    assert isinstance(layer, AvgPool2d)
    (x,) = inputs
    positions = np.float32(layer.kernel[0] * layer.kernel[1])
    with np.errstate(all="ignore"):
        factor = np.float32(x.scale) / (np.float32(y.scale) * positions)
    return float32([factor])(layer, inputs, y, reach)


def pooled(layer: Layer, inputs: tuple[Tensor, ...], y: Tensor, reach: Bounds) -> Requant:
    """Of an average pool that ONNX Runtime sums in floats: the real factor, half-even.

    Equal to it wherever the rounding errors of its sum cannot reach a tie.
    """
    return fixed(31, Rounding.HALF_EVEN)(layer, inputs, y, reach)


def requantized(layer: Layer, inputs: tuple[Tensor, ...], y: Tensor, reach: Bounds) -> Requant:
    """Of a QuantizeLinear that follows a DequantizeLinear, equal on every input."""
    assert isinstance(layer, AvgPool2d)
    (x,) = inputs
    clamp = (layer.requant.low, layer.requant.high)
    requant, differing = search_one(requant_table(x, y), x, y, clamp)
    if differing:
        raise ValueError(
            f"{differing} of {1 << x.dtype.bits} inputs are requantized by no multiplier as "
            "ONNX Runtime does; give input and output one scale"
        )
    return requant


def added(layer: Layer, inputs: tuple[Tensor, ...], y: Tensor, reach: Bounds) -> Requant:
    """Of a QLinearAdd, equal on every pair of inputs, or on as many as can be."""
    assert isinstance(layer, Add)
    a, b = inputs
    clamp = (layer.requant.low, layer.requant.high)
    requant, _ = search_add(add_table(a, b, y), a, b, y, clamp)
    return requant


def _values(x: Tensor) -> npt.NDArray[np.float32]:
    """Every value of the type, as float32."""
    return np.arange(x.dtype.qmin, x.dtype.qmax + 1).astype(np.float32)


def _rounded(value: npt.NDArray[np.float32], y: Tensor, zero_point: int) -> npt.NDArray[np.int64]:
    bounded = np.clip(np.rint(value), -(1 << 20), 1 << 20).astype(np.int64)
    return np.clip(bounded + zero_point, y.dtype.qmin, y.dtype.qmax)


def requant_table(x: Tensor, y: Tensor) -> npt.NDArray[np.int64]:
    """What QuantizeLinear makes of each dequantized value of ``x``."""
    with np.errstate(all="ignore"):
        real = np.float32(x.scale) * (_values(x) - np.float32(x.zero_point))
        return _rounded(real / np.float32(y.scale), y, y.zero_point)


def add_table(a: Tensor, b: Tensor, y: Tensor) -> npt.NDArray[np.int64]:
    """What QLinearAdd makes of each pair (A, B), on x86-64 with AVX2 and FMA.

    With ra = Sa / Sy and rb = Sb / Sy, and fma rounding once: constant = Zy - fma(ra, Za, rb * Zb),
    y = nearbyint(fma(a, ra, fma(b, rb, constant))) (``mlas/lib/intrinsics/avx2/qladd_avx2.cpp``;
    that the compiler fuses the constant's products is measured).
    """
    with np.errstate(all="ignore"):
        ra, rb = (np.float32(x.scale) / np.float32(y.scale) for x in (a, b))
        constant = np.float32(y.zero_point) - _fma(
            ra, np.float32(a.zero_point), rb * np.float32(b.zero_point)
        )
        inner = _fma(_values(b), rb, constant)
        return _rounded(_fma(_values(a)[:, None], ra, inner[None, :]), y, 0)


def _fma(x: Any, y: Any, z: Any) -> Any:
    """x * y + z in float32, rounded once: the product is exact in float64, and so, for 8-bit values
    and factors of ordinary size, is the sum."""
    return (np.float64(x) * np.float64(y) + np.float64(z)).astype(np.float32)

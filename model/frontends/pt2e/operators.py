"""The quantize and dequantize operators of PT2E programs, in addition to those of float networks.

Sources: ``torch/ao/quantization/fx/_decomposed.py`` for their arithmetic, and
``torchao/quantization/pt2e/convert.py`` for the operators of a converted program.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from ...builder import Grid
from ...dtypes import IntType
from ...float.torch_export.arguments import Operator
from ...float.torch_export.operators import OPERATORS
from .program import ProgramReader, Quantize, QuantizedArray

__all__ = ["PT2E_OPERATORS"]

MAX_BITS = 8  # of activations and weights


def _type_of(
    reader: ProgramReader, node: torch.fx.Node, low: int, high: int, dtype: torch.dtype
) -> IntType:
    """The narrowest type for [low, high]. Raises NetworkError if it has no 2 to 8 bits."""
    kind = str(dtype).removeprefix("torch.")
    if not low < high:
        reason = f"its quant_min {low} must lie below its quant_max {high}"
        raise reader.refuse_at(node, reason, "choose both in the quantizer")
    unsigned = high.bit_length() if low >= 0 else 0
    bits = unsigned or 1 + max(high.bit_length(), (~low).bit_length())
    if dtype not in (torch.int8, torch.uint8) or not 2 <= bits <= MAX_BITS:
        raise reader.refuse_at(
            node,
            f"its integers are {kind} in [{low}, {high}]",
            "choose int8 or uint8 of 2 to 8 bits in the quantizer",
        )
    return IntType(bits, signed=not unsigned)


def _scale(reader: ProgramReader, node: torch.fx.Node, scale: Any, zero_point: Any) -> None:
    if not (isinstance(scale, float) and isinstance(zero_point, int)):
        raise reader.refuse_at(
            node, "its scale and zero point are no constants", "choose static quantization"
        )
    if not (math.isfinite(scale) and scale > 0):
        raise reader.refuse_at(
            node, f"its scale must be positive and finite, not {scale}", "calibrate it again"
        )


def _quantize(
    reader: ProgramReader,
    node: torch.fx.Node,
    x: Any,
    scale: Any,
    zero_point: Any,
    quant_min: int,
    quant_max: int,
    dtype: torch.dtype,
) -> None:
    if reader.stored(x) is not None:
        reason = "it quantizes a parameter while the network runs"
        raise reader.refuse_at(node, reason, "convert with fold_quantize=True")
    _scale(reader, node, scale, zero_point)
    seen = reader.seen(x, node)
    kind = _type_of(reader, node, quant_min, quant_max, dtype)
    if not quant_min <= zero_point <= quant_max:
        reason = f"its zero point {zero_point} lies outside [{quant_min}, {quant_max}]"
        raise reader.refuse_at(node, reason, "calibrate it again, zero included")
    grid, clamp = Grid(kind, scale, zero_point), (quant_min, quant_max)
    made = Quantize(reader.unique(node.name), (seen.tensor,), grid=grid, clamp=clamp)
    reader.put_like(node, made, seen)
    reader.sources[node.name] = made.name


def _dequantize(
    reader: ProgramReader,
    node: torch.fx.Node,
    x: Any,
    scale: Any,
    zero_point: Any,
    quant_min: int,
    quant_max: int,
    dtype: torch.dtype,
    out_dtype: torch.dtype | None = None,
) -> None:
    _scale(reader, node, scale, zero_point)
    _require_float32(reader, node, out_dtype)
    stored = reader.stored(x)
    if stored is not None:
        reader.quantized[node.name] = _array(
            reader, node, stored, (scale,), (zero_point,), quant_min, quant_max, dtype
        )
        return
    source = reader.seen(x, node).tensor
    made = next((made for made in reader.nodes if made.name == source), None)
    if not isinstance(made, Quantize):
        reason = "it reads integers that no quantize node gives"
        raise reader.refuse_at(node, reason, "let the program take floats and quantize them")
    if (made.grid.scale, made.grid.zero_point) != (scale, zero_point):
        raise reader.refuse_at(
            node,
            f"it reads scale {scale} and zero point {zero_point} where {x.name!r} wrote "
            f"{made.grid.scale} and {made.grid.zero_point}",
            "convert the program again, without edits",
        )
    reader.same(node, x)


def _require_float32(reader: ProgramReader, node: torch.fx.Node, out: torch.dtype | None) -> None:
    if out not in (None, torch.float32):
        raise reader.refuse_at(node, f"it gives {out}", "export the program in float32")


def _array(
    reader: ProgramReader,
    node: torch.fx.Node,
    stored: torch.Tensor,
    scales: tuple[float, ...],
    zero_points: tuple[int, ...],
    low: int,
    high: int,
    dtype: torch.dtype,
) -> QuantizedArray:
    """A parameter's integers: int32 for a bias, otherwise 2 to 8 bits."""
    bias = dtype == torch.int32
    kind = IntType(32, signed=True) if bias else _type_of(reader, node, low, high, dtype)
    values = stored.detach().to(torch.int64).numpy()
    if not bias and values.size and not (low <= values.min() and values.max() <= high):
        reason = f"its integers reach [{values.min()}, {values.max()}], beyond [{low}, {high}]"
        raise reader.refuse_at(node, reason, "convert the program again")
    return QuantizedArray(values, kind, scales, zero_points)


def _dequantize_per_channel(
    reader: ProgramReader,
    node: torch.fx.Node,
    x: Any,
    scales: Any,
    zero_points: Any,
    axis: int,
    quant_min: int,
    quant_max: int,
    dtype: torch.dtype,
    out_dtype: torch.dtype | None = None,
) -> None:
    _require_float32(reader, node, out_dtype)
    stored, steps = reader.stored(x), reader.stored(scales)
    zeros = None if zero_points is None else reader.stored(zero_points)
    if stored is None or steps is None or (zeros is None and zero_points is not None):
        reason = "activations are quantized per tensor only"
        raise reader.refuse_at(node, reason, "keep per_channel schemes for the weights")
    count = stored.shape[axis] if stored.ndim else 0
    if axis != 0:
        raise reader.refuse_at(
            node, f"its scales lie along axis {axis}", "choose axis 0, the output channels"
        )
    for what, found in (("scales", steps), ("zero points", zeros)):
        if found is not None and found.shape != (count,):
            raise reader.refuse_at(
                node,
                f"its {what} must number {count}, one per output channel, not {found.numel()}",
                "convert the program again",
            )
    many = [float(scale) for scale in steps.to(torch.float64)]
    offsets = [0] * count if zeros is None else [int(zero) for zero in zeros]
    for scale, zero in zip(many, offsets, strict=True):
        _scale(reader, node, scale, zero)
    reader.quantized[node.name] = _array(
        reader, node, stored, tuple(many), tuple(offsets), quant_min, quant_max, dtype
    )


def _quantize_per_channel(reader: ProgramReader, node: torch.fx.Node, x: Any) -> None:
    if reader.stored(x) is not None:
        reason = "it quantizes a parameter while the network runs"
        raise reader.refuse_at(node, reason, "convert with fold_quantize=True")
    reason = "activations are quantized per tensor only"
    raise reader.refuse_at(node, reason, "keep per_channel schemes for the weights")


PT2E_OPERATORS: Mapping[str, Operator] = {
    **OPERATORS,
    "quantized_decomposed.quantize_per_tensor.default": Operator(_quantize),
    "quantized_decomposed.dequantize_per_tensor.default": Operator(_dequantize),
    "quantized_decomposed.quantize_per_channel.default": Operator(
        _quantize_per_channel,  # always refused
        ignored=("scales", "zero_points", "axis", "quant_min", "quant_max", "dtype"),
    ),
    "quantized_decomposed.dequantize_per_channel.default": Operator(_dequantize_per_channel),
}

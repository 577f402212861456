"""The values of names while an ONNX graph is read: integers, constants, intermediate results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ...builder import Grid, Output, Policy
from ...dtypes import INT8, UINT8, Array
from ...layers.weights import Weights
from ...ordered import Ordered
from .graph import Graph, Node

__all__ = [
    "INT8",
    "UINT8",
    "Constant",
    "Emit",
    "Pending",
    "Result",
    "clamp_on",
    "clip_ends",
    "constant_of",
    "grid_of",
    "mean_axes",
    "one_slope",
    "quantized_constant",
    "require_inference",
]

TYPES = {np.dtype(np.uint8): UINT8, np.dtype(np.int8): INT8}
BIAS_TOLERANCE = 1e-5  # relative, of a bias' scale; ONNX Runtime assumes Sx * Sw unchecked


@dataclass(frozen=True)
class Constant:
    """A quantized constant: float32 scales and zero points, one or one per index along ``axis``."""

    values: Array
    scales: npt.NDArray[np.float32]
    zero_points: Array
    axis: int

    def per_channel(self, node: Node, axis: int, values: Array) -> Weights:
        """Make weights (OC, KH, KW, IC / groups) from ``values``, whose channels were ``axis``.

        Raises NetworkError if the scales are along another axis, or their number is wrong.
        """
        if self.values.dtype not in TYPES:
            raise node.refuse(f"weights are {self.values.dtype}", "quantize them as int8 or uint8")
        count = max(len(self.scales), len(self.zero_points))
        if count > 1 and self.axis != axis:
            raise node.refuse(
                f"weight scales run along axis {self.axis}", f"quantize per output channel ({axis})"
            )
        if {len(self.scales), len(self.zero_points)} - {1, len(values)}:
            raise node.refuse(
                f"{len(self.scales)} weight scales and {len(self.zero_points)} zero points "
                f"do not go with {len(values)} output channels",
                "give one, or one per channel",
            )
        return Weights(
            values=values,
            dtype=TYPES[self.values.dtype],
            scales=tuple(float(scale) for scale in self.scales),
            zero_points=tuple(int(zero_point) for zero_point in self.zero_points),
        )

    def as_bias(self, node: Node, x: Ordered, weights: Weights) -> Array:
        """The values as a bias at scale Sx * Sw. Raises NetworkError for another grid."""
        if self.zero_points.any():
            raise node.refuse("the bias has a zero point", "quantize it with zero point 0")
        expected = np.float64(x.tensor.scale) * np.array(weights.scales)
        same = len(self.scales) in (1, len(expected)) and np.allclose(
            self.scales, expected, rtol=BIAS_TOLERANCE, atol=0
        )
        if self.values.any() and not same:
            way_out = "quantize it at the product of input scale and weight scale"
            raise node.refuse("the bias has another scale than the accumulator", way_out)
        return self.values


@dataclass(frozen=True)
class Result:
    """The output of a layer: its name, its grid, and a clamp if the type's ends are not the only
    one."""

    name: str
    grid: Grid
    clamp: tuple[int, int] | None = None

    @property
    def ends(self) -> tuple[int, int]:
        """The least and greatest value."""
        return self.clamp or (self.grid.dtype.qmin, self.grid.dtype.qmax)

    def by(self, rescale: Policy) -> Output:
        """This output with a requantization."""
        return Output(self.grid, rescale, self.clamp)


Emit = Callable[[Result], Ordered]  # adds the layer with this output


@dataclass(frozen=True)
class Pending:
    """A real-valued result that waits for a QuantizeLinear after it.

    fused : whether ONNX Runtime computes it in integers; the output's type must then imply the
        clamp
    low, high : the clamp of a Relu or Clip after it, real values
    moves : operators after it that move values or take maxima; rounding commutes with them. A
        session moves the QuantizeLinear before them (``qdq_propagation.cc``), and so does the
        reader
    curve : for a function of one value the tensor that it reads, and its result in float32 for
        each value of the tensor's type
    """

    node: Node
    emit: Emit
    fused: bool = True
    low: float = -np.inf
    high: float = np.inf
    moves: tuple[Callable[[Ordered], Ordered], ...] = ()
    curve: tuple[Ordered, npt.NDArray[np.float32]] | None = None

    def clipped(self, low: float, high: float) -> Pending:
        """This result with an additional clamp."""
        clip = (min(max(value, low), high) for value in (self.low, self.high))
        return replace(self, low=next(clip), high=next(clip))


def clamp_on(grid: Grid, low: float, high: float) -> tuple[int, int]:
    """The integers that QuantizeLinear makes of a real clamp, in float32."""
    scale = np.float32(grid.scale)
    ends = []
    for value in (low, high):
        with np.errstate(over="ignore"):
            quotient = np.float32(value) / scale
        rounded = np.clip(np.rint(quotient), -(1 << 9), 1 << 9)
        ends.append(min(max(int(rounded) + grid.zero_point, grid.dtype.qmin), grid.dtype.qmax))
    return ends[0], ends[1]


def clip_ends(graph: Graph, node: Node) -> tuple[float, float]:
    """The least and greatest value that a Relu or a Clip passes."""
    if node.op == "Relu":
        return 0.0, np.inf
    ends = []
    for index, key, default in ((1, "min", -np.inf), (2, "max", np.inf)):
        end = node.attributes.get(key, default)
        if node.input(index):
            bound = graph.constant(node, node.input(index))
            end = float(bound.reshape(-1)[0]) if bound.size == 1 else np.nan
        if not isinstance(end, float) or np.isnan(end):
            raise node.refuse(f"{key} must be a number", "export the model again")
        ends.append(end)
    return ends[0], ends[1]


def mean_axes(graph: Graph, node: Node) -> list[int]:
    """The axes of a ReduceMean, an attribute or an input; none if they are left out."""
    axes = node.attributes.get("axes")
    if axes is None and node.input(1):
        axes = graph.constant(node, node.input(1)).reshape(-1).tolist()
    return list(axes or [])


def one_slope(node: Node, slopes: Array) -> float:
    """The slope of a PRelu. Raises NetworkError if there are several."""
    if len(np.unique(slopes)) != 1:
        reason = f"its {slopes.size} channels have slopes of their own"
        raise node.refuse(reason, "train it with one slope for all channels")
    return float(slopes.flat[0])


def require_inference(node: Node, graph: Graph, training: Any) -> None:
    """Refuse a Dropout in ``training`` mode, or whose mask is read."""
    if np.any(training):
        raise node.refuse("training_mode is true", "export the model in evaluation mode")
    if any(graph.readers.get(name) for name in node.outputs[1:]):
        raise node.refuse("its mask is read", "export the model in evaluation mode")


def _scales(graph: Graph, node: Node, name: str) -> npt.NDArray[np.float32]:
    scales = graph.constant(node, name)
    if scales.dtype != np.float32 or scales.ndim > 1 or scales.size < 1:
        reason = f"scale {name!r} is {scales.dtype} with the extents {list(scales.shape)}"
        raise node.refuse(reason, "use float32, per tensor or per channel")
    if not (np.isfinite(scales) & (scales > 0)).all():
        bad = scales[~(np.isfinite(scales) & (scales > 0))][0]
        reason = f"scale {name!r} must be positive and finite, not {bad}"
        raise node.refuse(reason, "calibrate the model again")
    flat: npt.NDArray[np.float32] = scales.reshape(-1)
    return flat


def _zero_points(graph: Graph, node: Node, name: str, dtype: npt.DTypeLike | None) -> Array:
    """The zero points; if there are none, 0 in ``dtype``, by default uint8."""
    if not name:
        return np.zeros(1, dtype or np.uint8)
    zero_points = graph.constant(node, name)
    if zero_points.dtype not in (np.uint8, np.int8, np.int32) or zero_points.ndim > 1:
        reason = f"zero point {name!r} is {zero_points.dtype}"
        raise node.refuse(reason, "quantize to uint8 or int8, per tensor or per channel")
    if (dtype is not None and zero_points.dtype != dtype) or zero_points.size < 1:
        reason = f"zero point {name!r} is {zero_points.dtype}, its tensor another type"
        raise node.refuse(reason, "give both one type")
    return zero_points.reshape(-1)


def grid_of(
    graph: Graph, node: Node, scale: str, zero_point: str, dtype: npt.DTypeLike | None = None
) -> Grid:
    """The grid of an activation, from the names of its scale and zero point. Without a zero point
    it is 0 in ``dtype``, by default uint8. Raises NetworkError."""
    scales = _scales(graph, node, scale)
    zero_points = _zero_points(graph, node, zero_point, None)
    if not zero_point and dtype is not None:
        zero_points = zero_points.astype(dtype)
    if len(scales) != 1 or len(zero_points) != 1:
        raise node.refuse("activations are quantized per channel", "quantize them per tensor")
    if zero_points.dtype not in TYPES:
        raise node.refuse(f"activations are {zero_points.dtype}", "quantize to uint8 or int8")
    return Grid(TYPES[zero_points.dtype], float(scales[0]), int(zero_points[0]))


def constant_of(graph: Graph, node: Node, name: str, scale: str, zero_point: str) -> Constant:
    """A quantized constant from the names of three inputs. Raises NetworkError."""
    values = graph.constant(node, name)
    axis = node.integer("axis", 1)
    return Constant(
        values=values,
        scales=_scales(graph, node, scale),
        zero_points=_zero_points(graph, node, zero_point, values.dtype),
        axis=axis + values.ndim if axis < 0 else axis,
    )


def quantized_constant(graph: Graph, node: Node) -> Constant:
    """The result of QuantizeLinear on a float constant. Raises NetworkError."""
    values = graph.constant(node, node.input(0))
    scales = _scales(graph, node, node.input(1))
    zero_points = _zero_points(graph, node, node.input(2), None)
    axis = node.integer("axis", 1)
    axis = axis + values.ndim if axis < 0 else axis
    if values.dtype != np.float32 or zero_points.dtype not in TYPES:
        way_out = "quantize float32 weights to int8 or uint8"
        raise node.refuse(f"{values.dtype} becomes {zero_points.dtype}", way_out)
    shape = [1] * values.ndim
    if max(len(scales), len(zero_points)) > 1:
        if not 0 <= axis < values.ndim or values.shape[axis] != len(scales):
            reason = f"{len(scales)} scales do not go with axis {axis} of {list(values.shape)}"
            raise node.refuse(reason, "give one, or one per channel")
        shape[axis] = -1
    limits = np.iinfo(zero_points.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        steps = np.rint(values / scales.reshape(shape)) + zero_points.astype(np.float32).reshape(
            shape if len(zero_points) > 1 else [1] * values.ndim
        )
    if not np.isfinite(values).all():
        raise node.refuse("weights must be finite", "train the model again")
    quantized = np.clip(steps, limits.min, limits.max).astype(zero_points.dtype)
    return Constant(quantized, scales, zero_points, axis)

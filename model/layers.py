"""Tensors and layers: frozen, and each able to say whether it fits its neighbours."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from .conv import output_extent
from .dtypes import INT32, IntType
from .errors import UserError
from .ranges import accumulator_ranges
from .requant import Requant

if TYPE_CHECKING:
    from .network import QNetwork

__all__ = ["Argmax", "Conv2d", "Layer", "NetworkError", "Tensor", "Weights", "require"]

Shape = tuple[int, int, int]


class NetworkError(UserError, ValueError):
    """A network, its file or its input breaks a rule; the message is one sentence for the user."""


def require(condition: bool, message: str) -> None:
    if not condition:
        raise NetworkError(message)


def _frozen(what: str, values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """A copy as int64 that nobody can write to. Raises TypeError for what are no integers."""
    if not np.issubdtype(np.asarray(values).dtype, np.integer):
        raise TypeError(f"{what} must be integers, not {np.asarray(values).dtype}")
    frozen = np.array(values, dtype=np.int64)
    frozen.setflags(write=False)
    return frozen


@dataclass(frozen=True)
class Tensor:
    """A named tensor: real value = scale * (q - zero_point).

    Parameters
    ----------
    shape : (H, W, C), each at least 1
    dtype : the integer type of q
    scale : positive and finite
    zero_point : within the type's range
    """

    name: str
    shape: Shape
    dtype: IntType
    scale: float
    zero_point: int

    def __post_init__(self) -> None:
        where = f"Tensor {self.name!r}"
        require(
            len(self.shape) == 3 and all(extent >= 1 for extent in self.shape),
            f"{where}: shape must be three positive extents (H, W, C), not {list(self.shape)}",
        )
        require(
            math.isfinite(self.scale) and self.scale > 0,
            f"{where}: scale must be positive and finite, not {self.scale}",
        )
        require(
            self.dtype.contains(self.zero_point),
            f"{where}: zero_point must lie in [{self.dtype.qmin}, {self.dtype.qmax}] "
            f"as {self.dtype} does, not {self.zero_point}",
        )


@dataclass(frozen=True, eq=False)
class Weights:
    """Quantized weights: real value = scale * (q - zero_point), per tensor or per output channel.

    Parameters
    ----------
    values : integers (OC, KH, KW, IC / groups), kept as int64 and read-only
    dtype : the integer type of the values, 2 to 8 bits
    scales : one, or OC of them; positive and finite
    zero_points : one, or OC of them; 0 where symmetric

    Raises TypeError where the values are no integers.
    """

    values: npt.NDArray[np.int64]
    dtype: IntType
    scales: tuple[float, ...]
    zero_points: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", _frozen("Weights", self.values))

    @cached_property
    def zero_points_per_channel(self) -> tuple[int, ...]:
        """The zero points spread out, one for each output channel."""
        channels = len(self.values)
        return self.zero_points if len(self.zero_points) > 1 else self.zero_points * channels

    @cached_property
    def centered(self) -> npt.NDArray[np.int64]:
        """Values minus their zero points, int64 (OC, KH, KW, IC / groups): what gets multiplied."""
        zero_points = np.array(self.zero_points_per_channel, dtype=np.int64)
        centered: npt.NDArray[np.int64] = self.values - zero_points[:, None, None, None]
        return centered


@dataclass(frozen=True)
class Layer:
    """What all layers have: a name, the tensors read, the tensor written."""

    kind: ClassVar[str]

    name: str
    input: str
    output: str

    def validate(self, network: QNetwork) -> None:
        """Check this layer against its tensors. Raises NetworkError."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class Conv2d(Layer):
    """A convolution with fused requantization; see ``conv.py`` for the formula.

    Parameters
    ----------
    weights : (OC, KH, KW, IC / groups)
    bias : int32 (OC,) at scale Sx * Sw
    requant : accumulator to output
    stride, dilation : (y, x), at least 1
    padding : (top, left, bottom, right), at least 0; the padded value is the input's zero point
    groups : divides IC and OC

    Raises TypeError where the bias holds no integers.
    """

    kind: ClassVar[str] = "conv2d"

    weights: Weights
    bias: npt.NDArray[np.int64]
    requant: Requant
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "bias", _frozen("Bias", self.bias))

    @property
    def out_channels(self) -> int:
        """OC."""
        return len(self.weights.values)

    @property
    def kernel(self) -> tuple[int, int]:
        """(KH, KW)."""
        return self.weights.values.shape[1], self.weights.values.shape[2]

    @property
    def macs_per_position(self) -> int:
        """Multiplies behind one output position, all channels."""
        return self.weights.values.size

    def validate(self, network: QNetwork) -> None:
        x, y = network.tensors[self.input], network.tensors[self.output]
        where = f"Layer {self.name!r}"
        self._validate_weights(where)
        require(
            min(self.stride) >= 1 and min(self.dilation) >= 1,
            f"{where}: stride and dilation must be at least 1, "
            f"not {list(self.stride)} and {list(self.dilation)}",
        )
        require(
            min(self.padding) >= 0,
            f"{where}: padding must be at least 0, not {list(self.padding)}",
        )
        self._validate_shapes(where, x, y)
        self._validate_requant(where, y)
        lo, hi = accumulator_ranges(network, self)
        require(
            INT32.contains(lo) and INT32.contains(hi),
            f"{where}: the accumulator can reach [{lo.min()}, {hi.max()}], outside int32; "
            "use fewer input channels or narrower weights",
        )

    def _validate_weights(self, where: str) -> None:
        weights = self.weights
        require(
            weights.values.ndim == 4 and weights.values.size > 0,
            f"{where}: weights must have the shape (OC, KH, KW, IC / groups), "
            f"not {list(weights.values.shape)}",
        )
        channels = self.out_channels
        require(
            2 <= weights.dtype.bits <= 8,
            f"{where}: weights must have 2 to 8 bits, not {weights.dtype.bits}",
        )
        require(
            weights.dtype.contains(weights.values),
            f"{where}: weights must lie in [{weights.dtype.qmin}, {weights.dtype.qmax}] as "
            f"{weights.dtype} does, but reach [{weights.values.min()}, {weights.values.max()}]",
        )
        for what, values in (("scales", weights.scales), ("zero_points", weights.zero_points)):
            require(
                len(values) in (1, channels),
                f"{where}: weight {what} must number 1 or {channels}, not {len(values)}",
            )
        for scale in weights.scales:
            require(
                math.isfinite(scale) and scale > 0,
                f"{where}: weight scale must be positive and finite, not {scale}",
            )
        require(
            weights.dtype.contains(weights.zero_points),
            f"{where}: weight zero_points must lie in [{weights.dtype.qmin}, "
            f"{weights.dtype.qmax}], not {list(weights.zero_points)}",
        )
        require(
            self.bias.shape == (channels,) and INT32.contains(self.bias),
            f"{where}: bias must be {channels} int32 values, not {self.bias.size} "
            "or some out of range",
        )

    def _validate_shapes(self, where: str, x: Tensor, y: Tensor) -> None:
        height, width, channels = x.shape
        oc_count, kh, kw, icg = self.weights.values.shape
        require(
            self.groups >= 1 and channels == icg * self.groups and oc_count % self.groups == 0,
            f"{where}: groups={self.groups} must divide {oc_count} output channels and split the "
            f"{channels} channels of {x.name!r} into the {icg} of the weights",
        )
        top, left, bottom, right = self.padding
        expected = (
            output_extent(height, kh, self.stride[0], (top, bottom), self.dilation[0]),
            output_extent(width, kw, self.stride[1], (left, right), self.dilation[1]),
            oc_count,
        )
        require(
            min(expected) >= 1,
            f"{where}: the kernel {kh}x{kw} does not fit the {height}x{width} map of {x.name!r}",
        )
        require(
            y.shape == expected,
            f"{where}: output {y.name!r} must have the shape {list(expected)}, not {list(y.shape)}",
        )

    def _validate_requant(self, where: str, y: Tensor) -> None:
        count = len(self.requant.multipliers)
        require(
            count in (1, self.out_channels),
            f"{where}: multipliers must number 1 or {self.out_channels}, not {count}",
        )
        require(
            y.dtype.contains((self.requant.low, self.requant.high)),
            f"{where}: the clamp [{self.requant.low}, {self.requant.high}] must lie in "
            f"[{y.dtype.qmin}, {y.dtype.qmax}] as {y.dtype} of {y.name!r} does",
        )


@dataclass(frozen=True)
class Argmax(Layer):
    """The index of the greatest channel; of equal ones the first, as in numpy and PyTorch."""

    kind: ClassVar[str] = "argmax"

    def validate(self, network: QNetwork) -> None:
        x, y = network.tensors[self.input], network.tensors[self.output]
        where = f"Layer {self.name!r}"
        require(
            x.shape[:2] == (1, 1),
            f"{where}: input {x.name!r} must be one position (1, 1, C), not {list(x.shape)}",
        )
        require(
            y.shape == (1, 1, 1) and y.dtype.qmin <= 0 and y.dtype.qmax >= x.shape[2] - 1,
            f"{where}: output {y.name!r} must be one integer that holds 0 to {x.shape[2] - 1}",
        )

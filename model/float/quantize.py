"""Post-training quantization: from a float network and calibration images to an integer network.

The scheme is gemmlowp's (Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", CVPR 2018, 2.1 and 3; gemmlowp ``doc/quantization.md``):

    activations  uint8 per tensor: min and max over the calibration images, zero included,
                 scale = (rmax - rmin) / (qmax - qmin), zero_point = round(qmin - rmin / scale)
    weights      int8 symmetric, per tensor or per output channel: scale = max|w| / 127
    multiplier   Sx * Sw / Sy as M / 2**n, see ``requant.fixed_point``

The input is raw pixels, scale 1/255 and zero point 0. A ReLU fuses into the layer before it and
raises the clamp's low end to the zero point. numpy alone, in float64; each range is rounded to
float32, so that another machine's order of summation, some 2**-50 of a value, does not reach the
result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arith import Rounding
from ..conv import Conv2d
from ..dtypes import IntType
from ..layers import Argmax, Layer, NetworkError, Tensor
from ..network import QNetwork
from ..requant import Requant, fixed_point
from ..weights import Weights
from .nets import Checkpoint
from .nets_stride3 import INPUT_SHAPE, ConvSpec, layers_of

__all__ = [
    "Options",
    "accuracy",
    "activation_parameters",
    "calibration_images",
    "float_trace",
    "quantize",
    "quantize_weights",
]

UINT8 = IntType(8, signed=False)
INT8 = IntType(8, signed=True)
BATCH = 500  # images at once in the float network

Array = npt.NDArray[Any]
Float64s = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Options:
    """What there is to choose.

    Parameters
    ----------
    per_channel : one weight scale for each output channel instead of one for the tensor
    multiplier_bits : the width of the largest M, 1 to 31
    rounding : of acc * M / 2**n
    """

    per_channel: bool = False
    multiplier_bits: int = 16
    rounding: Rounding = Rounding.HALF_UP

    def __post_init__(self) -> None:
        if not 1 <= self.multiplier_bits <= 31:
            raise NetworkError(f"multiplier bits must be 1 to 31, not {self.multiplier_bits}")


def tensor_names(specs: Sequence[ConvSpec]) -> list[str]:
    """The activations' names: image, then each layer's output by the layer, the last one logits."""
    return ["image", *(spec.name for spec in specs[:-1]), "logits"]


def float_trace(checkpoint: Checkpoint, images: npt.NDArray[np.uint8]) -> dict[str, Float64s]:
    """Run the float network in float64.

    Parameters
    ----------
    images : uint8 (N, 28, 28); the pixel p stands for p / 255

    Returns every activation by name, float64 (N, H, W, C), ReLU applied where there is one.
    """
    specs = layers_of(checkpoint.network)
    names = tensor_names(specs)
    parts: list[dict[str, Float64s]] = []
    for start in range(0, max(len(images), 1), BATCH):
        x = images[start : start + BATCH, :, :, np.newaxis] / 255.0
        values = {"image": x}
        for spec, name in zip(specs, names[1:], strict=True):
            x = values[name] = _convolve(x, checkpoint.state[f"{spec.name}.weight"], spec)
        parts.append(values)
    return {name: np.concatenate([part[name] for part in parts]) for name in names}


def _convolve(x: Float64s, weights: npt.NDArray[np.float32], spec: ConvSpec) -> Float64s:
    """One convolution with stride = kernel, and its ReLU: (N, H, W, IC) -> (N, OH, OW, OC)."""
    n, height, width, channels = x.shape
    k, groups = spec.kernel, spec.groups
    oh, ow = height // k, width // k
    patches = x[:, : oh * k, : ow * k].reshape(n, oh, k, ow, k, groups, channels // groups)
    kernels = weights.astype(np.float64).reshape(groups, -1, *weights.shape[1:])  # g oc ic ky kx
    y: Float64s = np.einsum("nyixjgc,gocij->nyxgo", patches, kernels, optimize=True)
    y = y.reshape(n, oh, ow, spec.out_channels)
    return np.maximum(y, 0.0) if spec.relu else y


def activation_parameters(rmin: float, rmax: float, dtype: IntType) -> tuple[float, int]:
    """The scale and zero point of an activation that reaches from ``rmin`` to ``rmax``.

    Zero is taken into the range, so that it is exactly an integer. Raises NetworkError where the
    range is then empty.
    """
    rmin, rmax = min(rmin, 0.0), max(rmax, 0.0)
    if rmin == rmax:
        raise NetworkError("all its calibration values are 0; train the network again")
    scale = (rmax - rmin) / (dtype.qmax - dtype.qmin)
    zero_point = round(dtype.qmin - rmin / scale)
    return scale, min(max(zero_point, dtype.qmin), dtype.qmax)


def quantize_weights(values: npt.NDArray[np.float32], per_channel: bool) -> Weights:
    """Quantize weights (OC, IC / groups, KH, KW) to int8 (OC, KH, KW, IC / groups), symmetric.

    Rounds to the nearest, ties to even, so that max|w| becomes 127. Raises NetworkError where a
    tensor or channel is all 0.
    """
    exact = values.astype(np.float64).transpose(0, 2, 3, 1)
    axes = (1, 2, 3) if per_channel else None
    scales = np.abs(exact).max(axis=axes, keepdims=True) / INT8.qmax
    if not scales.all():
        raise NetworkError(
            "its weights are all 0, in one channel at least; train the network again"
        )
    return Weights(
        values=np.rint(exact / scales).astype(np.int64),
        dtype=INT8,
        scales=tuple(scales.ravel().tolist()),
        zero_points=(0,) * scales.size,
    )


def quantize(
    checkpoint: Checkpoint, images: npt.NDArray[np.uint8], options: Options | None = None
) -> QNetwork:
    """Quantize a trained network by what it computes on calibration images.

    Parameters
    ----------
    images : uint8 (N, 28, 28), N at least 1

    Returns the integer network, named like the float one: its convolutions, then an argmax that
    writes the tensor ``class``. The same arguments give the same network on any machine. Raises
    NetworkError that names the layer where a range is empty or a multiplier cannot be had.
    """
    options = options or Options()
    specs = layers_of(checkpoint.network)
    names = tensor_names(specs)
    floats = float_trace(checkpoint, images)
    tensors = {"image": Tensor("image", INPUT_SHAPE, UINT8, 1 / 255, 0)}
    layers: list[Layer] = []
    for spec, source, name in zip(specs, names[:-1], names[1:], strict=True):
        try:
            tensors[name] = _activation(name, floats[name])
            weights = checkpoint.state[f"{spec.name}.weight"]
            layers.append(_layer(spec, weights, tensors[source], tensors[name], options))
        except ValueError as error:
            raise NetworkError(f"Layer {spec.name!r}: {error}") from None
    tensors["class"] = Tensor("class", (1, 1, 1), IntType(4, signed=False), 1.0, 0)
    layers.append(Argmax("argmax", names[-1], "class"))
    return QNetwork(checkpoint.network, "image", tensors, layers)


def _activation(name: str, values: Float64s) -> Tensor:
    _, height, width, channels = values.shape
    rmin, rmax = (float(np.float32(extreme)) for extreme in (values.min(), values.max()))
    scale, zero_point = activation_parameters(rmin, rmax, UINT8)
    return Tensor(name, (height, width, channels), UINT8, scale, zero_point)


def _layer(
    spec: ConvSpec, values: npt.NDArray[np.float32], x: Tensor, y: Tensor, options: Options
) -> Conv2d:
    weights = quantize_weights(values, options.per_channel)
    factors = [x.scale * scale / y.scale for scale in weights.scales]
    multipliers, shift = fixed_point(factors, options.multiplier_bits)
    return Conv2d(
        name=spec.name,
        input=x.name,
        output=y.name,
        weights=weights,
        bias=np.zeros(spec.out_channels, dtype=np.int64),
        requant=Requant(
            multipliers=multipliers,
            shift=shift,
            rounding=options.rounding,
            low=y.zero_point if spec.relu else UINT8.qmin,
            high=UINT8.qmax,
        ),
        stride=(spec.kernel, spec.kernel),
        groups=spec.groups,
    )


def accuracy(scores: Array, labels: npt.NDArray[np.uint8]) -> float:
    """The part of the images whose greatest score, the first of equals, is the label's.

    Parameters
    ----------
    scores : (N, classes), or (N, 1, 1, classes)
    labels : uint8 (N,)
    """
    return float((scores.reshape(len(labels), -1).argmax(axis=1) == labels).mean())


def calibration_images(
    images: npt.NDArray[np.uint8], count: int, seed: int
) -> npt.NDArray[np.uint8]:
    """Draw ``count`` of the images (N, 28, 28) by ``seed``, the same ones in every numpy.

    Raises NetworkError where ``count`` is below 1 or beyond N.
    """
    if not 1 <= count <= len(images):
        raise NetworkError(f"calibration images must number 1 to {len(images)}, not {count}")
    order = np.random.RandomState(seed).permutation(len(images))  # its stream is frozen (NEP 19)
    return images[np.sort(order[:count])]

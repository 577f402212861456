"""The modules of a converted torch.ao network as integer layers.

==============================  ====================================================================
nnq.Conv2d, nniq.ConvReLU2d     weights and bias unchanged; padding of zeros
nnq.Linear, nniq.LinearReLU     of vectors, in any order
MaxPool2d, AvgPool2d            without ceil_mode; padding counts in the average
AdaptiveAvgPool2d               to one position
nnq.QFunctional                 add and add_relu; cat of channels
ReLU, nnq.ReLU6                 a clamp
Flatten, Unflatten              of all axes except the batch; ``ordered.py`` keeps the order
==============================  ====================================================================
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.ao.nn import quantized as nnq
from torch.ao.nn.intrinsic import quantized as nniq

from ...builder import Grid, Output, Policy, Window
from ...dtypes import INT8, UINT8, Bounds
from ...layers import Layer, Tensor
from ...layers.weights import Weights, channels_last
from ...names import identifier
from ...ordered import Ordered, OrderedBuilder
from ...requant import Requant
from .concat import cat
from .engines import Bias
from .run import Step

__all__ = ["Answer", "add_input", "add_step", "bias_of"]


# (the step, and the arguments of a Policy) -> the requantization
Answer = Callable[[Step, Layer, tuple[Tensor, ...], Tensor, Bounds], Requant]


def _float32(step: Step, scale: float) -> float:
    """Check that a scale is a positive float32, as the engines use it."""
    if not 0 < scale < float("inf") or float(np.float32(scale)) != scale:
        raise step.refuse(
            f"its scale {scale} is no positive float32", "let an observer choose the scale"
        )
    return scale


def _grid(step: Step) -> Grid:
    """The grid of a step's output."""
    value = step.output
    if value.dtype != torch.quint8 or value.integers is None:
        raise step.refuse(f"its output is {value.dtype}", "choose quint8 activations")
    return Grid(UINT8, _float32(step, value.scale), value.zero_point)


def add_input(builder: OrderedBuilder, step: Step) -> Ordered:
    """Declare the output of the QuantStub as the network's input."""
    if len(step.output.shape) not in (2, 4):
        raise step.refuse(
            f"its output has the shape {list(step.output.shape)}", "give images (N, C, H, W)"
        )
    return builder.input(step.output.shape[1:], _grid(step))


def _weights(step: Step) -> Weights:
    """A layer's weights, input channels last."""
    weight = step.module.weight()  # (OC, IC / groups, KH, KW) or (OC, F)
    if weight.dtype != torch.qint8:
        raise step.refuse(f"its weights are {weight.dtype}", "choose qint8 weights")
    if weight.qscheme() == torch.per_channel_affine:
        scales = weight.q_per_channel_scales().tolist()
        zero_points = weight.q_per_channel_zero_points().tolist()
    else:
        scales, zero_points = [weight.q_scale()], [weight.q_zero_point()]
    values = weight.int_repr().numpy()
    return Weights(
        values=channels_last(values),
        dtype=INT8,
        scales=tuple(_float32(step, scale) for scale in scales),
        zero_points=tuple(zero_points),
    )


def bias_of(step: Step) -> Bias | None:
    """A layer's bias; None if there is none, or all of it is 0."""
    bias = step.module.bias()
    if bias is None or not bias.any():
        return None
    if not bias.isfinite().all():
        raise step.refuse("its bias is not finite", "save the module again")
    per_channel = step.module.weight().qscheme() == torch.per_channel_affine
    return Bias(bias.detach().numpy().astype(np.float32), per_channel)


def _output(step: Step, rescale: Policy, relu: bool = False) -> Output:
    """A step's output, with a clamp at real 0 if ``relu``."""
    grid = _grid(step)
    return Output(grid, rescale, (grid.zero_point if relu else UINT8.qmin, UINT8.qmax))


def _conv2d(builder: OrderedBuilder, step: Step, x: Ordered, rescale: Policy) -> Ordered:
    module = step.module
    if module.padding_mode != "zeros":
        raise step.refuse(f"padding_mode {module.padding_mode!r} is not supported", "use 'zeros'")
    output = _output(step, rescale, isinstance(module, nniq.ConvReLU2d))
    weights = _weights(step)
    top, left = module.padding
    return builder.conv2d(
        identifier(step.name),
        x,
        weights,
        np.zeros(len(weights.values), dtype=np.int64),
        output,
        window=Window(tuple(module.stride), (top, left, top, left), tuple(module.dilation)),
        groups=module.groups,
    )


def _linear(builder: OrderedBuilder, step: Step, x: Ordered, rescale: Policy) -> Ordered:
    output = _output(step, rescale, isinstance(step.module, nniq.LinearReLU))
    if len(step.output.shape) != 2:
        raise step.refuse(
            f"its output has the shape {list(step.output.shape)}", "put nn.Flatten before it"
        )
    weights = _weights(step)
    bias = np.zeros(len(weights.values), dtype=np.int64)
    return builder.linear(identifier(step.name), x, weights, bias, output)


def _pair(value: Any) -> tuple[int, int]:
    first, second = value if isinstance(value, tuple | list) else (value, value)
    return int(first), int(second)


def _window(step: Step) -> tuple[tuple[int, int], Window]:
    """The kernel and the geometry of a pool."""
    module = step.module
    if module.ceil_mode:
        raise step.refuse("ceil_mode is not supported", "pad the map instead")
    if _pair(getattr(module, "dilation", 1)) != (1, 1):
        raise step.refuse("a dilated pool is not supported", "use dilation=1")
    kernel = _pair(module.kernel_size)
    (sy, sx), (top, left) = _pair(module.stride), _pair(module.padding)
    return kernel, Window((sy, sx), (top, left, top, left))


def _max_pool(builder: OrderedBuilder, step: Step, x: Ordered, rescale: Policy) -> Ordered:
    kernel, window = _window(step)
    return builder.max_pool2d(identifier(step.name), x, kernel, window)


def _avg_pool(builder: OrderedBuilder, step: Step, x: Ordered, rescale: Policy) -> Ordered:
    module = step.module
    if isinstance(module, nn.AdaptiveAvgPool2d):
        if step.output.shape[2:] != (1, 1):
            raise step.refuse(
                f"its output has the shape {list(step.output.shape)}", "use AdaptiveAvgPool2d(1)"
            )
        if not step.inputs[0].channels_last:
            raise step.refuse(
                "it averages channels-first memory, which PyTorch rounds by another rule",
                "put a convolution before it, or AvgPool2d in its place",
            )
        kernel, window = (x.dims[1], x.dims[2]), Window()
    else:
        kernel, window = _window(step)
        if not module.count_include_pad and any(window.padding):
            raise step.refuse("count_include_pad=False is not supported", "let the padding count")
        if module.divisor_override is not None:
            raise step.refuse("divisor_override is not supported", "leave it out")
    output = Output(_grid(step), rescale)
    return builder.avg_pool2d(identifier(step.name), x, kernel, window, output)


def _relu(builder: OrderedBuilder, step: Step, x: Ordered, rescale: Policy) -> Ordered:
    grid, high = _grid(step), UINT8.qmax
    if isinstance(step.module, nnq.ReLU6):
        six = torch.quantize_per_tensor(
            torch.tensor([6.0]), grid.scale, grid.zero_point, torch.quint8
        )
        high = int(six.int_repr())
    return builder.relu(identifier(step.name), x, grid.zero_point, high)


def _reshape(builder: OrderedBuilder, step: Step, x: Ordered, rescale: Policy) -> Ordered:
    batch, *dims = step.output.shape
    if batch != step.inputs[0].shape[0] or math.prod(dims) != x.places.size:
        raise step.refuse(f"its output has the shape {[batch, *dims]}", "flatten all but the batch")
    return x.reshaped(dims, identifier(step.name))


def _add(builder: OrderedBuilder, step: Step, a: Ordered, b: Ordered, rescale: Policy) -> Ordered:
    output = _output(step, rescale, step.function == "add_relu")
    return builder.add(identifier(step.name), a, b, output)


def _functional(builder: OrderedBuilder, step: Step, *rest: Any) -> Ordered:
    *inputs, rescale = rest
    if step.function == "cat":
        return cat(builder, step, inputs, _grid(step), rescale)
    if step.function not in ("add", "add_relu"):
        reason = f"{step.function} of a FloatFunctional is not supported"
        raise step.refuse(reason, "use add or cat")
    a, b = inputs
    return _add(builder, step, a, b, rescale)


OPERATORS: dict[type[nn.Module], Callable[..., Ordered]] = {
    nnq.Conv2d: _conv2d,
    nniq.ConvReLU2d: _conv2d,
    nnq.Linear: _linear,
    nniq.LinearReLU: _linear,
    nn.MaxPool2d: _max_pool,
    nn.AvgPool2d: _avg_pool,
    nn.AdaptiveAvgPool2d: _avg_pool,
    nn.ReLU: _relu,
    nnq.ReLU6: _relu,
    nn.Flatten: _reshape,
    nn.Unflatten: _reshape,
    nnq.QFunctional: _functional,
}


def add_step(builder: OrderedBuilder, step: Step, inputs: list[Ordered], answer: Answer) -> Ordered:
    """Add the layer of a step. Raises NetworkError, which names an unsupported layer."""
    kind = type(step.module)
    if kind not in OPERATORS:
        raise step.refuse(
            f"{kind.__name__} is not supported",
            "there are Conv2d, Linear, ReLU, ReLU6, MaxPool2d, AvgPool2d, AdaptiveAvgPool2d, "
            "Flatten, Unflatten, Dropout and FloatFunctional's add and cat, batch norm fused by "
            "fuse_modules",
        )
    return OPERATORS[kind](builder, step, *inputs, partial(answer, step))

"""Fake quantization: values rounded to an integer grid in the forward pass, but stored as reals.

    y = S * (clamp(round(x / S) + Z, qmin, qmax) - Z)

In the backward pass the straight-through estimator treats the rounding as the identity: the
gradient passes where nothing was clamped and is 0 elsewhere (Bengio, Leonard and Courville,
"Estimating or Propagating Gradients Through Stochastic Neurons", 2013; Jacob et al., CVPR 2018, 3).
The step S comes from an observed range, or is learned (Esser et al., "Learned Step Size
Quantization", ICLR 2020, 2.1):

    dy/dS = round(x / S) - x / S  if nothing was clamped,  qmin - Z or qmax - Z  otherwise,

times 1 / sqrt(n * qmax) for n values per step. The parameter is the ratio of the step to the
observed one. It starts at 1, so one learning rate suits steps of any size. Grids are those of
``schemes.Scheme``: float64 scales from float32 ranges.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ...builder import Grid
from ...dtypes import Integers
from ...layers import NetworkError
from ..ptq.observers import MOMENTUM, extremes_of
from ..ptq.schemes import Scheme

__all__ = ["FakeQuantize", "marker"]

FOLLOWING = ("minmax", "moving")  # observers that continue during training; others search once
LEAST_RATIO = 2.0**-10  # of a learned step to the observed one; keeps the step positive

Floats = npt.NDArray[np.float64]


def _copy(x: torch.Tensor) -> torch.Tensor:
    return x.clone()


# An exported program has this operator in the place of a FakeQuantize.
marker = torch.library.custom_op("tercet::fake_quantize", _copy, mutates_args=())
marker.register_fake(torch.empty_like)


class _Quantize(torch.autograd.Function):
    """The formulas of the module docstring; ``low`` and ``high`` are qmin - Z and qmax - Z."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        step: torch.Tensor,
        low: torch.Tensor,
        high: torch.Tensor,
        gradient_scale: float,
    ) -> torch.Tensor:
        levels = torch.round(x / step)
        kept = torch.minimum(torch.maximum(levels, low), high)
        ctx.gradient_scale = gradient_scale
        if ctx.needs_input_grad[1]:
            ctx.save_for_backward(
                kept == levels, torch.where(kept == levels, kept - x / step, kept)
            )
        else:
            ctx.save_for_backward(kept == levels)
        ctx.step_shape = step.shape
        return kept * step

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = gradients
        inside, *slopes = ctx.saved_tensors
        if not slopes:
            return gradient * inside, None, None, None, None
        of_step = (gradient * slopes[0]).sum_to_size(ctx.step_shape) * ctx.gradient_scale
        return gradient * inside, of_step, None, None, None


class FakeQuantize(nn.Module):
    """Fake quantization of one tensor; see the module docstring.

    In training mode it observes, and quantizes after ``delay`` steps. In evaluation mode it only
    quantizes.

    Parameters
    ----------
    scheme : ``minmax`` and ``moving`` follow the training: activations by a moving average of the
        batches' extremes, weights by their present extremes. ``percentile`` and ``mse`` use only
        the first batch, unless :meth:`set_range` was called before
    channels : the number of scales, along the first axis; 1 for a single scale
    weights : whether the values are weights: they use the scheme's ends, and the range follows at
        once
    delay : training steps in which values pass unchanged
    learned : whether the step is learned, starting from the range observed by the end of the delay;
        the zero point stays fixed
    """

    low: torch.Tensor
    high: torch.Tensor
    count: torch.Tensor
    ready: torch.Tensor
    frozen: torch.Tensor

    def __init__(
        self,
        scheme: Scheme,
        channels: int = 1,
        *,
        weights: bool = False,
        delay: int = 0,
        learned: bool = False,
    ) -> None:
        super().__init__()
        self.scheme, self.delay, self.weights = scheme, delay, weights
        self.register_buffer("low", torch.zeros(channels))
        self.register_buffer("high", torch.zeros(channels))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.register_buffer("ready", torch.zeros((), dtype=torch.bool))
        self.register_buffer("frozen", torch.zeros((), dtype=torch.bool))
        self.ratio = nn.Parameter(torch.ones(channels)) if learned else None

    def freeze(self) -> None:
        """Keep the observed range from now on; a learned step is still learned."""
        self.frozen.fill_(True)

    def set_range(self, low: Any, high: Any) -> None:
        """Set the range, as numbers or arrays (channels,); a learned step starts from it."""
        for buffer, values in ((self.low, low), (self.high, high)):
            buffer.copy_(torch.as_tensor(values, dtype=torch.float32))
        self.ready.fill_(True)
        if self.ratio is not None:
            with torch.no_grad():
                self.ratio.fill_(1.0)

    def grids(self) -> tuple[Floats, Integers]:
        """The scales, float64 (channels,), and the zero points. Raises NetworkError."""
        if not self.ready:
            raise NetworkError(
                "its range is not known yet; run images through the network in training mode first"
            )
        scales, zero_points = self._observed_grids()
        if self.ratio is not None:
            scales = scales * _float32(self.ratio.detach().clamp_min(LEAST_RATIO))
        return scales, zero_points

    def grid(self) -> Grid:
        """The grid of a tensor with one scale. Raises NetworkError if it is not known yet."""
        scales, zero_points = self.grids()
        return Grid(self.scheme.dtype, float(scales[0]), int(zero_points[0]))

    def _observed_grids(self) -> tuple[Floats, Integers]:
        low, high = np.minimum(_float32(self.low), 0), np.maximum(_float32(self.high), 0)
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            raise NetworkError("its range is not finite; train at a lower rate")
        empty = high == low
        if empty.all():
            raise NetworkError("all its values are 0; train the network again")
        high = np.where(empty, 1, high)
        scales, zero_points = self.scheme.grids(low, high)
        # as in weights.quantize_weights, a channel of zeros takes the largest scale of the others
        scales[empty], zero_points[empty] = scales[~empty].max(), 0
        return scales, zero_points

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.compiler.is_exporting():
            marked: torch.Tensor = marker(x)
            return marked
        if self._observes():
            self.observe(x.detach())
        if self.training:
            self.count += 1
        return x if self.passes else self.quantized(x)

    @property
    def passes(self) -> bool:
        """Whether values pass unchanged because the delay is not over."""
        return bool(self.training and self.count <= self.delay)

    def _observes(self) -> bool:
        if not self.ready:
            return self.training or self.weights
        if not self.training or self.frozen:
            return False
        if self.ratio is not None:
            return bool(self.count < self.delay)
        return self.scheme.observer in FOLLOWING

    def observe(self, x: torch.Tensor) -> None:
        """Observe values: the range follows them, or a search on them finds it."""
        channels = len(self.low)
        rows = x.reshape(channels, -1)
        if self.scheme.observer in FOLLOWING:
            low, high = (ends.numpy() for ends in torch.aminmax(rows, dim=1))
            if not self.weights and self.ready:
                low, high = (
                    before.numpy() + MOMENTUM * (new - before.numpy())
                    for before, new in ((self.low, low), (self.high, high))
                )
        else:
            found = [extremes_of(row.double().numpy(), self.scheme) for row in rows]
            low, high = np.array(found).T
        self.set_range(low, high)

    def quantized(self, x: torch.Tensor) -> torch.Tensor:
        """The values on the grid, with the module docstring's gradients; does not observe."""
        scales, zero_points = self.grids()
        shape = (-1,) + (1,) * (x.ndim - 1) if len(scales) > 1 else (1,) * x.ndim
        qmin, qmax = self.scheme.ends if self.weights else _ends(self.scheme)
        low, high = (
            torch.from_numpy(end - zero_points).to(x.dtype).reshape(shape) for end in (qmin, qmax)
        )
        step = torch.from_numpy(scales)
        if self.ratio is not None:  # the same step, with a gradient
            base = torch.from_numpy(self._observed_grids()[0])
            step = base * self.ratio.double().clamp_min(LEAST_RATIO)
        values = x.numel() / (len(scales) if self.weights else len(x))
        scale = (values * self.scheme.ends[1]) ** -0.5
        y: torch.Tensor = _Quantize.apply(x, step.to(x.dtype).reshape(shape), low, high, scale)
        return y


def _ends(scheme: Scheme) -> tuple[int, int]:
    return scheme.dtype.qmin, scheme.dtype.qmax


def _float32(values: torch.Tensor) -> Floats:
    """Round to float32 and return float64; modules may run in float64."""
    exact: Floats = values.numpy().astype(np.float32).astype(np.float64)
    return exact

"""Convolutions and linear layers with fake-quantized weights and folded batch norm.

While a batch norm's statistics follow the batches, the weights are folded with the running
statistics, so that their grid does not change with each batch, and the output is rescaled to the
batch's statistics (Jacob et al., CVPR 2018, 3.2; Krishnamoorthi, "Quantizing deep convolutional
networks for efficient inference", 2018, 3.2.2; PyTorch's ``torch.ao.nn.intrinsic.qat.ConvBn2d``):

    k = gamma / sqrt(running_var + eps)
    y = batch_norm(conv(x, fake_quantize(w * k)) / k + b)      during training
    y = conv(x, fake_quantize(w * k)) + (b - mean) * k + beta  once frozen, and in evaluation
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from ...layers import NetworkError
from ...layers.weights import Weights
from ..ptq import graph as g
from ..ptq.graph import Floats
from ..ptq.schemes import Scheme
from ..ptq.weights import weights_on
from .fake_quant import FakeQuantize

__all__ = ["FoldedLayer", "GraphLayer", "QatConv2d", "QatLinear"]

# (input, weight, bias) -> output
Operator = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]

LEAST_GAIN = 1e-12  # the smallest gain of a batch norm that is used as a divisor


class FoldedLayer(nn.Module):
    """Weights, an optional bias, an optional batch norm, and the weights' fake quantization."""

    weight: torch.Tensor
    bias: torch.Tensor | None
    statistics_frozen: torch.Tensor

    def fold_in(
        self,
        norm: nn.BatchNorm2d | nn.BatchNorm1d | None,
        scheme: Scheme,
        delay: int,
        learned: bool,
    ) -> None:
        """Add batch norm and fake quantization. Raises NetworkError for an unsuitable norm."""
        if norm is not None and (norm.running_mean is None or norm.momentum is None):
            raise NetworkError(
                "A batch norm that folds must track running statistics by a momentum; build it "
                "with track_running_stats=True and a number"
            )
        if scheme.bits > 8:
            raise NetworkError(f"weights must have 2 to 8 bits, not {scheme.bits}")
        channels = len(self.weight) if scheme.per_channel else 1
        self.norm = norm
        self.quantize = FakeQuantize(scheme, channels, weights=True, delay=delay, learned=learned)
        self.register_buffer("statistics_frozen", torch.zeros((), dtype=torch.bool))

    def freeze(self) -> None:
        """Keep the batch norm's statistics and the weights' range from now on."""
        self.statistics_frozen.fill_(True)
        self.quantize.freeze()

    def folded(self, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        """Weight and bias folded with the running statistics; see ``graph.Weighted.folded``."""
        weight, bias = self.weight.to(dtype), self._bias(dtype)
        if self.norm is None:
            return weight, bias
        gain, mean = self._gain(dtype), self.norm.running_mean.to(dtype)
        bias = (bias - mean) * gain
        return _rows(gain, weight) * weight, bias + _or(self.norm.bias, 0.0, bias)

    def numbers(self) -> tuple[Floats, Floats]:
        """Weight and bias as in :meth:`folded`, in float64, for lowering."""
        weight, bias = self.folded(torch.float64)
        return weight.detach().numpy().copy(), bias.detach().numpy().copy()

    def integers(self) -> Weights:
        """The quantized weights; a linear layer's are (OC, 1, 1, IC). Raises NetworkError."""
        weight, _ = self.numbers()
        if not self.quantize.ready:
            self.quantize.observe(torch.from_numpy(weight))
        return weights_on(weight, *self.quantize.grids(), self.quantize.scheme)

    def through(self, operator: Operator, x: torch.Tensor) -> torch.Tensor:
        """The layer's output for ``x``; ``operator`` computes the sums."""
        norm = self.norm
        if norm is None or not self.training or self.statistics_frozen:
            weight, bias = self.folded(x.dtype)
            return operator(x, self.quantize(weight), bias)
        gain = self._gain(x.dtype)
        weight = self.quantize(_rows(gain, self.weight) * self.weight)
        y = operator(x, weight, torch.zeros_like(gain))
        safe = torch.where(gain.abs() < LEAST_GAIN, torch.full_like(gain, LEAST_GAIN), gain)
        shape = (1, -1) + (1,) * (y.ndim - 2)
        y = y / safe.reshape(shape) + self._bias(x.dtype).reshape(shape)
        return functional.batch_norm(
            y,
            norm.running_mean,
            norm.running_var,
            norm.weight,
            norm.bias,
            True,
            norm.momentum,
            norm.eps,
        )

    def _gain(self, dtype: torch.dtype) -> torch.Tensor:
        assert self.norm is not None
        var = self.norm.running_var.to(dtype)
        return _or(self.norm.weight, 1.0, var) / torch.sqrt(var + self.norm.eps)

    def _bias(self, dtype: torch.dtype) -> torch.Tensor:
        return _or(self.bias, 0.0, self.weight.new_empty(len(self.weight), dtype=dtype))


def _or(values: torch.Tensor | None, default: float, like: torch.Tensor) -> torch.Tensor:
    """The values, or a default with the shape and dtype of ``like``."""
    return torch.full_like(like, default) if values is None else values.to(like.dtype)


def _rows(values: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return values.reshape((-1,) + (1,) * (weight.ndim - 1))


class GraphLayer(FoldedLayer):
    """The trainable weights of a fused graph's node.

    quantize : see ``fake_quant.FakeQuantize``
    """

    def __init__(self, node: g.Weighted, scheme: Scheme, *, delay: int, learned: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.from_numpy(node.weight).float())
        # a bias before a batch norm only changes its mean
        trained = node.norm is None and node.bias.any()
        bias = torch.from_numpy(node.bias).float()
        self.bias = nn.Parameter(bias, requires_grad=bool(trained))
        self.fold_in(_norm_of(node.norm), scheme, delay, learned)


def _norm_of(norm: g.Norm | None) -> nn.BatchNorm2d | None:
    if norm is None:
        return None
    module = nn.BatchNorm2d(len(norm.mean), norm.eps, norm.momentum)
    state = {
        "weight": norm.gamma,
        "bias": norm.beta,
        "running_mean": norm.mean,
        "running_var": norm.var,
    }
    module.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()}, strict=False)
    return module


class _QatModule(FoldedLayer):
    """A module of PyTorch with fake-quantized weights."""

    def __init__(
        self,
        *args: int,
        scheme: Scheme,
        norm: nn.BatchNorm2d | nn.BatchNorm1d | None = None,
        delay: int = 0,
        learned: bool = False,
        **options: object,
    ) -> None:
        super().__init__(*args, **options)
        self.fold_in(norm, scheme, delay, learned)

    def operator(self, x: Any, weight: Any, bias: Any) -> torch.Tensor:
        """The module's own operator."""
        raise NotImplementedError

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.compiler.is_exporting():
            y = self.operator(x, self.weight, self.bias)
            return y if self.norm is None else self.norm(y)
        return self.through(self.operator, x)


class QatConv2d(_QatModule, nn.Conv2d):
    """``nn.Conv2d`` with fake-quantized weights, for use by hand; in addition to its arguments:

    scheme : of the weights
    norm : a batch norm that follows; it is folded in
    delay, learned : as in ``FakeQuantize``
    """

    def operator(self, x: Any, weight: Any, bias: Any) -> torch.Tensor:
        return self._conv_forward(x, weight, bias)


class QatLinear(_QatModule, nn.Linear):
    """``nn.Linear`` with fake-quantized weights; see :class:`QatConv2d`."""

    def operator(self, x: Any, weight: Any, bias: Any) -> torch.Tensor:
        return functional.linear(x, weight, bias)

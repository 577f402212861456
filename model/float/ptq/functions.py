"""Activation functions of one value, and the tables of integers that they become.

    table[q] = clamp(round(f(Sx * (q - Zx)) / Sy) + Zy), ties to even

The argument is an exact rational. Functions of rational pieces (LeakyReLU, HardSwish, HardSigmoid)
are exact too; the others are computed in float64 and then divided and rounded exactly. Definitions:
PyTorch's ``torch.nn`` documentation of the modules with these names.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from ...builder import Grid
from ...dtypes import Integers

if TYPE_CHECKING:
    import torch

__all__ = ["FUNCTIONS", "Function", "tabulate"]

Number = Fraction | float


@dataclass(frozen=True)
class Function:
    """A function of one value.

    name : a key of ``FUNCTIONS``
    parameters : the numbers that its definition takes after the value
    """

    name: str
    parameters: tuple[float, ...] = ()

    def __call__(self, x: Fraction) -> Number:
        """The value at ``x``."""
        return FUNCTIONS[self.name](x, *self.parameters)

    def of_tensor(self, x: torch.Tensor) -> torch.Tensor:
        """The values of a tensor, by PyTorch, with a gradient."""
        from torch.nn import functional

        if self.name == "line":
            slope, offset = self.parameters
            return (x * slope + offset).clamp(0, 1)
        if self.name == "gelu_tanh":
            return functional.gelu(x, approximate="tanh")
        y: torch.Tensor = getattr(functional, self.name)(x, *self.parameters)
        return y


def tabulate(function: Function, x: Grid, y: Grid) -> Integers:
    """The output integer for each integer of the input's type, int64 (2**bits,), ascending.

    x, y : the grids of input and output
    """
    sx, sy = Fraction(x.scale), Fraction(y.scale)
    real = (function(sx * (q - x.zero_point)) for q in range(x.dtype.qmin, x.dtype.qmax + 1))
    rounded = [round(Fraction(value) / sy) + y.zero_point for value in real]
    return np.array([min(max(q, y.dtype.qmin), y.dtype.qmax) for q in rounded], dtype=np.int64)


def _leaky_relu(x: Fraction, slope: float) -> Number:
    return x if x >= 0 else x * Fraction(slope)


def _hardsigmoid(x: Fraction) -> Fraction:
    return min(max(x + 3, Fraction(0)), Fraction(6)) / 6


def _line(x: Fraction, slope: float, offset: float) -> Fraction:
    return min(max(x * Fraction(slope) + Fraction(offset), Fraction(0)), Fraction(1))


def _hardswish(x: Fraction) -> Number:
    return x * _hardsigmoid(x)


def _sigmoid(x: Fraction) -> float:
    small = math.exp(-abs(float(x)))  # never overflows
    return (1 if x >= 0 else small) / (1 + small)


def _tanh(x: Fraction) -> float:
    return math.tanh(x)


def _silu(x: Fraction) -> float:
    return float(x) * _sigmoid(x)


def _gelu(x: Fraction) -> float:
    return float(x) * math.erfc(-float(x) / math.sqrt(2)) / 2


def _gelu_tanh(x: Fraction) -> float:
    value = float(x)
    return value * (1 + math.tanh(math.sqrt(2 / math.pi) * (value + 0.044715 * value**3))) / 2


def _elu(x: Fraction, alpha: float) -> Number:
    return x if x >= 0 else alpha * math.expm1(x)


FUNCTIONS: dict[str, Callable[..., Number]] = {
    "leaky_relu": _leaky_relu,
    "hardsigmoid": _hardsigmoid,
    "line": _line,
    "hardswish": _hardswish,
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "silu": _silu,
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "elu": _elu,
}

"""Any function of one value as a table, for activations that no clamp expresses.

    y = values[x - first]

``values`` has the output for each integer that the input can have, ``first`` for the least of them.
A table is exact by construction: its author rounds each entry once. It represents LeakyReLU, PReLU
with one slope, HardSwish, Sigmoid, HardSigmoid, Tanh, SiLU, GELU and ELU. Engines do the same for 8
bits: TFLite's ``LUTPopulate`` (``kernels/internal/common.h``), ONNX Runtime's
``QLinearLookupBase`` (``contrib_ops/cpu/quantization/qlinear_lookup_table.cc``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ..dtypes import Array, Bounds, Integers
from .layer import Layer, require_shape
from .tensor import Values, require

__all__ = ["MAX_BITS", "Table", "look_up"]

MAX_BITS = 10  # of the input: 1024 rows of a ROM


@dataclass(frozen=True, kw_only=True)
class Table(Layer):
    """A function of one value; see the module docstring.

    Parameters
    ----------
    first : the input value of the first entry
    values : the output for ``first``, ``first`` + 1 and so on; at least for each value that the
        input can have
    """

    kind: ClassVar[str] = "table"

    first: int
    values: tuple[int, ...]

    def within(self, low: int, high: int) -> Sequence[int]:
        """The outputs for the inputs from ``low`` to ``high``."""
        return self.values[low - self.first : high - self.first + 1]

    def value_range(self, network: Values) -> tuple[int, int]:
        outputs = self.within(*network.value_range(self.input))
        return min(outputs), max(outputs)

    def changes_nothing(self, network: Values) -> bool:
        x, y = network.tensors[self.input], network.tensors[self.output]
        low, high = network.value_range(self.input)
        return x.dtype == y.dtype and tuple(self.within(low, high)) == tuple(range(low, high + 1))

    def compute(self, network: Values, *inputs: Array) -> Array:
        return look_up(inputs[0], self)

    def channel_bounds(self, inputs: Sequence[Bounds], zero_points: Sequence[int]) -> Bounds:
        reached = [self.within(int(low), int(high)) for low, high in zip(*inputs[0], strict=True)]
        return np.array([min(each) for each in reached]), np.array([max(each) for each in reached])

    def validate(self, network: Values) -> None:
        x, y = network.tensors[self.input], network.tensors[self.output]
        require(
            x.dtype.bits <= MAX_BITS,
            f"input {x.name!r} of a table must have at most {MAX_BITS} bits, not "
            f"{x.dtype.bits}; requantize it to fewer before",
        )
        require_shape(y, x.shape)
        last = self.first + len(self.values) - 1
        require(
            len(self.values) > 0 and x.dtype.contains((self.first, last)),
            f"its entries must be for values in [{x.dtype.qmin}, {x.dtype.qmax}] as "
            f"{x.dtype} of {x.name!r} has, not [{self.first}, {last}]",
        )
        low, high = network.value_range(self.input)
        require(
            self.first <= low and high <= last,
            f"it must have an entry for each value of {x.name!r} in [{low}, {high}], not "
            f"just for [{self.first}, {last}]",
        )
        require(
            y.dtype.contains(self.values),
            f"its entries must lie in [{y.dtype.qmin}, {y.dtype.qmax}] as {y.dtype} of "
            f"{y.name!r} does, but reach [{min(self.values)}, {max(self.values)}]",
        )


def look_up(x: npt.NDArray[np.integer], table: Table) -> Integers:
    """The entry of each value, int64 in the shape of ``x``."""
    values = np.array(table.values, dtype=np.int64)
    looked_up: Integers = values[x.astype(np.int64) - table.first]
    return looked_up

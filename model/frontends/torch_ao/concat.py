"""FloatFunctional.cat of a converted torch.ao module: a concatenation of channels.

``quantized::cat`` dequantizes and quantizes each value in float32. The order of operations depends
on the memory format. With S and Z of an input, and Sy and Zy of the output:

* channels-last memory, whole groups of 8 channels: rint(fma(S, q, -(S * Z)) * (1 / Sy)) + Zy;
* channels-last memory, the remaining channels: rint((q - Z) * S * (1 / Sy) + Zy);
* other memory, and vectors: rint(fma((q - Z) * S, 1 / Sy, Zy)).

Sources: ATen ``native/quantized/cpu/TensorShape.cpp``, ``kernels/QuantizedOpKernels.cpp``
(qcat_nhwc_kernel, which copies inputs on the output's grid). Fusion by compilers was measured
(``tests/test_model_frontends_torch_ao_concat.py``).
"""

from __future__ import annotations

import numpy as np

from ...builder import Grid, Output, Policy
from ...dtypes import Integers
from ...layers import Tensor
from ...layers.concat import Concat
from ...names import identifier
from ...ordered import Ordered, OrderedBuilder
from ...requant import Requant, requantize
from ...search.concat import search_concat
from .run import Step

__all__ = ["cat", "cat_requant", "cat_table", "values_that_differ"]

LANES = 8  # channels at once
RULES = ("vector", "tail", "other")


def cat(
    builder: OrderedBuilder, step: Step, inputs: list[Ordered], grid: Grid, rescale: Policy
) -> Ordered:
    """Add the layer. Raises NetworkError, which names it, for any axis other than the channels."""
    shapes = [value.shape for value in step.inputs]
    channels = sum(shape[1] for shape in shapes)
    if len(shapes) < 2 or step.output.shape[:2] != (shapes[0][0], channels):
        raise step.refuse("cat along another dimension is not supported", "use dim=1, the channels")
    return builder.concat(identifier(step.name), inputs, Output(grid, rescale))


def cat_table(x: Tensor, y: Tensor, rule: str) -> Integers:
    """The output for each value of ``x``, by one of ``RULES``, before the clamp: int64 (A,)."""
    q = np.arange(x.dtype.qmin, x.dtype.qmax + 1)
    scale, inverse = np.float32(x.scale), np.float32(1) / np.float32(y.scale)
    if rule == "vector":
        offset = -(scale * np.float32(x.zero_point))
        # exact in float64: 8 bits times 24 bits plus 24 bits of about the same exponent
        real = (q * float(scale) + float(offset)).astype(np.float32)
        rounded = np.rint(real * inverse) + y.zero_point
    else:
        real = (q - x.zero_point).astype(np.float32) * scale
        if rule == "tail":
            rounded = np.rint(real * inverse + np.float32(y.zero_point))
        else:
            exact = real.astype(np.float64) * float(inverse) + y.zero_point
            rounded = np.rint(exact.astype(np.float32))
    table: Integers = rounded.astype(np.int64)
    return table


def _rules(step: Step, channels: int) -> list[str]:
    """The rules of an input's channels; the rule of most channels first."""
    if not all(value.channels_last for value in step.inputs):
        return ["other"]
    vectors = channels // LANES * LANES
    counts = {"vector": vectors, "tail": channels - vectors}
    return sorted((rule for rule in counts if counts[rule]), key=lambda rule: -counts[rule])


def cat_requant(step: Step, layer: Concat, inputs: tuple[Tensor, ...], y: Tensor) -> Requant:
    """The requantization that equals the engine's on every value of every input, by the rule of
    most channels; on as many values as possible if near ties contradict each other."""
    clamp = layer.requant.low, layer.requant.high
    tables = [cat_table(x, y, _rules(step, x.shape[2])[0]) for x in inputs]
    return search_concat(tables, inputs, y, clamp)[0]


def values_that_differ(
    step: Step, layer: Concat, inputs: tuple[Tensor, ...], y: Tensor
) -> tuple[int, int]:
    """Count over all values of all inputs, and over each rule that some channels have: (the values
    that the layer requantizes differently, all values)."""
    different = count = 0
    for index, x in enumerate(inputs):
        made = requantize(x.centered, layer.requant_of(index), y.zero_point)
        for rule in _rules(step, x.shape[2]):
            expected = np.clip(cat_table(x, y, rule), layer.requant.low, layer.requant.high)
            different += int((made != expected).sum())
            count += len(made)
    return different, count

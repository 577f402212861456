"""FloatFunctional.cat of a converted torch.ao module: channels one after another.

``quantized::cat`` dequantizes and quantizes each value in float32, in an order of its own for each
memory format; with S and Z of an input, Sy and Zy of the output:

* channels-last memory, whole groups of 8 channels: rint(fma(S, q, -(S * Z)) * (1 / Sy)) + Zy;
* channels-last memory, the channels left over: rint((q - Z) * S * (1 / Sy) + Zy);
* other memory, and vectors: rint(fma((q - Z) * S, 1 / Sy, Zy)).

Sources: ATen ``native/quantized/cpu/TensorShape.cpp``, ``kernels/QuantizedOpKernels.cpp``
(qcat_nhwc_kernel, which copies inputs on the output's grid); what compilers fuse of it is measured
(``tests/test_model_frontends_torch_ao_concat.py``).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...builder import Grid, Rescale
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

Ints = npt.NDArray[np.int64]


def cat(
    builder: OrderedBuilder, step: Step, inputs: list[Ordered], grid: Grid, rescale: Rescale
) -> Ordered:
    """Add the layer. Raises NetworkError, naming it, for anything but channels."""
    shapes = [value.shape for value in step.inputs]
    channels = sum(shape[1] for shape in shapes)
    if len(shapes) < 2 or step.output.shape[:2] != (shapes[0][0], channels):
        raise step.refuse("cat along another dimension is not supported", "use dim=1, the channels")
    return builder.concat(identifier(step.name), inputs, grid, rescale)


def cat_table(x: Tensor, y: Tensor, rule: str) -> Ints:
    """What each value of ``x`` becomes, by one of ``RULES``, before the clamp: int64 (A,)."""
    q = np.arange(x.dtype.qmin, x.dtype.qmax + 1)
    scale, inverse = np.float32(x.scale), np.float32(1) / np.float32(y.scale)
    if rule == "vector":
        offset = -(scale * np.float32(x.zero_point))
        # float64 holds 8 bits times 24 bits plus 24 bits of about the same exponent
        real = (q * float(scale) + float(offset)).astype(np.float32)
        rounded = np.rint(real * inverse) + y.zero_point
    else:
        real = (q - x.zero_point).astype(np.float32) * scale
        if rule == "tail":
            rounded = np.rint(real * inverse + np.float32(y.zero_point))
        else:
            exact = real.astype(np.float64) * float(inverse) + y.zero_point
            rounded = np.rint(exact.astype(np.float32))
    table: Ints = rounded.astype(np.int64)
    return table


def _rules(step: Step, channels: int) -> list[str]:
    """The rules that an input's channels have, that of most of them first."""
    if not all(value.channels_last for value in step.inputs):
        return ["other"]
    vectors = channels // LANES * LANES
    counts = {"vector": vectors, "tail": channels - vectors}
    return sorted((rule for rule in counts if counts[rule]), key=lambda rule: -counts[rule])


def cat_requant(step: Step, layer: Concat, inputs: tuple[Tensor, ...], y: Tensor) -> Requant:
    """The requantization that equals the engine's on every value of every input, by the rule of
    most of its channels; on as many as can be where near ties contradict each other."""
    clamp = layer.requant.low, layer.requant.high
    tables = [cat_table(x, y, _rules(step, x.shape[2])[0]) for x in inputs]
    return search_concat(tables, inputs, y, clamp)[0]


def values_that_differ(
    step: Step, layer: Concat, inputs: tuple[Tensor, ...], y: Tensor
) -> tuple[int, int]:
    """Of all values of all inputs, by each rule that some channels have: (how many the layer
    requantizes otherwise, how many there are)."""
    different = count = 0
    for index, x in enumerate(inputs):
        q = np.arange(x.dtype.qmin, x.dtype.qmax + 1, dtype=np.int64) - x.zero_point
        made = requantize(q, layer.requant_of(index), y.zero_point)
        for rule in _rules(step, x.shape[2]):
            expected = np.clip(cat_table(x, y, rule), layer.requant.low, layer.requant.high)
            different += int((made != expected).sum())
            count += len(q)
    return different, count

"""The core by da4ml: fully unrolled and pipelined, one image per clock cycle.

The settings are the defaults of its command line: a pipeline stage for every five adders in a row,
and in each matrix product at most two more adders in a row than the minimum.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from da4ml.codegen.rtl import VerilogModel
from da4ml.trace import FixedVariableArrayInput, HWConfig, comb_trace
from da4ml.trace.ops import quantize
from da4ml.types import minimal_kif

from ..stopwatch import Stopwatch
from .chain import PatchConv, chain_of
from .icarus import run_unrolled
from .request import Facts, Request, answer

TOP = "plain_da4ml"
STAGE = 5  # adders in a row between two registers
DEEPER = 2  # adders in a row above the minimum
INTEGER_BITS = 16  # of a value before its clamp; enough for every value

Symbols = Any  # da4ml's array of symbolic fixed-point variables


def run(request: Request) -> Facts:
    """Build the design, write folder/core.v, simulate the images."""
    watch = Stopwatch()
    chain = chain_of(request.network)
    shape = request.network.tensors[request.network.input].shape
    covered = _covered(chain, shape)
    image = FixedVariableArrayInput(
        covered, hwconf=HWConfig(1, -1, -1), solver_options={"hard_dc": DEEPER}
    )
    values = quantize(image, 0, 8, 0)
    for layer in chain:
        values = _layer(layer, values)
    model = VerilogModel(
        comb_trace(image.ravel(), values.ravel()), TOP, request.folder / "da4ml", STAGE
    )
    model.write()
    registers = len(model._pipe.solutions) + 1  # before each stage, and at the end
    seconds, peak = watch.read()
    core = _joined(request.folder / "da4ml" / "src")
    (request.folder / "core.v").write_text(core, encoding="utf-8")
    images = request.images[:, : covered[0], : covered[1]].reshape(len(request.images), -1)
    widths = [sum(minimal_kif(interval)) for interval in model._pipe.out_qint]
    return Facts(
        top=TOP,
        settings=f"fully unrolled, {registers} registers in a row, an input port of "
        f"{8 * images.shape[1]} bits, no handshake",
        emission_cpu_s=seconds,
        peak_mib=peak,
        cycles_per_image=1,
        latency_cycles=registers,
        scores=run_unrolled(request.folder, TOP, images, widths, registers),
    )


def _covered(chain: list[PatchConv], shape: tuple[int, ...]) -> tuple[int, ...]:
    """The rows and columns of the image that patches read, and its channels."""
    size = int(np.prod([layer.weights.shape[1] for layer in chain]))
    return (*(extent // size * size for extent in shape[:2]), shape[2])


def _layer(layer: PatchConv, x: Symbols) -> Symbols:
    """A convolution and its requantization, (H, W, C) to (H / K, W / K, OC).

    Rounding is a separate step before zero point and clamp. With the saturation of ``quantize``
    after a multiplication by a constant, da4ml 0.6.0 gave 0 for some channels.
    """
    channels, size = layer.weights.shape[:2]
    height, width = (extent // size for extent in x.shape[:2])
    patches = x.reshape((height, size, width, size, x.shape[2])).transpose((0, 2, 1, 3, 4))
    matrix = layer.weights.reshape(channels, -1).T.astype(np.float64)
    sums = patches.reshape((height * width, len(matrix))) @ matrix + layer.bias
    scaled = sums * (layer.multipliers * 2.0**-layer.shift)
    rounded = quantize(scaled, 1, INTEGER_BITS, 0, "WRAP", "RND")
    clamped = np.clip(rounded + layer.zero_point, layer.low, layer.high)
    bits = layer.high.bit_length()
    return quantize(clamped, 0, bits, 0).reshape((height, width, channels))


def _joined(sources: Path) -> str:
    """The text of all modules as one file, without unused tables and wrapper."""
    files = [*sorted((sources / "static").glob("*.v")), *sorted(sources.glob(f"{TOP}*.v"))]
    left_out = ("lookup_table.v", f"{TOP}_wrapper.v")
    return "\n".join(file.read_text("utf-8") for file in files if file.name not in left_out)


if __name__ == "__main__":
    answer(run)

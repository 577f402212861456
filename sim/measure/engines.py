"""Other int8 engines, made from the same float network, for comparison with the golden model.

They are torch.ao's eager mode (batch norm and ReLU fused, the default qconfig of the x86 engine)
and ONNX Runtime (static quantization in QDQ form, weights per channel), each with one thread. Both
take the pixels as floats in 0..1 and quantize them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...model import NetworkError
from ...model.files import temporary_folder

__all__ = ["ENGINES", "Floats", "onnx_runtime", "torch_ao"]

Module = Any  # torch.nn.Module; PyTorch is imported in the functions that use it
Floats = npt.NDArray[np.float32]
Engine = Callable[[Floats], Floats]  # pixels (N, C, H, W) in 0..1 -> scores (N, classes)


def torch_ao(net: Module, sample: Floats) -> Engine:
    """Quantize a chain of layers by torch.ao, calibrated with ``sample``.

    Raises NetworkError if the module is not a chain of layers.
    """
    import torch

    from ...model.frontends.torch_ao.conversion import convert_on

    torch.set_num_threads(1)
    if any(True for layer in net.children() for _ in layer.children()):
        raise NetworkError(
            "the bench quantizes chains of layers only; this network has blocks inside, "
            "measure another one"
        )
    with warnings.catch_warnings(action="ignore"):  # a deprecation warning
        converted = convert_on(net, torch.from_numpy(sample), "x86")

    def run(pixels: Floats) -> Floats:
        with torch.inference_mode():
            scores: Floats = converted(torch.from_numpy(pixels)).numpy()
        return scores

    return run


def onnx_runtime(net: Module, sample: Floats) -> Engine:
    """Quantize a module by ONNX Runtime's static quantization, calibrated with ``sample``."""
    import onnxruntime
    import torch
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    from ...model.frontends.onnx.session import session_of

    def one_thread() -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        return options

    with temporary_folder() as folder:
        floats, ready, int8 = (str(folder / f"{name}.onnx") for name in "abc")
        with warnings.catch_warnings(action="ignore"):  # the exporter's deprecation warning
            torch.onnx.export(
                net.eval(),
                (torch.from_numpy(sample[:1]),),
                floats,
                dynamo=False,
                input_names=["image"],
                output_names=["scores"],
                dynamic_axes={"image": {0: "N"}, "scores": {0: "N"}},
            )
        quant_pre_process(floats, ready, skip_symbolic_shape=True)
        quantization.quantize_static(
            ready,
            int8,
            _reader(sample),
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
        )
        session = session_of(Path(int8).read_bytes(), options=one_thread)

    def run(pixels: Floats) -> Floats:
        scores: Floats = session.run(None, {"image": pixels})[0]
        return scores

    return run


def _reader(sample: Floats) -> Any:
    """A reader that gives quantize_static the calibration images as one batch."""
    from onnxruntime import quantization

    batches = iter([{"image": sample}])

    class Reader(quantization.CalibrationDataReader):
        def get_next(self) -> dict[str, Floats] | None:
            return next(batches, None)

    return Reader()


ENGINES: dict[str, Callable[[Module, Floats], Engine]] = {
    "torch": torch_ao,
    "onnxruntime": onnx_runtime,
}

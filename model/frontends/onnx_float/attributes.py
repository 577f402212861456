"""The known inputs and attributes of the operators of float ONNX models."""

from __future__ import annotations

from collections.abc import Mapping

from ..onnx.attributes import KNOWN as QUANTIZED
from ..onnx.attributes import Known

__all__ = ["KNOWN"]

SHARED = (
    *("Conv", "Gemm", "MatMul", "Add", "AveragePool", "GlobalAveragePool", "ReduceMean"),
    *("MaxPool", "Relu", "Clip", "Flatten", "Reshape", "Transpose", "Squeeze", "Unsqueeze"),
    *("Identity", "Dropout", "Concat", "Resize", "Shape", "Gather", "Cast", "Mul"),
    *("LeakyRelu", "PRelu", "HardSigmoid", "HardSwish", "Elu", "Sigmoid", "Tanh", "Gelu"),
)

KNOWN: Mapping[str, Known] = {
    **{op: QUANTIZED[op] for op in SHARED},
    "BatchNormalization": Known(5, ("epsilon",), ("momentum", "spatial"), {"training_mode": (0,)}),
    "Pad": Known(4, ("pads", "value"), (), {"mode": (b"constant",)}),
    "Softmax": Known(1, (), ("axis",)),
    "LogSoftmax": Known(1, (), ("axis",)),
}

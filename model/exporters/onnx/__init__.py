"""Integer networks as ONNX models, exact or in QDQ form."""

from .export import OPSET, write

__all__ = ["OPSET", "write"]

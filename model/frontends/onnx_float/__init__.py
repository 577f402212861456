"""Float ONNX models, read into a float graph and quantized."""

from .network import graph_of, read

__all__ = ["graph_of", "read"]

"""Networks quantized for ONNX Runtime."""

from .compare import compare
from .network import read

__all__ = ["compare", "read"]

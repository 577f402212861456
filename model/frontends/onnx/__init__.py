"""Networks quantized for ONNX Runtime."""

from .comparison import compare
from .network import read

__all__ = ["compare", "read"]

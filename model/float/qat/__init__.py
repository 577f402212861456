"""Quantization-aware training: modules that train on fake-quantized values."""

from .network import QatNet

__all__ = ["QatNet"]

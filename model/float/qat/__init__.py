"""Quantization-aware training: modules that train on fake-quantized values."""

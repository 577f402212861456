"""Quantization-aware training: a module that trains on fake-quantized values."""

"""PyTorch's side: float networks, training, calibration and post-training quantization."""

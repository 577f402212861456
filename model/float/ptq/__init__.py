"""Post-training quantization: the float graph, its ranges, and the resulting integer network."""

"""Quantization after training: the float graph, its ranges, and the integer network it becomes."""

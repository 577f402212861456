"""Modules quantized by torch.ao in eager mode."""

from .network import convert, differing, module_trace, pixels, read, read_state_dict

__all__ = ["convert", "differing", "module_trace", "pixels", "read", "read_state_dict"]

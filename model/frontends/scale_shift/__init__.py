"""Integer LeNets made by hand: scales, shifts and offsets of each layer."""

from .network import Triple, read

__all__ = ["Triple", "read"]

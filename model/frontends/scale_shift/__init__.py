"""Handwritten integer LeNets with a scale, a shift and a zero point for each layer."""

from .network import Triple, read

__all__ = ["Triple", "read"]

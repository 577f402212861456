"""Programs quantized by torchao's PT2E flow."""

from .network import Program, Reading, read, reading

__all__ = ["Program", "Reading", "read", "reading"]

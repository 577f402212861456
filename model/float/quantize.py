"""The former name of ``ptq/quantize.py``, for scripts that were written before 0.2."""

from .ptq.quantize import Options, Schemes, quantize

__all__ = ["Options", "Schemes", "quantize"]

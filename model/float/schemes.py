"""The former name of ``ptq/schemes.py``, for scripts that were written before 0.2."""

from .ptq.schemes import Scheme

__all__ = ["Scheme"]

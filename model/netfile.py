"""The former name of ``formats/json_file.py``, for scripts that were written before 0.2."""

from .formats.json_file import dumps, load, loads, save, shipped

__all__ = ["dumps", "load", "loads", "save", "shipped"]

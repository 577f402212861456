"""The integer network, its file formats and the golden model that runs it.

>>> from tercet.model import load
>>> net = load("plain")
>>> net.tensors[net.input].shape
(28, 28, 1)
"""

from .formats.json_file import load, save, shipped
from .layers import NetworkError
from .network import QNetwork

__all__ = ["NetworkError", "QNetwork", "load", "save", "shipped"]

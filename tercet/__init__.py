"""Bit-accurate FPGA cores from small quantized CNNs.

>>> from tercet import load
>>> net = load("plain")
>>> net.tensors[net.input].shape
(28, 28, 1)

The packages live beside this folder: ``tercet.model`` in model/, ``tercet.hw`` in hw/, and so on.
"""

from tercet.model import NetworkError, QNetwork, load, save, shipped

__all__ = ["NetworkError", "QNetwork", "load", "save", "shipped"]

"""Float ONNX models as float graphs, which post-training quantization makes integers of.

``operators.py`` lists the supported operators, of the operator sets 11 and newer. The graph equals
ONNX Runtime within the rounding of floats. Batch normalizations and ReLUs are attached to the layer
before them as those of PyTorch modules are (``float/ptq/graph.py``).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...float.ptq import graph as g
from ...float.ptq.quantize import Options, quantize
from ...layers import NetworkError
from ...names import identifier
from ...network import QNetwork
from ..onnx.attributes import require_known
from ..onnx.graph import load, quantizes
from .attributes import KNOWN
from .operators import NORMALIZE, OPERATORS, PASSED
from .reader import FloatReader

__all__ = ["graph_of", "read"]

GELU = "export GELU as one operator, by opset_version=20 or newer"
WAYS_OUT = {"Erf": GELU, "Div": GELU}


def graph_of(source: str | Path | bytes, name: str | None = None) -> g.Graph:
    """Read a float ONNX model.

    Parameters
    ----------
    source : the path of a model, or its bytes; no other file is read. It takes float32 (N, C, H, W)
        or (N, K), and gives float32 (N, classes)
    name : the network's; by default the file's, or the graph's

    A Softmax or LogSoftmax of the scores at the very end is left out: the greatest score stays the
    greatest. Raises NetworkError, which names the node, the reason and a way out.
    """
    graph = load(source)
    fallback = graph.name if isinstance(source, bytes) else Path(source).stem
    reader = FloatReader(graph, identifier(name or fallback or "network"))
    for node in graph.nodes:
        if quantizes(node.op):
            way_out = "read it as a quantized model: tercet import MODEL --format onnx"
            raise node.refuse("the model is quantized", way_out)
        if reader.folds(node):
            continue
        if node.op in PASSED and node.outputs[:1] == (graph.output,):
            reader.same(node, node.input(0))
            continue
        if node.op not in OPERATORS:
            there = f"there are {', '.join(sorted(OPERATORS))}"
            normalizes = node.op in ("Sub", "Div") and node.input(0) == graph.input
            way_out = NORMALIZE if normalizes else WAYS_OUT.get(node.op, there)
            raise node.refuse("the operator is not supported", way_out)
        require_known(node, KNOWN)
        OPERATORS[node.op](reader, node)
    if graph.output not in reader.tensors:
        raise NetworkError(
            f"Network {reader.name!r}: the model returns {graph.output!r}, which is no activation; "
            "return the output of its last layer"
        )
    return reader.finished(reader.tensors[graph.output])


def read(
    source: str | Path | bytes,
    images: npt.NDArray[np.uint8],
    options: Options | None = None,
    name: str | None = None,
) -> QNetwork:
    """Read a float ONNX model and quantize it.

    Parameters
    ----------
    source, name : as in :func:`graph_of`
    images : uint8 (N, H, W, C), or (N, K), raw pixels for calibration; p enters the model as p /
        255, or normalized by the options' mean and std
    options : see ``ptq.quantize.Options``

    Raises NetworkError as :func:`graph_of` and ``quantize`` do.
    """
    return quantize(graph_of(source, name), images, options)

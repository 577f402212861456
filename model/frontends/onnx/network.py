"""Networks quantized for ONNX Runtime, in QDQ form or in operator form.

``onnxruntime.quantization.quantize_static`` writes both. In QDQ form float operators are between
DequantizeLinear and QuantizeLinear nodes. ONNX Runtime fuses each such group into the integer
operator that the other form names. The integer network equals this operator's arithmetic
(``arithmetic.py``, and "ONNX Runtime" in ``ARITHMETIC.md``).

The network's input is the output of the first QuantizeLinear. If its scale is 1/255 in float32, its
zero point 0, and pixels p enter as p / 255, the input is p itself.
"""

from __future__ import annotations

from pathlib import Path

from ...layers import Flatten, NetworkError
from ...names import identifier
from ...network import QNetwork
from ...ordered import Ordered
from .attributes import require_known
from .graph import load, quantizes
from .operators import OPERATORS
from .reader import Reader

__all__ = ["read", "read_with_names"]

WAYS_OUT = {  # for operators that users are likely to have
    "BatchNormalization": "fold it into the convolution (onnxruntime.quantization.preprocess)",
    "Softmax": "cut it off, the greatest score stays the greatest",
    "Transpose": "export the model channels first, without it",
}


def read(source: str | Path | bytes, name: str | None = None, *, inexact: bool = False) -> QNetwork:
    """Read a quantized ONNX model into an integer network.

    Parameters
    ----------
    source : the path of a model, or its bytes; no other file is read
    name : the network's; by default the file's, or the graph's
    inexact : accept average pools and additions with many ties, which depend on ONNX Runtime's
        rounding errors; ``ARITHMETIC.md`` describes which values may differ, and how rarely

    Raises NetworkError, which names the node, the reason and a way out, if the model cannot be
    read.
    """
    return read_with_names(source, name, inexact=inexact)[0]


def read_with_names(
    source: str | Path | bytes, name: str | None = None, *, inexact: bool = False
) -> tuple[QNetwork, dict[str, tuple[str, Ordered]]]:
    """Read as :func:`read` does, and find the network's tensors in the model.

    Returns the network, and for each of its tensors the name in the model and the model's order.
    """
    graph = load(source)
    fallback = graph.name if isinstance(source, bytes) else Path(source).stem
    reader = Reader(graph, identifier(name or fallback or "network"), inexact)
    if not any(quantizes(node.op) for node in graph.nodes):
        raise NetworkError(
            "The model computes in floats; quantize it by tercet quantize MODEL --data FILE, or by "
            "onnxruntime.quantization before"
        )
    for node in graph.nodes:
        if node.op not in OPERATORS:
            there = f"there are {', '.join(sorted(OPERATORS))}"
            raise node.refuse("the operator is not supported", WAYS_OUT.get(node.op, there))
        if not node.outputs:
            raise node.refuse("it has no output", "export the model again")
        require_known(node)
        OPERATORS[node.op](reader, node)
    result = reader.integers.get(graph.output) or reader.reals.get(graph.output)
    if not isinstance(result, Ordered):
        raise NetworkError(
            f"The output {graph.output!r} is not quantized; put a QuantizeLinear after its operator"
        )
    reader.builder.builder.drop_unread(reader.tables, result.tensor.name)
    network, last = reader.builder.network(result), reader.builder.last
    if last in reader.names:
        reader.names[network.output] = reader.names.pop(last)
    for layer in network.layers:
        if isinstance(layer, Flatten) and layer.input in reader.names:
            name, seen = reader.names[layer.input]
            flat = Ordered(network.tensors[layer.output], seen.places)
            reader.names.setdefault(layer.output, (name, flat))
    return network, {name: at for name, at in reader.names.items() if name in network.tensors}

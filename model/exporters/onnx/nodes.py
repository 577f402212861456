"""The ONNX nodes of one layer under construction, and the names in the file.

Tensors of the network keep their names. Tensors between them are called ``layer/what``. A tensor is
(N, C, H, W). It is (N, C) if it has one position, is not the network's input, and no convolution or
pool reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from ...dtypes import IntType
from ...layers import Layer, Tensor
from ...network import QNetwork

__all__ = ["Nodes", "element_type", "extents", "rank"]

DOUBLE, FLOAT, INT32, INT64 = (
    onnx.TensorProto.DOUBLE,
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.INT32,
    onnx.TensorProto.INT64,
)


OVER_MAPS = ("conv2d", "max_pool2d", "avg_pool2d", "upsample")  # the kinds that need four axes


def element_type(dtype: IntType) -> int:
    """The ONNX element type of ``dtype``: that of its numpy dtype."""
    code: int = helper.np_dtype_to_tensor_dtype(dtype.numpy)
    return code


def rank(network: QNetwork, tensor: str) -> int:
    """2 if a tensor is (N, C) in the file, 4 if it is (N, C, H, W)."""
    read = any(tensor in layer.reads for layer in network.layers if layer.kind in OVER_MAPS)
    at_one_position = network.tensors[tensor].shape[:2] == (1, 1)
    return 2 if at_one_position and tensor != network.input and not read else 4


def extents(network: QNetwork, tensor: Tensor) -> list[int | str]:
    """The shape of a tensor in the file; the batch dimension is called N."""
    height, width, channels = tensor.shape
    return ["N", channels] if rank(network, tensor.name) == 2 else ["N", channels, height, width]


class Nodes:
    """The nodes and constants of a layer; the last node writes the layer's output.

    Attributes
    ----------
    nodes, constants : in the order of their creation
    """

    def __init__(self, network: QNetwork, layer: Layer) -> None:
        self.network = network
        self.layer = layer
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._separator = "/"
        while any(self._separator in name for name in network.tensors):
            self._separator += "/"  # so that no new name is a name of the network

    @property
    def y(self) -> Tensor:
        """The tensor that the layer writes."""
        return self.network.tensors[self.layer.output]

    def constant(self, what: str, values: npt.ArrayLike, dtype: npt.DTypeLike) -> str:
        """Add a constant, named after the layer and its purpose; return its name."""
        name = f"{self.layer.name}{self._separator}{what}"
        self.constants.append(numpy_helper.from_array(np.array(values, dtype=dtype), name))
        return name

    def node(self, operator: str, inputs: Sequence[str], what: str, **attributes: Any) -> str:
        """Add a node with one output, named after layer and purpose; return the output's name."""
        name = f"{self.layer.name}{self._separator}{what}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def cast(self, value: str, to: int, what: str) -> str:
        """Add a conversion to the element type ``to``; return its output's name."""
        return self.node("Cast", [value], what, to=to)

    def read(self, tensor: str, axes: int, what: str = "x") -> str:
        """The name of ``tensor`` with 2 or 4 axes; 2 axes are possible for one position only."""
        return self._with_axes(tensor, rank(self.network, tensor), axes, f"{what}_reshaped")

    def shape_output(self, axes: int) -> None:
        """Convert the last node's output, of 2 or 4 axes, to the axes of the layer's output."""
        value = self.nodes[-1].output[0]
        self._with_axes(value, axes, rank(self.network, self.layer.output), "y_reshaped")

    def _with_axes(self, value: str, old: int, new: int, what: str) -> str:
        if old == new:
            return value
        if new == 2:
            return self.node("Flatten", [value], what)
        return self.node(
            "Unsqueeze", [value, self.constant(f"{what}_axes", [2, 3], np.int64)], what
        )

    def clip(self, value: str, low: int, high: int) -> None:
        """Clamp integers of the output's type; ONNX Runtime has no Clip for 16 bits."""
        dtype = self.y.dtype.numpy
        narrow = dtype.itemsize == 1
        if not narrow:
            value, dtype = self.cast(value, INT32, "wide"), np.dtype(np.int32)
        ends = [self.constant("low", low, dtype), self.constant("high", high, dtype)]
        value = self.node("Clip", [value, *ends], "clamped")
        if not narrow:
            self.cast(value, element_type(self.y.dtype), "y_clamped")

    def close(self, facts: dict[str, str]) -> None:
        """Make the last node write the layer's output; attach ``facts`` to the layer's own node.

        The layer's own node is the first one that is no conversion. It takes the layer's name.
        """
        own = next((node for node in self.nodes if node.op_type not in HELPERS), self.nodes[-1])
        own.name = self.layer.name
        own.doc_string = facts.get("why", "")
        helper.set_metadata_props(own, facts)
        self.nodes[-1].output[0] = self.layer.output


# The operators before and after a layer's own operator.
HELPERS = ("Cast", "DequantizeLinear", "Flatten", "Floor", "Mul", "Sub", "Transpose", "Unsqueeze")

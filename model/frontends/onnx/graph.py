"""An ONNX file as a plain graph; the file is not trusted.

Only the file's own bytes are read, and the tensors that it has in other files of its folder, as
``torch.onnx.export`` writes them. Subgraphs, functions defined in the file and operators of unknown
domains are refused. Sources: ONNX ``docs/IR.md`` and ``docs/ExternalData.md``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto, ValueInfoProto, numpy_helper
from onnx.external_data_helper import load_external_data_for_tensor

from ...dtypes import Array
from ...layers import NetworkError

__all__ = ["Graph", "Node", "content_of", "is_quantized", "load", "quantizes"]

MAX_BYTES = 1 << 30
MAX_EXTENT = 1 << 16  # of the input's channels, rows and columns
MAX_VALUES = 1 << 24  # of an image
MAX_ATTRIBUTE = 1 << 10  # of kernels, strides, pads and dilations
DOMAINS = ("", "ai.onnx", "com.microsoft")  # the last has ONNX Runtime's QGemm, QLinearAdd, ...
OLDEST_OPSET = 10  # the first with QuantizeLinear


@dataclass(frozen=True)
class Node:
    """One node; an omitted input has the name ''."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    def __str__(self) -> str:
        return f"Node {self.name!r} ({self.op if self.op.isprintable() else repr(self.op)})"

    def refuse(self, reason: str, way_out: str) -> NetworkError:
        """The error for a node that cannot be read."""
        return NetworkError(f"{self}: {reason}; {way_out}")

    def input(self, index: int) -> str:
        """The name of an input; '' if it is omitted."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def integer(self, name: str, default: int) -> int:
        """An integer attribute. Raises NetworkError if it has another type."""
        value = self.attributes.get(name, default)
        if not isinstance(value, int):
            raise self.refuse(f"{name} must be an integer", "export the model again")
        return value

    def number(self, name: str, default: float) -> float:
        """A finite float attribute. Raises NetworkError if it is another value."""
        value = self.attributes.get(name, default)
        if not isinstance(value, float) or not math.isfinite(value):
            raise self.refuse(f"{name} must be a number", "export the model again")
        return value

    def integers(self, name: str, default: Sequence[int]) -> tuple[int, ...]:
        """As many integers as in ``default``, each at most 1024. Raises NetworkError."""
        values = self.attributes.get(name, list(default))
        if not isinstance(values, list) or not all(isinstance(v, int) for v in values):
            raise self.refuse(f"{name} must be a list of integers", "export the model again")
        if len(values) != len(default) or any(abs(v) > MAX_ATTRIBUTE for v in values):
            wanted = f"{len(default)} integers of at most {MAX_ATTRIBUTE}"
            raise self.refuse(f"{name} must be {wanted}, not {values}", "use a 2-d operator")
        return tuple(values)

    def require(self, name: str, value: object, way_out: str) -> None:
        """Refuse an attribute unless it is ``value``, its default."""
        found = self.attributes.get(name, value)
        if found != value:
            raise self.refuse(f"{name} must be {value}, not {found}", way_out)


@dataclass(frozen=True)
class Graph:
    """The part of a model that affects its output.

    Parameters
    ----------
    name : of the model
    input : the name of its only input
    batch : the extent of the input's first axis, 0 if it is not fixed
    shape : of the input without the batch: (C, H, W) or (K,)
    output : the name of its only output
    nodes : in an order in which every input is written before it is read
    tensors : the constants by name
    """

    name: str
    input: str
    batch: int
    shape: tuple[int, ...]
    output: str
    nodes: tuple[Node, ...]
    tensors: Mapping[str, TensorProto]

    @cached_property
    def readers(self) -> Mapping[str, tuple[Node, ...]]:
        """The nodes that read each name."""
        readers: dict[str, tuple[Node, ...]] = {}
        for node in self.nodes:
            for name in node.inputs:
                readers[name] = (*readers.get(name, ()), node)
        return readers

    @cached_property
    def writers(self) -> Mapping[str, Node]:
        """The node that writes each name."""
        return {name: node for node in self.nodes for name in node.outputs}

    def constant(self, node: Node, name: str) -> Array:
        """A constant that ``node`` reads. Raises NetworkError for others and malformed ones."""
        if name not in self.tensors:
            way_out = "make it an initializer (fold constants when exporting)"
            raise node.refuse(f"input {name!r} is not constant", way_out)
        tensor = self.tensors[name]
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            way_out = "save the model with all tensors inside"
            raise node.refuse(f"tensor {name!r} is stored outside the file", way_out)
        if any(extent < 0 for extent in tensor.dims) or math.prod(tensor.dims) > MAX_BYTES:
            raise node.refuse(
                f"tensor {name!r} has the extents {list(tensor.dims)}", "export the model again"
            )
        try:
            return np.array(numpy_helper.to_array(tensor))
        except (ValueError, TypeError, KeyError, OverflowError):
            reason = f"tensor {name!r} does not have the values for its type and extents"
            raise node.refuse(reason, "export the model again") from None


def quantizes(op: str) -> bool:
    """Whether an operator occurs in quantized models alone."""
    integer = op.startswith(("QLinear", "QGemm")) or op in ("ConvInteger", "MatMulInteger")
    return integer or "quantize" in op.lower()


def is_quantized(source: str | Path | bytes) -> bool:
    """Whether a model is quantized. Raises NetworkError for a file that is no ONNX model."""
    graph = _model(source).graph
    if not graph.node:
        raise NetworkError("The file holds no ONNX graph; export the model again")
    return any(quantizes(node.op_type) for node in graph.node if isinstance(node.op_type, str))


def load(source: str | Path | bytes) -> Graph:
    """Read a model from a path or from bytes.

    Raises NetworkError for a file that cannot be read, is no ONNX model, or has a graph that is not
    a chain of known operators from one input to one output.
    """
    model = _model(source)
    graph = model.graph
    if not graph.node or not graph.output:
        raise NetworkError("The file holds no ONNX graph; export the model again")
    if model.functions or graph.sparse_initializer:
        raise NetworkError(
            "The model has functions or sparse tensors of its own; export it without them"
        )
    _check_opset(model)
    _check_texts(graph)
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    nodes = []
    for number, proto in enumerate(graph.node):
        node = _node(proto, number)
        if node.op == "Constant" and isinstance(node.attributes.get("value"), TensorProto):
            tensors.update(dict.fromkeys(node.outputs, node.attributes["value"]))
        elif node.op == "Identity" and node.input(0) in tensors:
            tensors.update(dict.fromkeys(node.outputs, tensors[node.input(0)]))
        else:
            nodes.append(node)
    inputs = [value for value in graph.input if value.name not in tensors]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise NetworkError(
            f"The model must have one input and one output, not {len(inputs)} and "
            f"{len(graph.output)}; cut the others off"
        )
    _check_order(nodes, {inputs[0].name, *tensors})
    shape, output = _shape(inputs[0]), graph.output[0].name
    return Graph(
        name=graph.name,
        input=inputs[0].name,
        batch=inputs[0].type.tensor_type.shape.dim[0].dim_value,
        shape=shape,
        output=output,
        nodes=_needed(nodes, output),
        tensors=tensors,
    )


def content_of(source: str | Path | bytes) -> bytes:
    """The bytes of a model with all its tensors inside. Raises NetworkError."""
    content: bytes = _model(source).SerializeToString()
    return content


def _model(source: str | Path | bytes) -> ModelProto:
    if isinstance(source, bytes):
        return _parsed(source, "The data")
    what = f"{source}"
    try:
        path = Path(source)
        if path.is_file() and path.stat().st_size > MAX_BYTES:
            raise NetworkError(f"{what} is larger than {MAX_BYTES} bytes; use a smaller model")
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise NetworkError(f"Cannot read {what}: {reason}") from None
    model = _parsed(data, what)
    _take_in(model, path)
    return model


def _parsed(data: bytes, what: str) -> ModelProto:
    try:
        return onnx.load_model_from_string(data)
    except (DecodeError, ValueError):
        raise NetworkError(f"{what} is no ONNX model; export it again") from None


def _take_in(model: ModelProto, path: Path) -> None:
    """Read the tensors that a model has in other files of its folder; onnx checks their paths."""
    size = 0
    for tensor in model.graph.initializer:
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        try:
            load_external_data_for_tensor(tensor, str(path.parent))
        except (OSError, ValueError, onnx.checker.ValidationError) as error:
            reason = str(getattr(error, "strerror", None) or error).strip().splitlines()[0]
            raise NetworkError(
                f"The tensor {tensor.name!r} of {path} cannot be read from its file ({reason}); "
                "keep both files in one folder, or save the model with all tensors inside"
            ) from None
        size += len(tensor.raw_data)
        if size > MAX_BYTES:
            raise NetworkError(
                f"The tensors of {path} have over {MAX_BYTES} bytes; use a smaller model"
            )


def _check_texts(graph: GraphProto) -> None:
    """Check that every name is text; protobuf gives bytes if it is not UTF-8."""
    texts = [graph.name, *(tensor.name for tensor in graph.initializer)]
    for node in graph.node:
        texts += [node.name, node.op_type, node.domain, *node.input, *node.output]
        texts += [attribute.name for attribute in node.attribute]
    for value in (*graph.input, *graph.output):
        texts += [value.name, *(d.dim_param for d in value.type.tensor_type.shape.dim)]
    if not all(isinstance(text, str) for text in texts):
        raise NetworkError("The model has names that are not UTF-8 text; export it again")


def _check_opset(model: ModelProto) -> None:
    newest = onnx.defs.onnx_opset_version()
    versions = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
    if not versions or not OLDEST_OPSET <= max(versions) <= newest:
        raise NetworkError(
            f"The model's operator set must be {OLDEST_OPSET} to {newest}, "
            f"not {max(versions, default='none')}; export it with one of these"
        )


def _node(proto: onnx.NodeProto, number: int) -> Node:
    outputs = tuple(name for name in proto.output if name)
    name = proto.name or (outputs[0] if outputs else f"number {number}")
    node = Node(proto.op_type, name, tuple(proto.input), outputs, {})
    if proto.domain not in DOMAINS:
        raise node.refuse(f"operators of {proto.domain!r} are not supported", "export without them")
    attributes: dict[str, Any] = {}
    for attribute in proto.attribute:
        if attribute.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS):
            raise node.refuse("subgraphs are not supported", "export a plain chain of operators")
        try:
            value = onnx.helper.get_attribute_value(attribute)
        except ValueError:
            reason = f"attribute {attribute.name!r} is malformed"
            raise node.refuse(reason, "export the model again") from None
        value = (
            list(value) if isinstance(value, Sequence) and not isinstance(value, bytes) else value
        )
        attributes[attribute.name] = value
    return Node(node.op, node.name, node.inputs, node.outputs, attributes)


def _check_order(nodes: Sequence[Node], known: set[str]) -> None:
    """Check that each input is written before it is read, and each name is written once."""
    known = {"", *known}
    for node in nodes:
        for name in node.inputs:
            if name not in known:
                reason = f"input {name!r} is written by no earlier node"
                raise node.refuse(reason, "sort the graph, or add the missing tensor")
        for name in node.outputs:
            if name in known:
                raise node.refuse(f"output {name!r} is written twice", "rename one of them")
            known.add(name)


def _shape(value: ValueInfoProto) -> tuple[int, ...]:
    """The input's extents without the batch."""
    where = f"The input {value.name!r}"
    found = value.type.tensor_type.elem_type
    if found in (TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE):
        raise NetworkError(f"{where} must be float32; export module.float()")
    if found != TensorProto.FLOAT:
        raise NetworkError(f"{where} must be float32; let a QuantizeLinear make integers of it")
    extents = value.type.tensor_type.shape.dim[1:]
    shape = tuple(dim.dim_value for dim in extents)
    if len(shape) not in (1, 3) or not all(1 <= extent <= MAX_EXTENT for extent in shape):
        text = ", ".join(dim.dim_param or str(dim.dim_value) for dim in extents)
        raise NetworkError(
            f"{where} must have the extents (N, C, H, W) or (N, K), each but N fixed and at most "
            f"{MAX_EXTENT}, not (N, {text}); export it with a fixed shape"
        )
    if math.prod(shape) > MAX_VALUES:
        way_out = f"use at most {MAX_VALUES}"
        raise NetworkError(f"{where} has {math.prod(shape)} values an image; {way_out}")
    return shape


def _needed(nodes: Sequence[Node], output: str) -> tuple[Node, ...]:
    """The nodes on which ``output`` depends."""
    wanted, needed = {output}, []
    for node in reversed(nodes):
        if wanted.intersection(node.outputs):
            wanted.update(node.inputs)
            needed.append(node)
    return tuple(reversed(needed))

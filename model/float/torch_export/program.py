"""Reader of ``torch.export`` programs: tensors and their order, parameters, names of layers."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ...layers import NetworkError
from ...names import identifier
from ...ordered import Places
from ..ptq import graph as g
from ..ptq.seen import GraphReader, Seen
from .arguments import Operator, functional

__all__ = ["Reader", "ends"]

LEAVES = ("torch.nn.modules.", "tercet.model.float.qat.layers.")  # their modules name layers


SCALING = ("aten.div.Tensor", "aten.sub.Tensor", "aten.mul.Tensor", "aten.rsub.Scalar")
NORMALIZE = (
    "leave a normalization out of the module, and give its mean and std to the quantization; "
    "if it is none, "
)


class Reader(GraphReader):
    """Reads one exported program, node by node.

    Parameters
    ----------
    dims : (C, H, W) of one image, or (K,) of one vector
    name : the network's
    operators : by ATen's names such as ``conv2d.default``
    """

    def __init__(
        self,
        program: torch.export.ExportedProgram,
        dims: tuple[int, ...],
        name: str,
        operators: Mapping[str, Operator],
    ) -> None:
        super().__init__(name, dims)
        self.program, self.operators = functional(program), operators
        self.batch = 0

    def graph(self) -> g.Graph:
        """The float graph, without nodes that do not affect its output."""
        image, output = ends(self.program, self.name, "module")
        for node in self.program.graph.nodes:
            if node.name == image:
                self.tensors[image] = self.image
                self.batch = int(node.meta["val"].shape[0])
            elif node.op == "call_function" and node.users:
                self._read(node)
        if output not in self.tensors:
            raise NetworkError(
                f"Network {self.name!r}: the module must return what its last layer gives, not "
                f"{output!r}; return that one's output alone"
            )
        return self.finished(self.tensors[output])

    def wanted_name(self, node: torch.fx.Node) -> str:
        """The path of PyTorch's submodule, for other nodes path and operator."""
        stack = list((node.meta.get("nn_module_stack") or {}).values())
        path, kind = stack[-1] if stack else ("", "")
        leaf = str(kind).startswith(LEAVES) and ".container." not in str(kind)
        operator = str(node.target).split(".")[1]
        return identifier(path if path and leaf else f"{path}.{operator}")

    def written(self, node: torch.fx.Node) -> str:
        return str(node.name)

    def _read(self, node: torch.fx.Node) -> None:
        if isinstance(node.meta.get("val"), int):
            return  # an extent, for a reshape, whose output has its shape
        if node.target is operator.getitem and node.args[1] == 0:
            self.same(node, node.args[0])  # the operator's other outputs are for training
            return
        found = self.operators.get(str(node.target).removeprefix("aten."))
        if found is None:
            raise self.refuse(
                node,
                f"the operator {node.target} is not supported",
                (NORMALIZE if str(node.target) in SCALING else "")
                + "replace it by convolutions, linear layers, pools, additions, concatenations, "
                "activation functions of one value and nearest-neighbour upsampling",
            )
        found(self, node)
        seen = self.tensors.get(node.name)
        if seen is not None and seen.dims != self.extents(node):
            reason = f"it gives {list(self.extents(node))} where {list(seen.dims)} is expected"
            raise self.refuse(node, reason, "add and join tensors of equal shapes")

    def seen(self, value: Any, node: torch.fx.Node) -> Seen:
        """The activation of an argument. Raises NetworkError for a constant."""
        if not isinstance(value, torch.fx.Node) or value.name not in self.tensors:
            raise self.refuse(
                node, f"its input {value!r} is no activation", "use layers on activations only"
            )
        return self.tensors[value.name]

    def _key(self, value: Any) -> str:
        """The name of the parameter, buffer or constant of an FX node; '' if it is none."""
        signature = self.program.graph_signature
        names: dict[str, str] = {
            **signature.inputs_to_parameters,
            **signature.inputs_to_buffers,
            **signature.inputs_to_lifted_tensor_constants,
        }
        return names.get(getattr(value, "name", ""), "")

    def stored(self, value: Any) -> torch.Tensor | None:
        """The parameter, buffer or constant of an FX node; None if it is none."""
        found = {**self.program.constants, **self.program.state_dict}.get(self._key(value))
        return found if isinstance(found, torch.Tensor) else None

    def constant(self, value: Any, node: torch.fx.Node) -> npt.NDArray[np.float64]:
        """A parameter or buffer as float64. Raises NetworkError for a computed value."""
        found = self.stored(value)
        if found is None:
            reason = "its weights are not parameters but computed from others"
            raise self.refuse(node, reason, "remove parametrizations such as weight_norm first")
        array: npt.NDArray[np.float64] = found.detach().to(torch.float64).numpy()
        if not np.isfinite(array).all():
            raise self.refuse(
                node, f"the values of {self._key(value)!r} are not all finite", "train it again"
            )
        return array

    def dims_after(self, node: torch.fx.Node, made: g.Node) -> tuple[int, ...]:
        dims = self.extents(node)
        if len(dims) not in (1, 3):
            reason = f"it gives {list(dims)}, neither a map (channels, rows, columns) nor a vector"
            raise self.refuse(node, reason, "reshape what it reads")
        return dims

    def move(self, node: torch.fx.Node, x: Any, places: Places) -> None:
        """Record that an FX node has the values of ``x`` in another order or shape."""
        self.tensors[node.name] = Seen(self.seen(x, node).tensor, places, node)

    def extents(self, node: torch.fx.Node) -> tuple[int, ...]:
        """The extents of an FX node's output, without the batch.

        Raises NetworkError if its first axis is not the batch.
        """
        value = node.meta["val"]
        first = value[0] if isinstance(value, tuple | list) else value  # the rest is for training
        shape = [int(extent) for extent in first.shape]
        if shape[:1] != [self.batch]:
            raise self.refuse(
                node,
                f"its output of {shape} does not begin with the batch of {self.batch}",
                "keep axis 0, such as by flatten(1)",
            )
        return tuple(shape[1:])

    def refuse(self, node: torch.fx.Node, reason: str, way_out: str) -> NetworkError:
        """The error for a layer that cannot be represented."""
        return NetworkError(f"Layer {self.layer_name(node)!r}: {reason}; {way_out}")


def ends(program: torch.export.ExportedProgram, name: str, what: str) -> tuple[str, str]:
    """The names of a program's input and output.

    Raises NetworkError unless there is one of each; the message names the network and ``what``.
    """
    signature = program.graph_signature
    for verb, found in (("take", signature.user_inputs), ("return", signature.user_outputs)):
        if len(found) != 1:
            raise NetworkError(
                f"Network {name!r}: the {what} must {verb} one tensor, not {len(found)}; "
                "leave the others out of its forward"
            )
    return str(signature.user_inputs[0]), str(signature.user_outputs[0])

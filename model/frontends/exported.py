"""Reading programs of ``torch.export``: tensors, parameters, arguments, and the names of layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..builder import identifier
from ..float import graph as g
from ..layers import NetworkError, Shape

__all__ = ["Operator", "Reader", "arguments", "pair"]

LEAVES = ("torch.nn.modules.", "tercet.model.float.qat_layers.")  # whose modules name layers

Operator = Callable[..., None]  # (reader, FX node, *its arguments in the schema's order)


class Reader:
    """One exported program being read, node by node.

    Parameters
    ----------
    shape : (C, H, W) of one image
    name : the network's
    operators : by ATen's names such as ``conv2d.default``
    """

    def __init__(
        self,
        program: torch.export.ExportedProgram,
        shape: Shape,
        name: str,
        operators: Mapping[str, Operator],
    ) -> None:
        self.program, self.shape, self.name = program, shape, name
        self.operators = operators
        self.nodes: list[g.Node] = []
        self.tensors: dict[str, str] = {}  # by the name of an FX node, the graph's tensor
        self.names: set[str] = {g.IMAGE}

    def graph(self) -> g.Graph:
        """The float graph."""
        (image,) = self.program.graph_signature.user_inputs
        (output,) = self.program.graph_signature.user_outputs
        self.tensors[str(image)] = g.IMAGE
        for node in self.program.graph.nodes:
            if node.op == "call_function":
                self._read(node)
        last = self.tensors.get(str(output))
        if not self.nodes or last != self.nodes[-1].name:
            raise NetworkError(
                f"Network {self.name!r}: the module must return what its last layer gives, not "
                f"{output!r}; return that one's output alone"
            )
        return g.Graph(self.name, self.shape, tuple(self.nodes))

    def layer_name(self, node: torch.fx.Node) -> str:
        """The path of PyTorch's submodule or, of another, path and operator; made unique."""
        stack = list((node.meta.get("nn_module_stack") or {}).values())
        path, kind = stack[-1] if stack else ("", "")
        leaf = str(kind).startswith(LEAVES) and ".container." not in str(kind)
        operator = str(node.target).split(".")[1]
        name = base = identifier(path if path and leaf else f"{path}.{operator}")
        count = 2
        while name in self.names:
            name, count = f"{base}_{count}", count + 1
        self.names.add(name)
        return name

    def _read(self, node: torch.fx.Node) -> None:
        operator = self.operators.get(str(node.target).removeprefix("aten."))
        if operator is None:
            raise self.refuse(
                node,
                f"the operator {node.target} is not supported",
                "replace it by convolutions, linear layers, pools, additions, concatenations and "
                "ReLUs",
            )
        operator(self, node, *arguments(node))

    def source(self, value: Any, node: torch.fx.Node) -> str:
        """The graph's tensor behind an argument. Raises NetworkError for a constant."""
        if not isinstance(value, torch.fx.Node) or value.name not in self.tensors:
            raise self.refuse(
                node, f"its input {value!r} is no activation", "use layers on activations only"
            )
        return self.tensors[value.name]

    def constant(self, value: Any, node: torch.fx.Node) -> npt.NDArray[np.float64]:
        """A parameter or buffer, as float64. Raises NetworkError for anything computed."""
        signature = self.program.graph_signature
        names = {
            **signature.inputs_to_parameters,
            **signature.inputs_to_buffers,
            **signature.inputs_to_lifted_tensor_constants,
        }
        key = names.get(getattr(value, "name", ""), "")
        found = {**self.program.constants, **self.program.state_dict}.get(key)
        if not isinstance(found, torch.Tensor):
            reason = "its weights are not parameters but computed from others"
            raise self.refuse(node, reason, "remove parametrizations such as weight_norm first")
        array: npt.NDArray[np.float64] = found.detach().to(torch.float64).numpy()
        if not np.isfinite(array).all():
            raise self.refuse(node, f"the values of {key!r} are not all finite", "train it again")
        return array

    def put(self, node: torch.fx.Node, made: g.Node) -> None:
        """Add a node of the graph for an FX node."""
        self.nodes.append(made)
        self.tensors[node.name] = made.name

    def same(self, node: torch.fx.Node, x: Any, *_: Any) -> None:
        """An operator that does nothing at inference."""
        self.tensors[node.name] = self.source(x, node)

    def refuse(self, node: torch.fx.Node, reason: str, way_out: str) -> NetworkError:
        """The error of a layer that cannot be represented."""
        return NetworkError(f"Layer {self.layer_name(node)!r}: {reason}; {way_out}")


def arguments(node: torch.fx.Node) -> list[Any]:
    """All of an operator's arguments in its schema's order, defaults filled in."""
    values = []
    for index, parameter in enumerate(node.target._schema.arguments):
        if index < len(node.args):
            values.append(node.args[index])
        else:
            values.append(node.kwargs.get(parameter.name, parameter.default_value))
    return values


def pair(values: Any) -> tuple[int, int]:
    """One number or two as (y, x)."""
    numbers = [values] if isinstance(values, int) else list(values)
    return (numbers[0], numbers[-1])

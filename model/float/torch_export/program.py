"""Reader of ``torch.export`` programs: tensors and their order, parameters, names of layers."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ...layers import NetworkError, Shape
from ...names import free_name, identifier
from ...ordered import Places
from ..ptq import graph as g
from .arguments import Operator, functional

__all__ = ["Reader", "Seen", "ends"]

LEAVES = ("torch.nn.modules.", "tercet.model.float.qat.layers.")  # their modules name layers


@dataclass(frozen=True, eq=False)
class Seen:
    """A tensor of the graph in the order of an FX node.

    Parameters
    ----------
    tensor : of the graph, (C, H, W)
    places : int64, with the FX node's axes without the batch: the index of each element in the
        graph's raveled tensor
    moved_by : the FX node that last changed the order
    """

    tensor: str
    places: Places
    moved_by: torch.fx.Node | None = None

    @property
    def dims(self) -> tuple[int, ...]:
        """The extents without the batch."""
        return self.places.shape


class Reader:
    """Reads one exported program, node by node.

    Reshapes and permutations are kept with the values that they move, until an operator asks for a
    map or a vector. There is no other access to a tensor, so no operator can ignore its order.

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
        self.program, self.dims, self.name = functional(program), dims, name
        self.operators = operators
        self.nodes: list[g.Node] = []
        self.tensors: dict[str, Seen] = {}  # by the name of an FX node
        self.shapes: dict[str, Shape] = {g.IMAGE: _as_map(dims)}  # by the graph's tensor
        self.views: dict[str, str] = {}  # by FX node, the View with its values in its order
        self.names: set[str] = {g.IMAGE}
        self.batch = 0

    def graph(self) -> g.Graph:
        """The float graph, without nodes that do not affect its output."""
        image, output = ends(self.program, self.name, "module")
        for node in self.program.graph.nodes:
            if node.name == image:
                self.tensors[image] = Seen(g.IMAGE, _in_order(self.dims))
                self.batch = int(node.meta["val"].shape[0])
            elif node.op == "call_function" and node.users:
                self._read(node)
        last = self._last(output)
        return g.Graph(self.name, self.shapes[g.IMAGE], _needed(self.nodes, last))

    def _last(self, output: str) -> str:
        """The graph's tensor of the scores, in the module's order."""
        seen = self.tensors.get(output)
        if seen is None:
            raise NetworkError(
                f"Network {self.name!r}: the module must return what its last layer gives, not "
                f"{output!r}; return that one's output alone"
            )
        if len(seen.dims) not in (1, 3):
            raise NetworkError(
                f"Network {self.name!r}: the module must return a map (N, C, H, W) or scores "
                f"(N, classes), not ({', '.join(map(str, ('N', *seen.dims)))}); "
                "reshape what it returns"
            )
        last = self._held(output, seen)
        if last == g.IMAGE:
            raise NetworkError(
                f"Network {self.name!r}: the module returns its image; there must be a layer"
            )
        return last

    def layer_name(self, node: torch.fx.Node) -> str:
        """The path of PyTorch's submodule, for other nodes path and operator; made unique."""
        stack = list((node.meta.get("nn_module_stack") or {}).values())
        path, kind = stack[-1] if stack else ("", "")
        leaf = str(kind).startswith(LEAVES) and ".container." not in str(kind)
        operator = str(node.target).split(".")[1]
        wanted = identifier(path if path and leaf else f"{path}.{operator}")
        name = free_name(wanted, self.names)
        self.names.add(name)
        return name

    def _read(self, node: torch.fx.Node) -> None:
        if node.target is operator.getitem and node.args[1] == 0:
            self.same(node, node.args[0])  # the operator's other outputs are for training
            return
        found = self.operators.get(str(node.target).removeprefix("aten."))
        if found is None:
            raise self.refuse(
                node,
                f"the operator {node.target} is not supported",
                "replace it by convolutions, linear layers, pools, additions, concatenations, "
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

    def map(self, value: Any, node: torch.fx.Node) -> str:
        """The graph's tensor (C, H, W) with an argument's values in the order of ``node``."""
        seen = self.seen(value, node)
        if len(seen.dims) != 3:
            reason = f"it reads {list(seen.dims)}, and not a map (channels, rows, columns)"
            raise self.refuse(node, reason, "put it before the Flatten")
        return self._held(value.name, seen)

    def vector(self, value: Any, node: torch.fx.Node) -> str:
        """The graph's tensor (K, 1, 1) with an argument's values (K,) in the order of ``node``."""
        seen = self.seen(value, node)
        if len(seen.dims) != 1:
            reason = f"it reads {list(seen.dims)}, and not a vector"
            raise self.refuse(node, reason, "put a Flatten before it, or use a 1x1 convolution")
        return self._held(value.name, seen)

    def whole(self, value: Any, node: torch.fx.Node) -> str:
        """The graph's tensor of an argument, a map or a vector."""
        flat = len(self.seen(value, node).dims) == 1
        return self.vector(value, node) if flat else self.map(value, node)

    def _held(self, name: str, seen: Seen) -> str:
        """The graph's tensor with the values in the order of ``seen``; a new View if needed."""
        shape = _as_map(seen.dims)
        if self.shapes[seen.tensor] == shape and _is_in_order(seen.places):
            return seen.tensor
        if name not in self.views:
            assert seen.moved_by is not None
            places = seen.places.reshape(shape)
            view = g.View(self.layer_name(seen.moved_by), (seen.tensor,), places=places)
            self.nodes.append(view)
            self.shapes[view.name], self.views[name] = shape, view.name
        return self.views[name]

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

    def put(self, node: torch.fx.Node, made: g.Node) -> None:
        """Add a node of the graph for an FX node whose output is a map or a vector."""
        dims = self.extents(node)
        if len(dims) not in (1, 3):
            reason = f"it gives {list(dims)}, neither a map (channels, rows, columns) nor a vector"
            raise self.refuse(node, reason, "reshape what it reads")
        self.nodes.append(made)
        self.shapes[made.name] = _as_map(dims)
        self.tensors[node.name] = Seen(made.name, _in_order(dims))

    def put_like(self, node: torch.fx.Node, made: g.Node, seen: Seen) -> None:
        """Add a node of the graph whose output has the order of ``seen``, one of its inputs."""
        self.nodes.append(made)
        self.shapes[made.name] = self.shapes[seen.tensor]
        self.tensors[node.name] = replace(seen, tensor=made.name)

    def pointwise(
        self, node: torch.fx.Node, x: Any, make: Callable[[str, tuple[str]], g.Node]
    ) -> None:
        """Add an elementwise node, whose input may have any order."""
        seen = self.seen(x, node)
        self.put_like(node, make(self.layer_name(node), (seen.tensor,)), seen)

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

    def same(self, node: torch.fx.Node, x: Any) -> None:
        """Record an operator that does nothing at inference."""
        self.tensors[node.name] = self.seen(x, node)

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


def _as_map(dims: tuple[int, ...]) -> Shape:
    """The graph's shape of a map (C, H, W) or of a vector (K,)."""
    channels, height, width = (*dims, 1, 1)[:3]
    return channels, height, width


def _in_order(dims: tuple[int, ...]) -> Places:
    """The places of a tensor in its own raster order."""
    return np.arange(math.prod(dims), dtype=np.int64).reshape(dims)


def _is_in_order(places: Places) -> bool:
    return bool(np.array_equal(places.ravel(), np.arange(places.size)))


def _needed(nodes: list[g.Node], last: str) -> tuple[g.Node, ...]:
    """The nodes on which ``last`` depends, ending with it."""
    wanted, needed = {last}, []
    for node in reversed(nodes):
        if node.name in wanted:
            wanted.update(node.inputs)
            needed.append(node)
    return tuple(reversed(needed))

"""The arguments of ATen operators: each is used, ignored deliberately, or has one allowed value."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

__all__ = ["Only", "Operator", "arguments", "functional", "pair"]

NAMES = {  # from a schema's argument to a reading function's parameter
    **{"self": "x", "input": "x", "axis0": "dim0", "axis1": "dim1"},
    **{"min": "low", "min_val": "low", "max": "high", "max_val": "high"},
}


@dataclass(frozen=True)
class Only:
    """The one allowed value of an argument; with any other value the operator is refused.

    reason : why another value is refused, such as "is not supported"
    """

    value: object
    reason: str
    way_out: str


@dataclass(frozen=True)
class Operator:
    """The reader of an ATen operator, and the arguments that it may ignore.

    Parameters
    ----------
    read : called as read(reader, FX node, **arguments), with the arguments that its parameters
        name; they have the names of the operator's schema, except for ``NAMES``
    ignored : arguments that change no value
    only : arguments with one allowed value
    """

    read: Callable[..., None]
    ignored: tuple[str, ...] = ()
    only: Mapping[str, Only] = field(default_factory=dict)

    @cached_property
    def taken(self) -> frozenset[str]:
        """The arguments that ``read`` takes, without those that a ``partial`` gives."""
        given = getattr(self.read, "keywords", {})
        return frozenset(list(inspect.signature(self.read).parameters)[2:]) - given.keys()

    def covers(self, name: str) -> bool:
        """Whether an argument of the schema is used, ignored deliberately, or checked."""
        return NAMES.get(name, name) in self.taken or name in self.ignored or name in self.only

    def __call__(self, reader: Any, node: torch.fx.Node) -> None:
        """Read a node. Raises NetworkError for an argument that is not covered."""
        given = arguments(node)
        for name, value in given.items():
            if not self.covers(name):
                reason = f"the argument {name}={value!r} of {node.target} is not known"
                raise reader.refuse(node, reason, "use the PyTorch that constraints.txt pins")
            only = self.only.get(name)
            if only is not None and value != only.value:
                kind = str(node.target).split(".")[1]
                raise reader.refuse(
                    node, f"{kind} with {name}={value!r} {only.reason}", only.way_out
                )
        renamed = {NAMES.get(name, name): value for name, value in given.items()}
        self.read(reader, node, **{n: value for n, value in renamed.items() if n in self.taken})


def arguments(node: torch.fx.Node) -> dict[str, Any]:
    """All arguments of an operator by the names of its schema, including defaults."""
    values = {}
    for index, parameter in enumerate(node.target._schema.arguments):
        if index < len(node.args):
            values[parameter.name] = node.args[index]
        else:
            values[parameter.name] = node.kwargs.get(parameter.name, parameter.default_value)
    return values


def functional(program: torch.export.ExportedProgram) -> torch.export.ExportedProgram:
    """The program without operators that write to their inputs.

    Every view of such an input sees the written values. PyTorch's functionalization replaces the
    writes by new values.
    """
    for node in program.graph.nodes:
        schema = getattr(node.target, "_schema", None)
        for argument in schema.arguments if schema is not None else ():
            if argument.alias_info is not None and argument.alias_info.is_write:
                with warnings.catch_warnings():  # PyTorch warns about its own calls there
                    warnings.simplefilter("ignore", FutureWarning)
                    return program.run_decompositions({})
    return program


def pair(values: Any) -> tuple[int, int]:
    """One or two numbers as (y, x)."""
    numbers = [values] if isinstance(values, int) else list(values)
    return (numbers[0], numbers[-1])

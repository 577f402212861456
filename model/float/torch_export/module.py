"""Float PyTorch modules, traced by ``torch.export`` and read into a float graph.

``graph_of`` traces a module in evaluation mode and reads these ATen operators. Other operators, and
arguments that it does not know (``arguments.py``), are refused with their layer's name. Operators
that write to their inputs are made functional first.

======================================  ========================================================
conv2d, linear                          with or without bias; padding "same" and "valid" too
batch_norm                              folds into the convolution or linear layer before it
relu, relu6, hardtanh, clamp            fuse into the layer before them, or are layers
max_pool2d, avg_pool2d                  padding counts in the average
adaptive_avg_pool2d, mean over H and W  with windows of one size
add                                     of two tensors of the same shape
cat                                     of channels or vectors, dim=1
flatten, view, reshape, unflatten,      any order that the next layer can read: linear layers
squeeze, unsqueeze, permute, transpose  read all, convolutions and pools only unchanged maps
dropout, contiguous, clone, detach      ignored at inference; so is a pad by 0
======================================  ========================================================
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from ...layers import NetworkError
from ..ptq import graph as g
from .arguments import Operator
from .operators import OPERATORS
from .program import Reader, ends

__all__ = ["graph_of", "graph_of_program"]


def graph_of(
    module: nn.Module,
    shape: tuple[int, ...],
    name: str,
    operators: Mapping[str, Operator] = OPERATORS,
) -> g.Graph:
    """Read a float module.

    Parameters
    ----------
    module : float (N, C, H, W), or (N, K), -> float (N, classes); it is not changed, except that it
        is put into evaluation mode
    shape : (C, H, W) of one image, or (K,) of one vector
    name : the network's
    operators : the supported ones, by ATen's names such as ``conv2d.default``

    Raises NetworkError, which names the layer, for a module that cannot be traced or is not
    supported.
    """
    _require_float_module(module, name)
    if len(shape) not in (1, 3) or min(shape) < 1:
        raise NetworkError(
            f"Network {name!r}: the shape of its input must be (C, H, W) or (K,), without the "
            f"batch, not {tuple(shape)}; give one of these"
        )
    # With a batch of one image torch.export would specialize on 1.
    example = torch.zeros((2, *shape), dtype=_type_of(module, name))
    try:
        program = torch.export.export(module.eval(), (example,))
    except Exception as error:  # torch.export raises many types of errors
        raise _not_traced(module, name, example, error) from None
    return Reader(program, shape, name, operators).graph()


def graph_of_program(program: torch.export.ExportedProgram, name: str) -> g.Graph:
    """Read an exported float program, of a batch of any number of images.

    name : the network's

    Raises NetworkError as :func:`graph_of` does.
    """
    image, _ = ends(program, name, "program")
    (node,) = (node for node in program.graph.nodes if node.name == image)
    shape = tuple(int(extent) for extent in node.meta["val"].shape)
    if len(shape) not in (2, 4) or min(shape) < 1:
        raise NetworkError(
            f"Network {name!r}: its input must be (N, C, H, W) or (N, K), not {list(shape)}; "
            "export it on such an example"
        )
    _require_evaluation_mode(program, name)
    return Reader(program, shape[1:], name, OPERATORS).graph()


def _require_evaluation_mode(program: torch.export.ExportedProgram, name: str) -> None:
    """Refuse a program of a module in training mode, whose outputs depend on the whole batch."""
    for node in program.graph.nodes:
        schema = getattr(node.target, "_schema", None)
        for at, argument in enumerate(schema.arguments if schema is not None else ()):
            given = node.args[at] if at < len(node.args) else node.kwargs.get(argument.name)
            if argument.name in ("training", "train") and given is True:
                raise NetworkError(
                    f"Network {name!r}: it was exported in training mode, as node {node.name!r} "
                    "shows; export module.eval()"
                )


def _require_float_module(module: object, name: str) -> None:
    """Refuse objects that are no module, and modules with quantized parts."""
    if not isinstance(module, nn.Module):
        raise NetworkError(
            f"Network {name!r}: a float network is a torch.nn.Module, not {type(module).__name__}; "
            "build the module and load its state dict with weights_only=True"
        )
    for path, part in module.named_modules():
        if type(part).__module__.startswith("torch.ao.nn."):
            raise NetworkError(
                f"Network {name!r}: its part {path!r} is quantized already "
                f"({type(part).__name__}); give the float module, or read an eager-mode one with "
                "frontends.torch_ao"
            )


def _not_traced(
    module: nn.Module, name: str, example: torch.Tensor, error: Exception
) -> NetworkError:
    """The reason of a failure of torch.export: the module does not run, or cannot be traced."""
    try:
        with torch.no_grad():
            module(example)
    except Exception as failure:  # PyTorch raises many types if shapes or types do not fit
        return NetworkError(
            f"Network {name!r}: the module fails on inputs of {list(example.shape)} "
            f"({_first_line(failure)}); give the shape of an image as (C, H, W), and a module "
            "that runs on it"
        )
    return NetworkError(
        f"Network {name!r}: torch.export cannot trace the module ({_first_line(error)}); write its "
        "forward without control flow that depends on values"
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__


def _type_of(module: nn.Module, name: str) -> torch.dtype:
    """The floating-point type of a module. Raises NetworkError if there are several."""
    tensors = (*module.parameters(), *module.buffers())
    types = {str(x.dtype): x.dtype for x in tensors if x.dtype.is_floating_point}
    if len(types) > 1:
        raise NetworkError(
            f"Network {name!r}: its parameters are {' and '.join(sorted(types))}; "
            "bring the module to one type, such as by module.float()"
        )
    return next(iter(types.values()), torch.float32)

"""Float PyTorch modules, traced by ``torch.export`` and read into a float graph.

``graph_of`` traces a module in evaluation mode and reads these ATen operators; anything else is
refused by its layer's name, an argument that is not looked at too (``arguments.py``).
Operators that write to their inputs are made functional first.

======================================  ========================================================
conv2d, linear                          with or without bias; padding "same" and "valid" too
batch_norm                              folds into the convolution or linear layer before it
relu, relu6, hardtanh, clamp            fuse into the layer before them, or stand alone
max_pool2d, avg_pool2d                  padding counts in the average
adaptive_avg_pool2d, mean over H and W  by windows of one size
add                                     of two tensors of one shape
cat                                     of channels or vectors, dim=1
flatten, view, reshape, unflatten,      any order that the layer behind them can read: linear
squeeze, unsqueeze, permute, transpose  layers all, convolutions and pools maps as they were made
dropout, contiguous, clone, detach      nothing at inference; so does a pad by nothing
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
from .program import Reader

__all__ = ["graph_of"]


def graph_of(
    module: nn.Module,
    shape: tuple[int, ...],
    name: str,
    operators: Mapping[str, Operator] = OPERATORS,
) -> g.Graph:
    """Read a float module.

    Parameters
    ----------
    module : float (N, C, H, W), or (N, K), -> float (N, classes); left as it is, but put into
        evaluation mode
    shape : (C, H, W) of one image, or (K,) of one vector
    name : the network's
    operators : those that can be read, by ATen's names such as ``conv2d.default``

    Raises NetworkError, naming the layer, for what cannot be traced or is not supported.
    """
    _require_float_module(module, name)
    if len(shape) not in (1, 3) or min(shape) < 1:
        raise NetworkError(
            f"Network {name!r}: the shape of its input must be (C, H, W) or (K,), without the "
            f"batch, not {tuple(shape)}; give one of these"
        )
    # One image would let torch.export specialize on 1.
    example = torch.zeros((2, *shape), dtype=_type_of(module, name))
    try:
        program = torch.export.export(module.eval(), (example,))
    except Exception as error:  # torch.export raises whatever its tracer stumbles over
        raise _not_traced(module, name, example, error) from None
    return Reader(program, shape, name, operators).graph()


def _require_float_module(module: object, name: str) -> None:
    """Refuse what is no module, and modules whose parts are quantized already."""
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
    """Why torch.export failed: the module does not run at all, or cannot be traced."""
    try:
        with torch.no_grad():
            module(example)
    except Exception as failure:  # whatever PyTorch says where shapes or kinds do not fit
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
    """The floating-point type that a module computes in. Raises NetworkError for several."""
    tensors = (*module.parameters(), *module.buffers())
    types = {str(x.dtype): x.dtype for x in tensors if x.dtype.is_floating_point}
    if len(types) > 1:
        raise NetworkError(
            f"Network {name!r}: its parameters are {' and '.join(sorted(types))}; "
            "bring the module to one type, such as by module.float()"
        )
    return next(iter(types.values()), torch.float32)

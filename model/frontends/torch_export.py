"""Float PyTorch modules, read through ``torch.export`` into a float graph.

``graph_of`` traces a module in evaluation mode and reads these ATen operators; anything else is
refused by its layer's name. ``read`` quantizes what was read (``float/quantize.py``).

==========================================  ====================================================
conv2d, linear                              with or without bias; padding "same" and "valid" too
batch_norm                                  folds into the convolution or linear layer before it
relu, relu6, hardtanh, clamp                fuse into the layer before them, or stand alone
max_pool2d, avg_pool2d                      without ceil_mode; padding counts in the average
adaptive_avg_pool2d, mean over H and W      to one position: the global average pool
add                                         of two tensors
cat                                         of channels, dim=1
flatten, view, reshape, squeeze             of everything behind the batch
dropout, contiguous, identity               nothing at inference
==========================================  ====================================================
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ..float import graph as g
from ..float.quantize import Options, quantize
from ..layers import NetworkError, Shape
from ..network import QNetwork
from .exported import Operator, Reader
from .exported_operators import OPERATORS

__all__ = ["graph_of", "read"]


def read(
    module: nn.Module,
    shape: Shape,
    name: str,
    images: npt.NDArray[np.uint8],
    options: Options | None = None,
) -> QNetwork:
    """Read a float module and quantize it.

    Parameters
    ----------
    module, shape, name : as in :func:`graph_of`
    images : uint8 (N, H, W, C), raw pixels to calibrate on; p enters the module as p / 255, or as
        the options' mean and std say
    options : what there is to choose

    Raises NetworkError as :func:`graph_of` and :func:`quantize` do.
    """
    return quantize(graph_of(module, shape, name), images, options)


def graph_of(
    module: nn.Module, shape: Shape, name: str, operators: Mapping[str, Operator] = OPERATORS
) -> g.Graph:
    """Read a float module.

    Parameters
    ----------
    module : float (N, C, H, W) -> float (N, classes); left as it is, but put into evaluation mode
    shape : (C, H, W) of one image
    name : the network's
    operators : those that can be read, by ATen's names such as ``conv2d.default``

    Raises NetworkError, naming the layer, for what cannot be traced or is not supported.
    """
    example = torch.zeros((2, *shape))  # one image would let torch.export specialize on 1
    try:
        program = torch.export.export(module.eval(), (example,))
    except Exception as error:  # torch.export raises whatever its tracer stumbles over
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise NetworkError(
            f"Network {name!r}: torch.export cannot trace the module ({reason}); write its forward "
            "without control flow that depends on values"
        ) from None
    return Reader(program, shape, name, operators).graph()
